import ControlAPI
import Failover
import Foundation
import Handover
import Journal
import LebaConfiguration
import Logging
import Model
import Proxy
import Synchronization

/// A new process takes over from a running one: both sides of it, as `HandoverMessage` has it.
extension Sidecar {
  /// How long the new process may wait for the first verdicts before it accepts without them. Meanwhile the old one serves.
  private static let verdictPatience = Duration.seconds(10)
  /// How long the new process may take for everything after the journal is its own, verdicts among it.
  private static let readyPatience = Duration.seconds(60)

  // MARK: The new process

  /// Returns when everything is there to serve with: what the old process knew, and a verdict on each group.
  func prepare(_ takeover: Takeover) async throws {
    do {
      try await offThePool { () throws(HandoverError) in try takeover.prepared() }
    } catch {
      throw StartError("cannot take over: \(error)")
    }
    await offThePool { [journal] in journal.resume() }
    await startTraffic()
    let end = ContinuousClock.now + Self.verdictPatience
    while await view().groups.contains(where: { $0.state == .starting }), ContinuousClock.now < end {
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// The API is being served. Returns when the old process accepts no connections any more.
  func finish(_ takeover: Takeover) async throws {
    proxy.startAccepting()
    let unwanted = dropUnwanted()
    do {
      try await offThePool { () throws(HandoverError) in try takeover.ready(unwanted: unwanted) }
    } catch {
      throw StartError("cannot take over: \(error)")
    }
    logger.notice("the old process is followed: it accepts no connections any more")
  }

  // MARK: The old process

  /// From now on, a new process can take over.
  func openDoor() {
    guard case .open = journal.state else {
      logger.warning("no process can take over from this one without a restart: there is no journal to hand over")
      return
    }
    do throws(HandoverError) {
      try door.open { [self] channel in handOver(over: channel) }
    } catch {
      logger.warning("no process can take over from this one without a restart: \(error)")
    }
  }

  /// Blocks; on the thread of the door.
  ///
  /// - Returns: whether the other process is in charge now.
  private func handOver(over channel: HandoverChannel) -> Bool {
    do throws(HandoverError) {
      let process = try greet(channel)
      logger.notice("process \(process) takes over: it gets the listening sockets")
      listeners.freeze(true)
      try offer(channel)
      try channel.expect(.prepared, within: .seconds(30))
      givesAway.withLock { $0 = true }
      journal.suspend()
      try channel.send(.released)
      let unwanted = try untilReady(channel)
      try door.commit()
      retire(leaving: unwanted)
      // Whether the other process hears this or not: it accepts connections.
      try? channel.send(.retired)
      occasions.continuation.yield(.handedOver(to: process))
      return true
    } catch {
      channel.cancel("the old process goes on: \(error)")
      journal.resume()
      givesAway.withLock { $0 = false }
      listeners.freeze(false)
      // Groups may have changed meanwhile.
      Task { await loop.reconfigure { _, _ in ((), []) } }
      logger.warning("no process takes over, and this one goes on: \(error)")
      return false
    }
  }

  private func greet(_ channel: HandoverChannel) throws(HandoverError) -> Int32 {
    let (message, descriptors) = try channel.receive(within: .seconds(5))
    for descriptor in descriptors { close(descriptor) }
    guard case .hello(HandoverMessage.version, let process) = message else { throw .unexpected("\(message)") }
    guard phase.withLock({ $0 }) == .running else { throw .cancelled("it is not running yet, or draining") }
    return process
  }

  private func offer(_ channel: HandoverChannel) throws(HandoverError) {
    var offered = proxy.copyListeners()
    if let api = apiListener.copy() {
      offered.append(InheritedListener(name: "api", address: apiListener.address, sockets: [api]))
    }
    defer { for listener in offered { listener.close() } }
    for listener in offered {
      var rest = listener.sockets[...]
      while let first = rest.first {
        let part = rest.prefix(HandoverChannel.socketsPerMessage)
        rest = rest.dropFirst(part.count)
        try channel.send(.listener(address: "\(listener.address)", isHeldElsewhere: first.isHeldElsewhere), part)
      }
    }
    try channel.send(.offered)
  }

  /// - Returns: the addresses that the other process does not listen on.
  private func untilReady(_ channel: HandoverChannel) throws(HandoverError) -> Set<String> {
    var unwanted: Set<String> = []
    while true {
      let (message, descriptors) = try channel.receive(within: Self.readyPatience)
      for descriptor in descriptors { close(descriptor) }
      switch message {
      case .unwanted(let address): unwanted.insert(address)
      case .ready: return unwanted
      default: throw .unexpected("\(message)")
      }
    }
  }

  private func retire(leaving unwanted: Set<String>) {
    proxy.close(listeners.open.filter { unwanted.contains($0.address.description) }.map(\.name))
    door.remove()
  }
}

/// Runs what blocks on a thread of its own: the pool has few, and the API's answers need them.
func offThePool<Answer: Sendable, Failure: Error>(
  _ body: @escaping @Sendable () throws(Failure) -> Answer
) async throws(Failure) -> Answer {
  let result: Result<Answer, Failure> = await withCheckedContinuation { continuation in
    Thread { continuation.resume(returning: Result(catching: body)) }.start()
  }
  return try result.get()
}
