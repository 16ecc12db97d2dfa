import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

/// Clients that connect, read the name of who serves them and leave, as fast as they can.
private final class Visitors: Sendable {
  enum Ending: Hashable {
    case served(String)
    case refused
    /// Taken by nobody, or cut off: what must never be seen.
    case broken(String)
  }

  private let endings = Mutex<[Ending: Int]>([:])
  private let isStopping = Atomic(false)
  private let running = Counter()

  var counts: [Ending: Int] { endings.withLock { $0 } }
  var total: Int { counts.values.reduce(0, +) }
  var broken: [Ending: Int] { counts.filter { if case .broken = $0.key { true } else { false } } }
  func served(by name: String) -> Int { counts[.served(name), default: 0] }

  init(to address: SocketAddress, clients: Int = 6) {
    for _ in 0..<clients {
      running.add(1)
      Threads.start { [self] in
        while !isStopping.load(ordering: .relaxed) {
          let ending = Self.visit(address)
          endings.withLock { $0[ending, default: 0] += 1 }
          // Its successor may be two processes away; without a pause the refused would keep the machine from everything else.
          if ending == .refused { usleep(200) }
        }
        running.add(-1)
      }
    }
  }

  deinit { isStopping.store(true, ordering: .relaxed) }

  /// Waits for that many more.
  func visits(_ more: Int) -> Bool {
    let wanted = total + more
    return eventually { self.total >= wanted }
  }

  func stop() -> Bool {
    isStopping.store(true, ordering: .relaxed)
    return eventually { self.running.value == 0 }
  }

  private static func visit(_ address: SocketAddress) -> Ending {
    guard let socket = TestSocket(connectingTo: address) else {
      return [ECONNREFUSED, ENOENT].contains(errno) ? .refused : .broken("connect: \(errno)")
    }
    let (bytes, end) = socket.receive(16)
    return end.map { .broken("\($0)") } ?? .served(String(decoding: bytes, as: UTF8.self))
  }
}

@Suite(.serialized) struct ListenerEndTests {
  private static let places = ["127.0.0.1:0", "[::1]:0", "unix"]

  private func place(_ text: String) -> String {
    text == "unix" ? "unix:/tmp/leba-end-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock" : text
  }

  @Test(arguments: places, [1, 3]) func `who connects while listeners end is served or refused, never reset`(
    text: String, workers: Int
  ) async throws {
    let server = TestServer.named("a")
    for round in 0..<6 {
      let rig = try Rig { $0.workers = workers }
      rig.publish(.init("a", server.address))
      let front = try rig.listen(on: place(text))
      let visitors = Visitors(to: front)
      #expect(visitors.visits(300))
      if round.isMultiple(of: 2) {
        rig.proxy.close("front")
      } else {
        await rig.proxy.drain(timeout: .seconds(30))
      }
      #expect(visitors.visits(300))
      #expect(visitors.stop())
      #expect(visitors.broken.isEmpty, "\(visitors.counts)")
      #expect(visitors.counts[.refused, default: 0] > 0)
      #expect(rig.counts().accepted == UInt64(visitors.served(by: "a")))
    }
  }

  @Test(arguments: places, [(1, 1), (1, 3), (3, 1), (3, 2), (2, 4)]) func `a proxy takes listening sockets over and nobody notices`(
    text: String, workers: (Int, Int)
  ) async throws {
    let (a, b) = (TestServer.named("a"), TestServer.named("b"))
    let old = try Rig { $0.workers = workers.0 }
    old.publish(.init("a", a.address))
    let front = try old.listen(on: place(text))
    let guest = try #require(TestSocket(connectingTo: front))
    #expect(guest.receiveText(1) == "a")
    let visitors = Visitors(to: front)
    #expect(visitors.visits(300))

    let inherited = try #require(old.proxy.copyListeners().first)
    #expect(inherited.address == front)
    #expect(inherited.sockets.count == (text == "unix" ? 1 : workers.0))
    let new = try Rig {
      $0.workers = workers.1
      $0.acceptsAtOnce = false
    }
    new.publish(.init("b", b.address))
    let specification = ListenerSpecification(name: "next", address: front, group: "app", role: .any, clientSpeaksFirst: false)
    #expect(try new.proxy.open(specification, inherited: inherited.sockets) == front)
    #expect(visitors.visits(300))
    #expect(visitors.served(by: "b") == 0)
    new.proxy.startAccepting()
    // While both accept, who gets a connection is the kernel's choice.
    #expect(visitors.visits(300))
    let drained = Counter()
    old.proxy.drain(timeout: .seconds(600), handedOver: true) { drained.add(1) }
    #expect(eventually { old.counts().active == 1 })
    #expect(eventually { visitors.served(by: "b") > 0 })
    let servedByOld = visitors.served(by: "a")
    #expect(visitors.visits(600))
    #expect(visitors.stop())

    #expect(visitors.broken.isEmpty && visitors.counts[.refused] == nil, "\(visitors.counts)")
    #expect(visitors.served(by: "a") <= servedByOld + 6)
    #expect(new.counts("next").accepted == UInt64(visitors.served(by: "b")))
    #expect(old.counts().accepted == UInt64(visitors.served(by: "a") + 1))
    // The old session goes on where it was.
    guest.send("hello")
    #expect(guest.receiveText(5) == "hello")
    #expect(drained.value == 0)
    guest.close()
    #expect(eventually { drained.value == 1 })
    old.proxy.stop()
    // The end of the old one takes nothing away from the new one, the file of a unix socket neither.
    #expect(try #require(TestSocket(connectingTo: front)).receiveText(1) == "b")
    new.proxy.close("next")
    #expect(TestSocket(connectingTo: front) == nil)
  }

  @Test(arguments: places) func `a take-over that is given up leaves the old proxy as it was`(text: String) throws {
    let server = TestServer.named("a")
    let old = try Rig()
    old.publish(.init("a", server.address))
    let front = try old.listen(on: place(text))
    let visitors = Visitors(to: front)
    for _ in 0..<5 {
      let inherited = try #require(old.proxy.copyListeners().first)
      let new = try Rig { $0.acceptsAtOnce = false }
      let specification = ListenerSpecification(name: "next", address: front, group: "app", role: .any, clientSpeaksFirst: false)
      try new.proxy.open(specification, inherited: inherited.sockets)
      #expect(visitors.visits(50))
      // As the kernel does it for a process that dies: no end in good order, which would remove a unix socket's file.
      new.proxy.drain(timeout: .zero, handedOver: true) {}
      new.proxy.stop()
    }
    #expect(visitors.visits(100))
    #expect(visitors.stop())
    #expect(visitors.broken.isEmpty && visitors.counts[.refused] == nil, "\(visitors.counts)")
  }

  @Test(arguments: places, [1, 2]) func `another group at the same address is no interruption`(text: String, workers: Int) throws {
    let (a, b) = (TestServer.named("a"), TestServer.named("b"))
    let rig = try Rig { $0.workers = workers }
    rig.publish(.init("a", a.address), group: "one")
    rig.publish(.init("b", b.address), group: "two")
    let front = try rig.listen(on: place(text), group: "one")
    let guest = try #require(TestSocket(connectingTo: front))
    #expect(guest.receiveText(1) == "a")
    let visitors = Visitors(to: front)
    #expect(visitors.visits(300))
    var name: ListenerName = "front"
    for round in 0..<6 {
      // Under the same name and under others.
      let next = ListenerName(round.isMultiple(of: 2) ? name.rawValue : "front\(round)")
      let group: GroupName = round.isMultiple(of: 2) ? "two" : "one"
      try rig.proxy.replace(
        name, with: ListenerSpecification(name: next, address: front, group: group, role: .any, clientSpeaksFirst: false))
      name = next
      let wanted = round.isMultiple(of: 2) ? "b" : "a"
      let before = visitors.served(by: wanted)
      #expect(eventually { visitors.served(by: wanted) > before + 20 })
    }
    #expect(visitors.stop())
    #expect(visitors.broken.isEmpty && visitors.counts[.refused] == nil, "\(visitors.counts)")
    guest.send("hello")
    #expect(guest.receiveText(5) == "hello")
    rig.proxy.close(name)
    #expect(TestSocket(connectingTo: front) == nil)
  }

  @Test func `what the service manager holds is left alone`() async throws {
    let server = TestServer.named("a")
    let (manager, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 64)
    defer { close(manager) }
    for _ in 0..<2 {
      let rig = try Rig()
      rig.publish(.init("a", server.address))
      let copy = try #require(ListeningSocket(inherited: dup(manager), isHeldElsewhere: true))
      try rig.proxy.open(
        ListenerSpecification(name: "front", address: address, group: "app", role: .any, clientSpeaksFirst: false),
        inherited: [copy])
      #expect(try #require(TestSocket(connectingTo: address)).receiveText(1) == "a")
      await rig.proxy.drain(timeout: .seconds(30))
      rig.proxy.stop()
      // Waits for the next one.
      let patient = try #require(TestSocket(connectingTo: address))
      let next = try Rig()
      next.publish(.init("a", server.address))
      try next.proxy.open(
        ListenerSpecification(name: "front", address: address, group: "app", role: .any, clientSpeaksFirst: false),
        inherited: [try #require(ListeningSocket(inherited: dup(manager), isHeldElsewhere: true))])
      #expect(patient.receiveText(1) == "a")
    }
  }

  @Test func `what is no listening socket is not taken over`() throws {
    var ends: [Int32] = [-1, -1]
    #expect(pipe2(&ends, 0) == 0)
    #expect(ListeningSocket(inherited: ends[0], isHeldElsewhere: true) == nil)
    #expect(ListeningSocket(inherited: ends[1], isHeldElsewhere: true) == nil)
    #expect(ListeningSocket(inherited: leba_stream_socket(AF_INET), isHeldElsewhere: true) == nil)
    #expect(ListeningSocket(inherited: 1 << 20, isHeldElsewhere: true) == nil)
  }
}
