import CLinux
import Glibc
import Model
import Testing

@testable import Proxy

/// Nothing is said for a moment on new connections to a backend that broke a session.
@Suite struct MistrustTests {
  /// Ends its first connection at the first bytes and without an answer; says its name to all who speak later.
  private static func breaksFirst(_ name: String, byReset: Bool = true) -> TestServer {
    let served = Counter()
    return TestServer { socket in
      served.add(1)
      let isFirst = served.value == 1
      while case (_, nil) = socket.receive() {
        if isFirst { return byReset ? socket.reset() : socket.close() }
        socket.send(name)
      }
    }
  }

  private static func rig(mistrust: Duration = .seconds(600), workers: Int = 1) throws -> (Rig, SocketAddress) {
    let rig = try Rig {
      $0.mistrust = mistrust
      $0.workers = workers
    }
    return (rig, try rig.listen(clientSpeaksFirst: true))
  }

  private static func client(_ front: SocketAddress) throws -> TestSocket {
    let client = try #require(TestSocket(connectingTo: front))
    client.send("?")
    return client
  }

  /// What the first client meets. All workers know of it afterwards.
  private static func meetTheBreak(_ rig: Rig, _ front: SocketAddress) throws {
    #expect(try client(front).receive().end != nil)
    _ = rig.statistics
  }

  @Test(arguments: [true, false])
  func whoComesNextGoesElsewhereAfterTheVerdict(byReset: Bool) throws {
    let (a, b) = (Self.breaksFirst("a", byReset: byReset), TestServer.named("b"))
    let (rig, front) = try Self.rig()
    rig.publish(.init("a", a.address))
    try Self.meetTheBreak(rig, front)
    let next = try Self.client(front)
    #expect(eventually { a.accepted == 2 })
    rig.publish(.init("a", a.address, Standings(all: .dead)), .init("b", b.address))
    #expect(next.receiveText(1) == "b")
    #expect(rig.counts().retries == [.fenced: 1])
  }

  @Test func allWorkersHearOfIt() throws {
    let (a, b) = (Self.breaksFirst("a"), TestServer.named("b"))
    let (rig, front) = try Self.rig(workers: 2)
    rig.publish(.init("a", a.address))
    try Self.meetTheBreak(rig, front)
    let clients = try (0..<16).map { _ in try Self.client(front) }
    #expect(eventually { a.accepted == 17 })
    rig.publish(.init("a", a.address, Standings(all: .dead)), .init("b", b.address))
    for client in clients { #expect(client.receiveText(1) == "b") }
  }

  @Test(arguments: [Duration.zero, .seconds(10)])
  func withoutAVerdictItIsTrustedAgain(hold: Duration) throws {
    let a = Self.breaksFirst("a")
    let (rig, front) = try Self.rig(mistrust: .milliseconds(200))
    rig.publish(.init("a", a.address), hold: hold)
    try Self.meetTheBreak(rig, front)
    let clients = try (0..<40).map { _ in try Self.client(front) }
    for client in clients { #expect(client.receiveText(1) == "a") }
    #expect(rig.counts().retries.isEmpty)
  }

  /// The kernel takes the connection, and resets it when it comes to the listening socket.
  @Test func aConnectionThatDiesUnheardIsRetriedAtOnce() throws {
    let (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 16)
    let b = TestServer.named("b")
    let (rig, front) = try Self.rig()
    rig.publish(.init("a", address))
    let first = try Self.client(front)
    let served = try #require(TestSocket(acceptedFrom: listener))
    #expect(served.receiveText(1) == "?")
    served.reset()
    #expect(first.receive().end == .reset)
    let next = try Self.client(front)
    #expect(eventually { rig.counts().activeByBackend == ["a": 1] })
    rig.publish(.init("a", address), .init("b", b.address))
    close(listener)
    #expect(next.receiveText(1) == "b")
    let retries = rig.counts().retries
    #expect(retries == [.reset: 1] || retries == [.connectRefused: 1])
  }

  // MARK: Good reasons to end a session, and bad ones

  @Test func anEndWithTheAnswerIsNoReason() throws {
    let a = TestServer { socket in
      _ = socket.receive()
      // The answer and the end leave in one segment.
      _ = leba_set_option(socket.descriptor, Int32(IPPROTO_TCP), TCP_CORK, 1)
      socket.send("a")
      socket.close()
    }
    let (rig, front) = try Self.rig()
    rig.publish(.init("a", a.address))
    for _ in 0..<3 { #expect(try Self.client(front).receiveToEnd() == (Array("a".utf8), .clean)) }
  }

  @Test func anEndOutOfSilenceIsOne() throws {
    let served = Counter()
    let a = TestServer { socket in
      served.add(1)
      let isFirst = served.value == 1
      while case (_, nil) = socket.receive() {
        socket.send("a")
        if isFirst {
          usleep(20_000)
          return
        }
      }
    }
    let (rig, front) = try Self.rig()
    rig.publish(.init("a", a.address))
    let first = try Self.client(front)
    #expect(first.receiveToEnd() == (Array("a".utf8), .clean))
    let next = try Self.client(front)
    #expect(eventually { a.accepted == 2 })
    let b = TestServer.named("b")
    rig.publish(.init("a", a.address, Standings(all: .dead)), .init("b", b.address))
    #expect(next.receiveText(1) == "b")
  }

  @Test func whatIsASign() {
    func isCalledFor(_ owesAnswer: Bool, _ silence: Duration, _ afterBusyPass: Bool) -> Bool {
      Mistrust.isCalledFor(owesAnswer: owesAnswer, silentFor: silence, afterBusyPass: afterBusyPass)
    }
    let (little, enough) = (Duration.microseconds(999), Duration.milliseconds(1))
    #expect(isCalledFor(true, .zero, false) && isCalledFor(true, .zero, true))
    #expect(isCalledFor(false, enough, false))
    #expect(!isCalledFor(false, little, false))
    #expect(!isCalledFor(false, enough, true))
  }

  @Test func onceASecondAtMost() {
    var mistrust = Mistrust()
    let start = Instant(nanoseconds: 5)
    let (length, second) = (Duration.milliseconds(8), Duration.seconds(1))
    #expect(!mistrust.isOn(start))
    let first = mistrust.begin(3, lasting: length, now: start)
    #expect(first && mistrust.isOn(start) && mistrust.concerns(3) && !mistrust.concerns(4))
    let atItsEnd = mistrust.begin(4, lasting: length, now: start + length)
    #expect(!atItsEnd && !mistrust.isOn(start + length) && mistrust.concerns(3))
    let tooSoon = mistrust.begin(4, lasting: length, now: start + length + second - .nanoseconds(1))
    let inTime = mistrust.begin(4, lasting: length, now: start + length + second)
    #expect(!tooSoon && inTime)
    #expect(mistrust.concerns(4))
  }
}
