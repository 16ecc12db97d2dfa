import Glibc
import Model
import Proxy

/// What `scripts/count-hot-path` runs under callgrind: `hot-path CONNECTIONS ROUNDS` starts the proxy with one worker and relays one
/// request and its answer for each connection, ROUNDS times, after some that make everything warm.
///
/// Client and backend are this one thread, which goes on only when the bytes have come through, so that every run of a round is like
/// every other. `LEBA_ENGINE` names the engine, as for the tests.
@main enum HotPath {
  /// The exit status that says there is nothing to count: this kernel, or this version, has no such engine.
  private static let engineMissing: Int32 = 3

  private static let warmUp = 100

  static func main() throws {
    guard CommandLine.arguments.count == 3, let connections = Int(CommandLine.arguments[1]), connections > 0,
      let rounds = Int(CommandLine.arguments[2])
    else { return fail("usage: hot-path CONNECTIONS ROUNDS", status: 2) }
    var settings = Proxy.Settings()
    if let name = getenv("LEBA_ENGINE").map({ String(cString: $0) }) {
      guard let engine = EngineChoice(rawValue: name) else { return fail("LEBA_ENGINE: there is no engine '\(name)'", status: 2) }
      settings.engine = engine
    }
    let proxy: Proxy
    do {
      proxy = try Proxy(settings: settings) { _ in }
    } catch {
      return fail(error.description, status: engineMissing)
    }
    print("engine \(proxy.engine.name)")
    let round = try Round(through: proxy, connections: connections)
    for _ in 0..<warmUp { try round.run() }
    Round.publish(RoutingChange(generation: 2), to: proxy)
    for _ in 0..<rounds { try round.run() }
    Round.publish(RoutingChange(generation: 3), to: proxy)
    proxy.stop()
  }

  private static func fail(_ text: String, status: Int32) {
    print(text)
    exit(status)
  }
}
