import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

final class Counter: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .sequentiallyConsistent) }
  func add(_ change: Int) { count.add(change, ordering: .sequentiallyConsistent) }
}

enum Threads {
  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  static func start(_ run: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(Body(run)).toOpaque()
    let status = leba_start_thread(
      &thread,
      { argument in
        Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, body)
    precondition(status == 0, "pthread_create: \(status)")
    pthread_detach(thread)
  }
}

/// Waits until something is so; false when it is not so within the deadline.
func eventually(within seconds: Double = 20, _ condition: () -> Bool) -> Bool {
  let end = leba_monotonic_ns() + Int64(seconds * 1e9)
  while !condition() {
    guard leba_monotonic_ns() < end else { return false }
    usleep(1000)
  }
  return true
}

/// A proxy with one group, `app`, if a test does not say otherwise, and what the tests do to it.
final class Rig: Sendable {
  struct Member {
    var id: BackendID
    var address: SocketAddress
    var weight = 1
    var share: UInt8 = 100
    var standing = Standings(all: .serve)

    init(
      _ id: BackendID, _ address: SocketAddress, weight: Int = 1, share: UInt8 = 100,
      _ standing: Standings = Standings(all: .serve)
    ) {
      self.id = id
      self.address = address
      self.weight = weight
      self.share = share
      self.standing = standing
    }
  }

  let proxy: Proxy
  private let generation = Counter()
  private let box = SignalBox()

  var signals: [DataPathSignal] { box.signals.withLock { $0 } }
  var statistics: ProxyStatistics { proxy.statistics() }

  init(_ change: (inout Proxy.Settings) -> Void = { _ in }) throws {
    var settings = Proxy.Settings()
    settings.engine = engineUnderTest
    change(&settings)
    proxy = try Proxy(settings: settings) { [box] signal in box.signals.withLock { $0.append(signal) } }
  }

  deinit { proxy.stop() }

  func listen(
    _ name: ListenerName = "front", on text: String = "127.0.0.1:0", group: GroupName = "app", role: ListenerRole = .any,
    clientSpeaksFirst: Bool = false
  ) throws -> SocketAddress {
    try proxy.open(
      ListenerSpecification(
        name: name, address: SocketAddress(text)!, group: group, role: role, clientSpeaksFirst: clientSpeaksFirst))
  }

  func publish(
    _ members: Member..., group: GroupName = "app", balance: Balance = .roundRobin, hold: Duration = .seconds(10),
    drain: Duration = .seconds(30)
  ) {
    publish(members, group: group, balance: balance, hold: hold, drain: drain)
  }

  /// One group as it is from now on; the others stay.
  func publish(
    _ members: [Member], group: GroupName = "app", balance: Balance = .roundRobin, hold: Duration = .seconds(10),
    drain: Duration = .seconds(30), connections: UpstreamConnections = UpstreamConnections()
  ) {
    let members = members.map {
      MemberRoute(backend: $0.id, address: $0.address, weight: $0.weight, share: $0.share, standing: $0.standing)
    }
    publish([
      GroupRoute(name: group, balance: balance, holdTimeout: hold, drainTimeout: drain, connections: connections, members: members)
    ])
  }

  func remove(_ group: GroupName = "app") { publish([], removed: [group]) }

  private func publish(_ changed: [GroupRoute], removed: [GroupName] = []) {
    generation.add(1)
    proxy.publish(RoutingChange(generation: UInt64(generation.value), changed: changed, removed: removed))
    // Commands are executed in order: once this one is answered the change is in force.
    _ = proxy.statistics()
  }

  func counts(_ name: ListenerName = "front") -> ProxyStatistics.Listener { statistics.listeners[name] ?? .init() }

  /// Waits for a count to be reached, and checks that no snapshot on the way lost a connection.
  func reaches(_ name: ListenerName = "front", _ condition: (ProxyStatistics.Listener) -> Bool) -> Bool {
    eventually {
      let counts = self.counts(name)
      #expect(counts.accepted == counts.ended.values.reduce(0, +) + UInt64(counts.active))
      return condition(counts)
    }
  }

  func ends(as outcome: Outcome, count: UInt64 = 1) -> Bool { reaches { $0.ended[outcome] == count } }
}

private final class SignalBox: Sendable {
  let signals = Mutex<[DataPathSignal]>([])
}

/// Bytes that look random and are the same every time.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var generator = SeededGenerator(seed: seed)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + 8)
  while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
  return Array(bytes[..<count])
}
