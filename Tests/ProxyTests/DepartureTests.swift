import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

/// What a new table, a drain and a stop do to the sessions that are there. End to end.
@Suite struct SessionEndTests {
  /// A client that has exchanged a few bytes: its session is quiet from now on.
  private func quietClient(_ front: SocketAddress) throws -> TestSocket {
    let client = try #require(TestSocket(connectingTo: front))
    client.send("ping")
    #expect(client.receiveText(4) == "ping")
    return client
  }

  /// A client that waits for an answer: its session is busy.
  private func busyClient(_ front: SocketAddress, _ rig: Rig) throws -> TestSocket {
    let before = rig.counts().received
    let client = try #require(TestSocket(connectingTo: front))
    client.send("work")
    #expect(rig.reaches { $0.received == before + 4 })
    return client
  }

  @Test func theSessionsOfADeadBackendAreReset() throws {
    let (a, b) = (TestServer.echo(), TestServer.echo())
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", a.address), .init("b", b.address))
    let clients = try (0..<40).map { _ in try quietClient(front) }
    rig.publish(.init("a", a.address, Standings(all: .dead)), .init("b", b.address))
    #expect(rig.ends(as: .backendLost, count: 20))
    #expect(rig.counts().activeByBackend == ["b": 20])
    var (reset, alive) = (0, 0)
    for client in clients {
      if client.isReset { reset += 1 }
      if client.send(Array("ping".utf8)) == 4, client.receiveText(4) == "ping" { alive += 1 }
    }
    #expect(reset == 20)
    #expect(alive == 20)
    #expect(rig.signals.isEmpty)
  }

  @Test func bytesOfADeadBackendThatHadArrivedAreDelivered() throws {
    let server = TestServer { socket in
      socket.send("last words")
      _ = socket.receiveToEnd()
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(rig.reaches { $0.sent == 10 })
    rig.publish(.init("a", server.address, Standings(all: .dead)))
    #expect(rig.ends(as: .backendLost))
    let (bytes, end) = client.receiveToEnd()
    #expect(String(decoding: bytes, as: UTF8.self) == "last words")
    #expect(end == .reset)
  }

  @Test func aQuietSessionOfADemotedBackendEndsInGoodOrderAndABusyOneAtTheDeadline() throws {
    let collected = Mutex<[TestSocket.End]>([])
    let server = TestServer { socket in
      while case (let bytes, nil) = socket.receive(), bytes == Array("ping".utf8) { socket.send(bytes) }
      let (_, end) = socket.receiveToEnd()
      collected.withLock { $0.append(end) }
    }
    let rig = try Rig { $0.demotedDeadline = .milliseconds(600) }
    let front = try rig.listen(role: .primary)
    rig.publish(.init("a", server.address))
    let published = leba_monotonic_ns()
    let quiet = try quietClient(front)
    let busy = try busyClient(front, rig)
    // The deadline counts from the demotion, not from when the backend became known.
    #expect(eventually { leba_monotonic_ns() - published > 300_000_000 })
    let start = leba_monotonic_ns()
    rig.publish(.init("a", server.address, Standings(primary: .demoted, replica: .serve, any: .serve)))
    #expect(quiet.receive().end == .clean)
    quiet.close()
    #expect(rig.counts().active >= 1, "the busy session goes on")
    #expect(busy.receive().end == .reset)
    #expect(leba_monotonic_ns() - start >= 550_000_000)
    #expect(rig.ends(as: .demoted, count: 2))
    #expect(eventually { collected.withLock { $0.count } >= 1 })
  }

  @Test func anIdleStandingLeavesSessionsAlone() throws {
    let server = TestServer.echo()
    let rig = try Rig { $0.demotedDeadline = .zero }
    let front = try rig.listen(role: .primary)
    rig.publish(.init("a", server.address))
    let client = try quietClient(front)
    rig.publish(.init("a", server.address, Standings(all: .idle)), drain: .zero)
    client.send("more")
    #expect(client.receiveText(4) == "more")
    // Taken out of service, but not out of the conversation; and nobody new comes.
    let late = try #require(TestSocket(connectingTo: front))
    #expect(eventually { rig.statistics.held["app"] == 1 })
    withExtendedLifetime(late) {}
  }

  @Test func aRemovedBackendKeepsItsSessionsUntilTheDrainTimeout() throws {
    let (a, b) = (TestServer.echo(), TestServer.echo())
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", a.address))
    let client = try quietClient(front)
    rig.publish(.init("b", b.address), drain: .seconds(600))
    client.send("more")
    #expect(client.receiveText(4) == "more")
    #expect(rig.counts().activeByBackend == ["a": 1])
    // Named again, it is the same backend; gone again, with no time left.
    rig.publish(.init("a", a.address), drain: .milliseconds(100))
    rig.publish(.init("b", b.address), drain: .milliseconds(100))
    #expect(client.receive().end == .clean)
    client.close()
    #expect(rig.ends(as: .drained))
  }

  @Test func aBackendAtANewAddressIsAnotherBackend() throws {
    let (old, new) = (TestServer.named("old"), TestServer.named("new"))
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", old.address))
    let first = try #require(TestSocket(connectingTo: front))
    #expect(first.receiveText(3) == "old")
    rig.publish(.init("a", new.address), drain: .milliseconds(1))
    #expect(first.receive().end == .clean)
    #expect(try #require(TestSocket(connectingTo: front)).receiveText(3) == "new")
  }

  @Test func aTableOfTenThousandBackendsIsSwappedWhileSessionsGoOn() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    func table(_ standing: Standing, reversed: Bool = false) -> [Rig.Member] {
      let crowd = (0..<10_000).map { number in
        Rig.Member(
          BackendID("b\(number)"), .ip(.v4(0x7F00_0001 + UInt32(number)), port: 9), Standings(all: standing))
      }
      return (reversed ? crowd.reversed() : crowd) + [Rig.Member("a", server.address)]
    }
    rig.publish(table(.idle))
    let client = try quietClient(front)
    for round in 0..<6 { rig.publish(table(round % 2 == 0 ? .dead : .drain, reversed: round % 3 == 0)) }
    client.send("more")
    #expect(client.receiveText(4) == "more")
    #expect(rig.counts().activeByBackend == ["a": 1])
  }

  // MARK: Draining the process

  @Test func aDrainLetsAnAnswerFinishAndClosesWhatIsQuiet() throws {
    let release = Counter()
    let server = TestServer { socket in
      while case (let bytes, nil) = socket.receive() {
        if bytes != Array("ping".utf8) { _ = eventually { release.value > 0 } }
        socket.send(bytes)
      }
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let quiet = try quietClient(front)
    let busy = try busyClient(front, rig)
    let drained = Counter()
    rig.proxy.drain(timeout: .seconds(600)) { drained.add(1) }
    #expect(eventually { TestSocket(connectingTo: front) == nil })
    #expect(quiet.receive().end == .clean)
    quiet.close()
    #expect(drained.value == 0)
    release.add(1)
    #expect(busy.receiveText(4) == "work")
    #expect(busy.receive().end == .clean)
    busy.close()
    #expect(eventually { drained.value == 1 })
    // The probes above may have been accepted before the listener closed.
    #expect(rig.counts().ended[.drained] == 2)
    #expect(rig.counts().active == 0)
  }

  @Test func aDrainEndsAtItsTimeout() async throws {
    let server = TestServer { socket in _ = socket.receiveToEnd() }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let busy = try busyClient(front, rig)
    await rig.proxy.drain(timeout: .milliseconds(100))
    // Cut short, so it must not look complete.
    #expect(busy.receive().end == .reset)
    #expect(rig.counts().ended == [.drained: 1])
  }

  @Test func heldConnectionsKeepTheirChanceDuringADrain() throws {
    let server = TestServer.named("a")
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(hold: .seconds(600))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(eventually { rig.statistics.held["app"] == 1 })
    let drained = Counter()
    rig.proxy.drain(timeout: .seconds(600)) { drained.add(1) }
    rig.publish(.init("a", server.address), hold: .seconds(600))
    #expect(client.receiveText(1) == "a")
    client.close()
    #expect(eventually { drained.value == 1 })
    #expect(rig.counts().active == 0)
  }

  @Test func stopEndsEverythingAtOnceAndCountsIt() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    let waiting = try rig.listen("waiting", clientSpeaksFirst: true)
    rig.publish(.init("a", server.address))
    let client = try quietClient(front)
    let silent = try #require(TestSocket(connectingTo: waiting))
    #expect(rig.reaches("waiting") { $0.active == 1 })
    rig.proxy.stop()
    #expect(client.receive().end == .clean)
    #expect(silent.receive().end == .clean)
    #expect(rig.counts().ended == [.stopped: 1])
    #expect(rig.counts("waiting").ended == [.stopped: 1])
    #expect(TestSocket(connectingTo: front) == nil)
    #expect(throws: ListenError.self) { try rig.listen("late") }
    rig.proxy.stop()
  }
}

/// The decision alone.
@Suite struct DepartureTests {
  private static let now = Instant(nanoseconds: 1_000_000_000_000)

  private func decide(
    _ standing: Standing, since: Duration = .zero, busy: Bool = false, silent: Duration = .zero, processEndsIn: Duration? = nil
  ) -> Departure {
    let circumstances = Departure.Circumstances(
      standing: standing, standingSince: Self.now - since, demotedDeadline: .seconds(2), drainTimeout: .seconds(30),
      processEndsAt: processEndsIn.map { Self.now + $0 })
    return Departure.decide(circumstances, busy: busy, lastActivity: Self.now - silent, now: Self.now)
  }

  @Test func standings() {
    #expect(decide(.serve, silent: .seconds(900)) == .stay)
    #expect(decide(.idle, silent: .seconds(900)) == .stay)
    #expect(decide(.dead, busy: false, silent: .seconds(900)) == .reset(.backendLost))
    #expect(decide(.demoted, silent: .milliseconds(100)) == .closeCleanly(.demoted))
    #expect(decide(.demoted, silent: .milliseconds(40)) == .lookAgain(at: Self.now + .milliseconds(60)))
    #expect(decide(.demoted, busy: true, silent: .seconds(9)) == .lookAgain(at: Self.now + .milliseconds(100)))
    #expect(decide(.demoted, since: .seconds(2), busy: true) == .reset(.demoted))
    #expect(decide(.demoted, since: .seconds(2), busy: false) == .closeCleanly(.demoted))
    #expect(decide(.drain, since: .seconds(29), silent: .seconds(29)) == .lookAgain(at: Self.now + .seconds(1)))
    #expect(decide(.drain, since: .seconds(30)) == .closeCleanly(.drained))
    #expect(decide(.drain, since: .seconds(30), busy: true) == .reset(.drained))
  }

  @Test func processDrain() {
    let quiet = Departure.drainQuiet
    let almost = quiet - .milliseconds(100)
    #expect(decide(.serve, silent: quiet, processEndsIn: .seconds(30)) == .closeCleanly(.drained))
    #expect(decide(.serve, silent: almost, processEndsIn: .seconds(30)) == .lookAgain(at: Self.now + .milliseconds(100)))
    #expect(decide(.serve, busy: true, silent: .seconds(20), processEndsIn: .seconds(30)) == .lookAgain(at: Self.now + quiet))
    #expect(decide(.serve, busy: true, processEndsIn: .zero) == .reset(.drained))
    #expect(decide(.serve, busy: false, processEndsIn: .zero) == .closeCleanly(.drained))
    #expect(decide(.dead, silent: .seconds(1), processEndsIn: .seconds(30)) == .reset(.backendLost))
    #expect(
      decide(.demoted, busy: true, processEndsIn: .seconds(30)) == .lookAgain(at: Self.now + .milliseconds(100)),
      "the sooner of two looks")
  }
}
