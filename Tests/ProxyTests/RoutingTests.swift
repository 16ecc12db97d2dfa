import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

/// Which backend a connection gets, and what happens while there is none.
@Suite struct RoutingTests {
  @Test func connectionsGoRoundByWeight() throws {
    let (a, b) = (TestServer.named("a"), TestServer.named("b"))
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", a.address, weight: 3), .init("b", b.address, weight: 1))
    var names = ""
    for _ in 0..<8 {
      let client = try #require(TestSocket(connectingTo: front))
      names += client.receiveText(1)
    }
    #expect(names.filter { $0 == "a" }.count == 6)
    #expect(names.filter { $0 == "b" }.count == 2)
  }

  @Test func leastConnectionsPrefersTheIdleBackend() throws {
    let (a, b) = (TestServer.named("a"), TestServer.named("b"))
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", a.address), balance: .leastConnections)
    let busy = try (0..<3).map { _ in try #require(TestSocket(connectingTo: front)) }
    for client in busy { #expect(client.receiveText(1) == "a") }
    rig.publish(.init("a", a.address), .init("b", b.address), balance: .leastConnections)
    let rest = try (0..<3).map { _ in
      let client = try #require(TestSocket(connectingTo: front))
      #expect(client.receiveText(1) == "b")
      return client
    }
    #expect(rig.counts().activeByBackend == ["a": 3, "b": 3])
    withExtendedLifetime((busy, rest)) {}
  }

  @Test(arguments: [Balance.sourceHash, .consistentHash], ["127.0.0.1:0", "unix:/tmp/leba-hash-\(getpid()).sock"])
  func `the clients of one address stay on one backend`(balance: Balance, listener: String) throws {
    let (a, b) = (TestServer.named("a"), TestServer.named("b"))
    let rig = try Rig { $0.workers = 2 }
    rig.publish(.init("a", a.address), .init("b", b.address), balance: balance)
    let front = try rig.listen(on: listener == "127.0.0.1:0" ? listener : "\(listener).\(balance.rawValue)")
    let names = try (0..<8).map { _ in try #require(TestSocket(connectingTo: front)).receiveText(1) }
    #expect(Set(names).count == 1)
  }

  @Test func aListenerServesItsRoleOnly() throws {
    let (a, b) = (TestServer.named("a"), TestServer.named("b"))
    let rig = try Rig()
    let primary = try rig.listen("primary", role: .primary)
    let replica = try rig.listen("replica", role: .replica)
    rig.publish(
      .init("a", a.address, Standings(primary: .serve, replica: .idle, any: .serve)),
      .init("b", b.address, Standings(primary: .idle, replica: .serve, any: .serve)))
    for _ in 0..<3 {
      #expect(try #require(TestSocket(connectingTo: primary)).receiveText(1) == "a")
      #expect(try #require(TestSocket(connectingTo: replica)).receiveText(1) == "b")
    }
  }

  @Test func aRefusedConnectGoesToTheNextBackendWithTheFirstBytesIntact() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish(.init("gone", refusingAddress()), .init("a", server.address))
    for round in 0..<6 {
      let client = try #require(TestSocket(connectingTo: front))
      let first = noise(50_000, seed: UInt64(round))
      Threads.start {
        client.send(first)
        client.endSending()
      }
      #expect(client.receiveToEnd().bytes == first)
    }
    #expect(rig.ends(as: .completed, count: 6))
    #expect(rig.counts().retries == [.connectRefused: 3])
    #expect(
      rig.signals.allSatisfy { $0 == DataPathSignal(member: MemberKey(group: "app", backend: "gone"), kind: .connectRefused) })
    #expect(!rig.signals.isEmpty)
  }

  @Test func aSilentBackendCostsOneConnectTimeout() throws {
    let (silent, server) = (Blackhole(), TestServer.named("a"))
    let rig = try Rig { $0.connectTimeout = .milliseconds(150) }
    let front = try rig.listen()
    rig.publish(.init("silent", silent.address), .init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(client.receiveText(1) == "a")
    #expect(rig.counts().retries == [.connectTimedOut: 1])
    #expect(rig.signals.map(\.kind) == [.connectTimedOut])
  }

  /// A backend whose process dies with connections in its accept queue: the kernel resets them, and nobody has read a byte.
  @Test func aResetBeforeAnyByteGoesToTheNextBackend() throws {
    let rude = TestServer { $0.reset() }
    let server = TestServer.named("a")
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("rude", rude.address), .init("a", server.address))
    for _ in 0..<4 {
      let client = try #require(TestSocket(connectingTo: front))
      #expect(client.receiveText(1) == "a")
    }
    #expect(rig.counts().retries.keys.map(\.self) == [.reset])
  }

  @Test func aBackendThatAcceptsAndResetsForEverEndsInAHoldTimeout() throws {
    let rude = TestServer { $0.reset() }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("rude", rude.address), hold: .milliseconds(400))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(client.receiveToEnd().end == .clean)
    #expect(rig.ends(as: .holdTimeout))
    #expect(rude.accepted < 20)
  }

  // MARK: Speaking first

  @Test func noUpstreamIsOpenedBeforeTheClientSpeaks() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish(.init("a", server.address))
    let silent = try (0..<10).map { _ in try #require(TestSocket(connectingTo: front)) }
    let speaker = try #require(TestSocket(connectingTo: front))
    speaker.send("hello")
    #expect(speaker.receiveText(5) == "hello")
    #expect(rig.reaches { $0.active == 11 })
    #expect(server.accepted == 1)
    for client in silent { client.close() }
    #expect(rig.ends(as: .clientSilent, count: 10))
    #expect(server.accepted == 1)
  }

  // MARK: Holding

  @Test func heldConnectionsAreServedWhenATableNamesABackend() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish()
    let clients = try (0..<300).map { number in
      let client = try #require(TestSocket(connectingTo: front))
      client.send("number \(number)")
      return client
    }
    #expect(eventually { rig.statistics.held["app"] == 300 })
    #expect(rig.counts().active == 300)
    rig.publish(.init("a", server.address))
    for (number, client) in clients.enumerated() {
      let text = "number \(number)"
      #expect(client.receiveText(text.utf8.count) == text)
    }
    #expect(rig.statistics.held.isEmpty)
  }

  @Test func aListenerBeforeTheFirstTableHolds() throws {
    let server = TestServer.named("a")
    let rig = try Rig()
    let client = try #require(TestSocket(connectingTo: try rig.listen()))
    #expect(eventually { rig.statistics.held["app"] == 1 })
    rig.publish(.init("a", server.address))
    #expect(client.receiveText(1) == "a")
  }

  @Test func aRestartedBackendIsFoundWithoutANewTable() throws {
    let address = refusingAddress()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", address))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(eventually { rig.counts().retries[.connectRefused, default: 0] >= 3 })
    let server = TestServer.named("a", on: address.description)
    #expect(client.receiveText(1) == "a")
    server.stop()
  }

  @Test(arguments: [true, false]) func aHoldTimeoutEndsInGoodOrder(clientSpeaksFirst: Bool) throws {
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: clientSpeaksFirst)
    rig.publish(hold: .milliseconds(200))
    let client = try #require(TestSocket(connectingTo: front))
    // Unread bytes would turn a careless close into a reset.
    client.send("is anybody there")
    let start = leba_monotonic_ns()
    #expect(client.receiveToEnd().end == .clean)
    #expect(leba_monotonic_ns() - start >= 150_000_000)
    // A client that does not close is not waited for long; and a reset behind the end would show as a pending error.
    #expect(rig.ends(as: .holdTimeout))
    #expect(leba_socket_error(client.descriptor) == 0)
  }

  @Test func aHeldClientThatLeavesIsForgottenAtOnce() throws {
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish(hold: .seconds(600))
    let clients = try (0..<4).map { _ in try #require(TestSocket(connectingTo: front)) }
    for client in clients { client.send("hello") }
    #expect(eventually { rig.statistics.held["app"] == 4 })
    clients[0].close()
    clients[2].reset()
    #expect(rig.ends(as: .clientLeft, count: 2))
    #expect(rig.statistics.held["app"] == 2)
    // The optimiser frees what is not used any more, and a freed client is one that leaves.
    withExtendedLifetime(clients) {}
  }

  @Test func heldConnectionsAreServedInTheOrderInWhichTheyCame() throws {
    let (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 512)
    defer { close(listener) }
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish()
    var clients: [TestSocket] = []
    for number in 0..<100 {
      let client = try #require(TestSocket(connectingTo: front))
      client.send([UInt8(number)])
      clients.append(client)
      // One after the other, or the order in which the kernel reports them is as good as any.
      #expect(eventually { rig.statistics.held["app"] == number + 1 })
    }
    rig.publish(.init("a", address))
    let order = (0..<100).map { _ in
      guard let connection = TestSocket(acceptedFrom: listener) else { return -1 }
      clients.append(connection)
      return connection.receiveExactly(1).first.map(Int.init) ?? -1
    }
    #expect(order == Array(0..<100))
  }

  /// Those who were tried and failed get their old place back.
  @Test func aFailedTryCostsNoPlaceInTheQueue() throws {
    let address = refusingAddress()
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish(.init("a", address))
    var clients: [TestSocket] = []
    for number in 0..<20 {
      let client = try #require(TestSocket(connectingTo: front))
      client.send([UInt8(number)])
      clients.append(client)
      #expect(eventually { rig.counts().active == number + 1 })
    }
    let before = rig.counts().retries[.connectRefused, default: 0]
    #expect(eventually { rig.counts().retries[.connectRefused, default: 0] >= before + 32 })
    let (listener, _) = TestServer.listen(on: address.description, backlog: 512)
    defer { close(listener) }
    // Newcomers could connect at once now, and must not overtake.
    for number in 20..<25 {
      let client = try #require(TestSocket(connectingTo: front))
      client.send([UInt8(number)])
      clients.append(client)
      #expect(eventually { rig.counts().active == number + 1 })
    }
    let order = (0..<25).map { _ in
      guard let connection = TestSocket(acceptedFrom: listener) else { return -1 }
      clients.append(connection)
      return connection.receiveExactly(1).first.map(Int.init) ?? -1
    }
    #expect(order == Array(0..<25))
  }

  @Test func aClientThatLeavesDuringAConnectIsForgottenWhenItWouldBeHeld() throws {
    let silent = Blackhole()
    let rig = try Rig { $0.connectTimeout = .milliseconds(100) }
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish(.init("a", silent.address), hold: .seconds(600))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("hello")
    client.close()
    #expect(rig.ends(as: .clientLeft))
  }

  @Test func aClientThatResetsDuringAConnectIsForgottenAtOnce() throws {
    let silent = Blackhole()
    let rig = try Rig { $0.connectTimeout = .seconds(300) }
    let front = try rig.listen()
    rig.publish(.init("a", silent.address), hold: .seconds(600))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(rig.reaches { $0.activeByBackend == ["a": 1] })
    client.reset()
    #expect(rig.ends(as: .resetByClient))
    #expect(rig.signals.isEmpty)
  }

  @Test func holdingIsBounded() throws {
    let rig = try Rig { $0.heldLimit = 3 }
    let front = try rig.listen()
    rig.publish(hold: .seconds(600))
    let clients = try (0..<5).map { _ in try #require(TestSocket(connectingTo: front)) }
    #expect(rig.reaches { $0.accepted == 5 })
    #expect(rig.statistics.held["app"] == 3)
    var ended = 0
    for client in clients.suffix(2) where client.receive().end == .clean {
      client.close()
      ended += 1
    }
    #expect(ended == 2)
    #expect(rig.ends(as: .holdOverflow, count: 2))
  }

  @Test func aGroupThatDoesNotHoldClosesAtOnceButConnects() throws {
    let server = TestServer.named("a")
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(hold: .zero)
    #expect(try #require(TestSocket(connectingTo: front)).receiveToEnd().end == .clean)
    rig.publish(.init("a", server.address), hold: .zero)
    #expect(try #require(TestSocket(connectingTo: front)).receiveText(1) == "a")
  }

  // MARK: Fencing

  @Test func aConnectInFlightIsDroppedWhenItsBackendNoLongerServes() throws {
    let (silent, server) = (Blackhole(), TestServer.named("b"))
    let rig = try Rig { $0.connectTimeout = .seconds(300) }
    let front = try rig.listen(role: .primary)
    rig.publish(.init("a", silent.address), hold: .seconds(600))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(rig.reaches { $0.activeByBackend == ["a": 1] })
    rig.publish(
      .init("a", silent.address, Standings(primary: .demoted, replica: .serve, any: .serve)), .init("b", server.address),
      hold: .seconds(600))
    #expect(client.receiveText(1) == "b")
    #expect(rig.counts().retries == [.fenced: 1])
    #expect(rig.counts().activeByBackend == ["b": 1])
  }
}
