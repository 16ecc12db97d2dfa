import Foundation
import Synchronization

/// Clients that do the same thing again and again on threads of their own until they are told to stop.
package final class Load<Outcome: Sendable>: Sendable {
  private let outcomesSoFar = Mutex<[Outcome]>([])
  private let stopping = Atomic<Bool>(false)
  private let running = Atomic<Int>(0)

  /// - Parameters:
  ///   - pause: between two rounds of one client, so that a test leaves the machine some air.
  ///   - round: given the client's number; blocks, and turns its errors into outcomes.
  package init(
    clients: Int, pause: Duration = .milliseconds(2), _ round: @escaping @Sendable (_ client: Int) -> Outcome
  ) {
    running.store(clients, ordering: .relaxed)
    for client in 0..<clients {
      Thread { [self] in
        while !stopping.load(ordering: .relaxed) {
          let outcome = round(client)
          outcomesSoFar.withLock { $0.append(outcome) }
          usleep(UInt32(pause / .microseconds(1)))
        }
        running.wrappingSubtract(1, ordering: .relaxed)
      }.start()
    }
  }

  package var outcomes: [Outcome] { outcomesSoFar.withLock { $0 } }

  /// Lets every client finish its round.
  package func stop() async throws -> [Outcome] {
    stopping.store(true, ordering: .relaxed)
    try await eventually("the clients stop", within: .seconds(60)) { running.load(ordering: .relaxed) == 0 }
    return outcomes
  }

  /// Waits until `count` more rounds are done, as a measure of "the load has gone on for a while".
  package func more(_ count: Int) async throws {
    let start = outcomesSoFar.withLock { $0.count }
    try await eventually("\(count) more rounds") { outcomesSoFar.withLock { $0.count } >= start + count }
  }
}

/// What became of one request.
package enum RequestOutcome: Sendable, Equatable {
  /// Status 200 and the name of the server.
  case served(by: String)
  case failed(String)

  package var failure: String? { if case .failed(let reason) = self { reason } else { nil } }
  package var server: String? { if case .served(let name) = self { name } else { nil } }
}

extension RequestOutcome {
  /// One request on a connection of its own. Blocks.
  fileprivate init(of path: String, at endpoint: Endpoint) {
    do {
      let connection = try TCPConnection(to: endpoint)
      let response = try HTTP.exchange("GET", path, headers: ["Connection": "close"], on: connection, endpoint)
      self = response.status == 200 ? .served(by: response.body) : .failed("status \(response.status)")
    } catch {
      self = .failed("\(error)")
    }
  }
}

extension Load where Outcome == RequestOutcome {
  /// Each request on a new connection.
  package static func requests(to endpoint: Endpoint, clients: Int = 4, path: String = "/") -> Load {
    Load(clients: clients) { _ in RequestOutcome(of: path, at: endpoint) }
  }
}

/// A request and the time it took: for what must hold between the requests of different clients.
package struct TimedRequest: Sendable {
  package let began: ContinuousClock.Instant
  package let ended: ContinuousClock.Instant
  package let outcome: RequestOutcome
}

extension Load where Outcome == TimedRequest {
  /// Each request on a new connection.
  package static func timedRequests(to endpoint: Endpoint, clients: Int = 4, pause: Duration = .milliseconds(5)) -> Load {
    Load(clients: clients, pause: pause) { _ in
      let began = ContinuousClock.now
      let outcome = RequestOutcome(of: "/", at: endpoint)
      return TimedRequest(began: began, ended: .now, outcome: outcome)
    }
  }
}

extension [TimedRequest] {
  /// The servers as they demonstrably took over from each other: each is there for a request that began when one of the server
  /// before it had been answered. Two that are active at once, or a way back, make it longer than the changes that were decided.
  package var successions: [String] {
    var chain: [(server: String, ended: ContinuousClock.Instant)] = []
    for request in sorted(by: { $0.ended < $1.ended }) {
      guard let server = request.outcome.server, server != chain.last?.server else { continue }
      if let last = chain.last, request.began <= last.ended { continue }
      chain.append((server, request.ended))
    }
    return chain.map(\.server)
  }

  /// Why those failed that began after `instant`.
  package func failures(since instant: ContinuousClock.Instant) -> [String] {
    filter { $0.began >= instant }.compactMap(\.outcome.failure)
  }
}
