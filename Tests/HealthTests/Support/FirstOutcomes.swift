import Health
import Model

extension Checking {
  /// The first outcome for each of several ways of asking.
  static func firstOutcomes(
    _ kinds: [HealthCheck.Kind], at address: Model.SocketAddress, timeout: Duration = .seconds(30)
  ) async throws -> [ProbeOutcome] {
    try await run { checking in
      checking.replace(
        kinds.enumerated().map {
          ProbeTarget($1, at: address, member: .test($0), interval: .seconds(3600), timeout: timeout)
        })
      var outcomes: [ProbeOutcome] = []
      for number in kinds.indices { outcomes.append(try await checking.outcomes(of: .test(number), atLeast: 1)[0]) }
      return outcomes
    }
  }
}

extension Model.SocketAddress {
  static func loopback(_ port: UInt16) -> Model.SocketAddress { .ip(.v4(0x7f00_0001), port: port) }
}
