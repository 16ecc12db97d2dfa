import CallCounts
import Glibc
import Model
import Proxy

/// What `scripts/count-hot-path` runs under callgrind: `hot-path CONNECTIONS ROUNDS` starts the proxy with one worker and relays one
/// request and its answer for each connection, ROUNDS times, after some that make everything warm.
///
/// Client and backend are this one thread, which goes on only when the bytes have come through, so that every run of a round is like
/// every other. `LEBA_ENGINE` names the engine, as for the tests.
///
/// With `hot-path count CONNECTIONS ROUNDS` it needs no tool and prints what the worker asked of the heap and of reference counting.
@main enum HotPath {
  /// The exit status that says there is nothing to count: this kernel, or this version, has no such engine.
  private static let engineMissing: Int32 = 3

  private static let warmUp = 100

  static func main() throws {
    var arguments = CommandLine.arguments.dropFirst()
    let counts = arguments.first == "count"
    if counts { arguments = arguments.dropFirst() }
    let numbers = arguments.compactMap { Int($0) }
    guard arguments.count == 2, numbers.count == 2, numbers[0] > 0 else {
      return fail("usage: hot-path [count] CONNECTIONS ROUNDS", status: 2)
    }
    let (connections, rounds) = (numbers[0], numbers[1])
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
    if counts {
      // The worker may still be at what it was asked last.
      try round.run()
      guard leba_count_calls_of_thread("leba-worker") else { return fail("there is no worker to count", status: 2) }
    }
    for _ in 0..<rounds { try round.run() }
    if counts {
      let relaying = leba_call_counts()
      // Answering costs objects: if none of them is counted, nothing is.
      _ = proxy.statistics()
      let answering = leba_call_counts()
      guard answering.allocations > relaying.allocations, answering.references > relaying.references else {
        return fail("calls are not counted", status: 2)
      }
      print("allocations \(relaying.allocations) frees \(relaying.frees) references \(relaying.references)")
    }
    Round.publish(RoutingChange(generation: 3), to: proxy)
    proxy.stop()
  }

  private static func fail(_ text: String, status: Int32) {
    print(text)
    exit(status)
  }
}
