import CLinux
import Glibc
import Model
import Testing

@testable import Proxy

/// Bytes that nobody may lose, repeat, swap or give to somebody else. Each connection has bytes of its own in each direction, and
/// both directions move at the same time.
@Suite(.serialized) struct StreamTests {
  private func relay(_ plans: [Crowd.Plan], _ change: (inout Proxy.Settings) -> Void = { _ in }) throws -> Rig {
    let crowd = Crowd(plans)
    let rig = try Rig(change)
    let front = try rig.listen()
    rig.publish(.init("a", crowd.address))
    let allEnded = crowd.run(plans.indices, through: front)
    #expect(allEnded, "\(crowd.faults)")
    #expect(rig.reaches { $0.active == 0 })
    return rig
  }

  @Test func `one-byte slices arrive in order, in both directions at once`() throws {
    let plans = (0..<10).map { _ in Crowd.Plan(toServer: 2000, toClient: 2000, client: .slices, server: .slices) }
    let rig = try relay(plans)
    #expect(rig.counts().ended == [.completed: 10])
  }

  @Test func `five hundred connections, cut into other pieces on the way, keep their bytes apart`() throws {
    let sizes = [0, 1, 100, 5000, 65_535, 65_536, 65_537, 200_000, 500_000]
    var generator = SeededGenerator(seed: 500)
    let plans = (0..<500).map { number in
      Crowd.Plan(
        toServer: sizes[number % sizes.count], toClient: sizes.randomElement(using: &generator) ?? 0,
        client: number % 5 == 1 ? .slow : Crowd.Manner(), server: number % 7 == 1 ? .slow : Crowd.Manner())
    }
    let rig = try relay(plans)
    let counts = rig.counts()
    #expect(counts.ended == [.completed: 500])
    #expect(counts.received == plans.reduce(0) { $0 + UInt64($1.toServer + 4) })
    #expect(counts.sent == plans.reduce(0) { $0 + UInt64($1.toClient) })
  }

  @Test func `few buffers for many connections mix nothing up`() throws {
    let plans = (0..<100).map {
      Crowd.Plan(toServer: 70_000 + $0, toClient: 90_000 - $0, server: $0 % 3 == 0 ? .slow : Crowd.Manner())
    }
    let rig = try relay(plans) { $0.bufferLimit = 3 }
    #expect(rig.counts().ended == [.completed: 100])
  }

  @Test func `the last words after twelve megabytes arrive in both directions at once`() throws {
    let rig = try relay([Crowd.Plan(toServer: 12_000_031, toClient: 12_000_017)])
    #expect(rig.counts().ended == [.completed: 1])
  }

  /// In batches: both ends and the proxy are in this process, four descriptors a connection.
  @Test func `ten thousand connections leave no session, no socket and no buffer behind`() throws {
    let batch = min(2000, Int(leba_raise_descriptor_limit()) / 10)
    let endings: [Crowd.Ending] = [.inGoodOrder, .clientResets, .inGoodOrder, .serverResets]
    let plans = (0..<10_000).map { Crowd.Plan(toServer: 40, toClient: 300, ending: endings[$0 % 4]) }
    let crowd = Crowd(plans)
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", crowd.address))
    for first in stride(from: 0, to: plans.count, by: batch) {
      let batchEnded = crowd.run(first..<min(first + batch, plans.count), through: front)
      try #require(batchEnded, "\(crowd.faults)")
      #expect(rig.reaches { $0.active == 0 && $0.activeByBackend.isEmpty })
    }
    #expect(rig.counts().ended == [.completed: 5000, .resetByClient: 2500, .resetByBackend: 2500])
    // The two listeners. Exact, because only the sockets of this test are counted: other suites run beside it.
    #expect(eventually { openSockets(at: [front, crowd.address]) == 2 })
  }

  /// The descriptors of this process that have one of the addresses at either end.
  private func openSockets(at addresses: Set<SocketAddress>) -> Int {
    (0..<Int32(clamping: leba_raise_descriptor_limit())).count { descriptor in
      guard let own = KernelAddress(localAddressOf: descriptor)?.ip else { return false }
      return addresses.contains(own) || KernelAddress(peerAddressOf: descriptor)?.ip.map(addresses.contains) == true
    }
  }
}
