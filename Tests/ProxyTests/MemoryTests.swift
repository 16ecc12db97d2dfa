import CLinux
import Glibc
import Model
import Testing
import Threads

@testable import Proxy

/// What the routing table costs one worker. Counts the heap of the whole process, so it runs alone:
/// `LEBA_MEASURE=1 swift test --filter MemoryTests`.
@Suite(.serialized, .enabled(if: getenv("LEBA_MEASURE") != nil)) struct MemoryTests {
  private static let groups = 10_000
  private static let membersPerGroup = 5

  @Test(arguments: [false, true]) func `a backend costs little`(hasListeners: Bool) throws {
    let settings = WorkerSettings(
      sessionLimit: 16, bufferLimit: 4, heldLimit: 4, connectTimeout: .seconds(1), demotedDeadline: .seconds(1))
    var worker = try Worker<EpollEngine>(settings: settings, mailbox: Mailbox(), now: .zero, onSignal: { _ in })
    // The names exist once in the process, whoever else knows them.
    let change = RoutingChange(generation: 1, changed: (0..<Self.groups).map(Self.route))
    let listeners = (0..<(hasListeners ? 200 : 0)).map { number in
      ListenerSpecification(
        name: ListenerName("listener-\(number)"), address: .ip(.v4(0x7F00_0001), port: 0), group: GroupName("group-\(number)"),
        role: .primary, clientSpeaksFirst: false)
    }
    let sockets = try listeners.map { try ListeningSockets.open($0, workers: 1) }
    let before = Self.heapInUse
    _ = worker.mailbox.post(.apply(change))
    repeat { worker.pass() } while worker.isChanging
    let table = Self.heapInUse - before
    for (listener, sockets) in zip(listeners, sockets) {
      #expect(worker.addListener(listener, ListeningSocket(descriptor: try #require(sockets.descriptors.first))) == nil)
    }
    let routes = Self.heapInUse - before - table
    let perBackend = Double(table) / Double(Self.groups * Self.membersPerGroup)
    print("heap per backend of the table: \(perBackend) bytes")
    if hasListeners { print("heap per listener and its route: \(routes / listeners.count) bytes") }
    #expect(perBackend <= 0.17 * 1024)
    withExtendedLifetime(change) {}
  }

  private static var heapInUse: Int {
    let heap = mallinfo2()
    return Int(heap.uordblks + heap.hblkhd)
  }

  private static func route(_ number: Int) -> GroupRoute {
    GroupRoute(
      name: GroupName("group-\(number)"), balance: .roundRobin, holdTimeout: .seconds(10), drainTimeout: .seconds(30),
      members: (0..<membersPerGroup).map { member in
        MemberRoute(
          backend: BackendID("service-\(number).example.com:127.0.0.\(member):8080"),
          address: .ip(.v4(0x7F00_0001 + UInt32(member)), port: 8080), weight: 1,
          standing: member == 0 ? Standings(all: .serve) : Standings(primary: .demoted, replica: .serve, any: .serve))
      })
  }
}
