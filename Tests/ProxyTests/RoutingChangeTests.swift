import CLinux
import Model
import Testing
import Threads

@testable import Proxy

/// What a change of the routing table means for what it names, and that it means nothing to the rest.
@Suite struct RoutingChangeTests {
  @Test func `a change of one group leaves another's sessions, turn and held connections alone`() throws {
    let (a, b) = (TestServer.echo(), TestServer.echo())
    let (spare, quiet) = (TestServer.named("spare"), Standings(primary: .idle, replica: .serve, any: .serve))
    let rig = try Rig()
    let front = try rig.listen("other", group: "other", role: .replica)
    let primary = try rig.listen("primary", group: "other", role: .primary)
    rig.publish(.init("a", a.address, quiet), .init("b", b.address, quiet), group: "other")
    let client = try #require(TestSocket(connectingTo: front))
    let waiting = try #require(TestSocket(connectingTo: primary))
    #expect(rig.reaches("other") { $0.activeByBackend == ["a": 1] })
    #expect(eventually { rig.statistics.held == ["other": 1] })
    for round in 0..<5 {
      rig.publish(.init(BackendID("c\(round)"), spare.address))
      rig.remove()
    }
    client.send("still here")
    #expect(client.receiveText(10) == "still here")
    #expect(rig.statistics.held == ["other": 1])
    // The second in turn, as if nothing had been.
    let second = try #require(TestSocket(connectingTo: front))
    #expect(rig.reaches("other") { $0.activeByBackend == ["a": 1, "b": 1] })
    #expect(rig.counts("other").retries.isEmpty)
    withExtendedLifetime((waiting, second)) {}
  }

  @Test func `the sessions of a removed group drain`() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address), drain: .milliseconds(200))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("ping")
    #expect(client.receiveText(4) == "ping")
    rig.remove()
    #expect(client.receive().end == .clean)
    client.close()
    #expect(rig.ends(as: .drained))
    // Nobody new is served.
    let late = try #require(TestSocket(connectingTo: front))
    #expect(eventually { rig.statistics.held == ["app": 1] })
    withExtendedLifetime(late) {}
  }

  @Test func `a group that comes back finds its sessions`() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address), drain: .seconds(600))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("one")
    #expect(client.receiveText(3) == "one")
    rig.remove()
    rig.remove()
    client.send("two")
    #expect(client.receiveText(3) == "two")
    // Named again, it drains no longer; a member's death reaches its old sessions too.
    rig.publish(.init("a", server.address), drain: .zero)
    client.send("six")
    #expect(client.receiveText(3) == "six")
    let second = try #require(TestSocket(connectingTo: front))
    second.send("new")
    #expect(second.receiveText(3) == "new", "connected, and not only on the way")
    rig.publish(.init("a", server.address, Standings(all: .dead)))
    #expect(rig.ends(as: .backendLost, count: 2))
    withExtendedLifetime(second) {}
  }

  @Test func `a change costs the groups it names, however many there are`() throws {
    for count in [10, 1000] {
      var worker = try makeWorker()
      apply(RoutingChange(generation: 1, changed: (0..<count).map { route($0) }), to: &worker)
      let before = worker.groupsVisited
      apply(RoutingChange(generation: 2, changed: [route(7, .dead)]), to: &worker)
      #expect(worker.groupsVisited - before == 1)
      apply(RoutingChange(generation: 3, removed: ["g7", "g8"]), to: &worker)
      // Once to empty a group, once to forget it.
      #expect(worker.groupsVisited - before == 5)
      apply(RoutingChange(generation: 4, removed: ["never heard of"]), to: &worker)
      #expect(worker.groupsVisited - before == 5)
      #expect(worker.groups.numbers.count == count - 2)
    }
  }

  @Test func `groups that come and go leave nothing behind`() throws {
    var worker = try makeWorker()
    for round in 0..<3 {
      apply(RoutingChange(generation: 1, changed: (0..<10).map { route(round * 10 + $0) }), to: &worker)
      apply(RoutingChange(generation: 2, removed: (0..<10).map { GroupName("g\(round * 10 + $0)") } + ["g0", "g0"]), to: &worker)
    }
    #expect(worker.groups.numbers.isEmpty && worker.routes.numbers.isEmpty && worker.backends.numbers.isEmpty)
    #expect(worker.groupNumbers.isEmpty)
  }

  @Test func `a group goes with its last listener`() throws {
    var worker = try makeWorker()
    try open("first", of: "g1", in: &worker)
    apply(RoutingChange(generation: 1, changed: [route(1)]), to: &worker)
    apply(RoutingChange(generation: 2, removed: ["g1"]), to: &worker)
    #expect(worker.groupNumbers.keys.map(\.self) == ["g1"])
    close("first", in: &worker)
    // Closed listeners are forgotten when another one comes, be it one of the same group.
    try open("second", of: "g1", in: &worker)
    #expect(worker.groupNumbers.keys.map(\.self) == ["g1"])
    #expect(worker.listenerNumbers.keys.map(\.self) == ["second"])
    close("second", in: &worker)
    try open("third", of: "g3", in: &worker)
    #expect(worker.groupNumbers.keys.map(\.self) == ["g3"])
    #expect(worker.groups.numbers.count == 1 && worker.routes.numbers.count == 1)
  }

  /// Active-passive to normal and back, as a reload does it: other standings, and a listener that is opened again for the other role.
  @Test func `a change of mode or roles drops no session of either member`() throws {
    let (a, b) = (TestServer.echo(), TestServer.echo())
    let rig = try Rig()
    let spread = Standings(primary: .idle, replica: .idle, any: .serve)
    let (active, passive) = (
      Standings(primary: .serve, replica: .idle, any: .serve), Standings(primary: .demoted, replica: .serve, any: .serve)
    )
    let front = try rig.listen(role: .any)
    rig.publish(.init("a", a.address, spread), .init("b", b.address, spread))
    var clients = try (0..<4).map { _ in try #require(TestSocket(connectingTo: front)) }
    #expect(rig.reaches { $0.activeByBackend == ["a": 2, "b": 2] })
    func speak(_ text: String) {
      for client in clients {
        client.send(text)
        #expect(client.receiveText(text.utf8.count) == text)
      }
    }
    rig.publish(.init("c", a.address), group: "other")
    let demoted = try #require(TestSocket(connectingTo: try rig.listen("other", group: "other")))
    demoted.send("there?")
    #expect(demoted.receiveText(6) == "there?")
    speak("normal")
    rig.proxy.close("front")
    _ = try rig.listen("writers", on: front.description, role: .primary)
    rig.publish(.init("a", a.address, active), .init("b", b.address, passive), balance: .leastConnections)
    // Whoever has to go goes once it has been quiet for a while: when this one has, the others would have too.
    rig.publish(.init("c", a.address, Standings(all: .demoted)), group: "other")
    #expect(demoted.receive().end == .clean)
    speak("active-passive")
    clients.append(try #require(TestSocket(connectingTo: front)))
    speak("and a fifth")
    #expect(rig.reaches("writers") { $0.activeByBackend == ["a": 1] })
    rig.publish(.init("a", a.address, spread), .init("b", b.address, spread))
    speak("normal again")
    #expect(rig.counts().activeByBackend == ["a": 2, "b": 2])
    #expect(rig.counts().ended.isEmpty && rig.counts("writers").ended.isEmpty)
  }

  // MARK: A worker without a thread

  private func makeWorker() throws -> Worker<EpollEngine> {
    let settings = WorkerSettings(
      sessionLimit: 16, bufferLimit: 4, heldLimit: 4, connectTimeout: .seconds(1), demotedDeadline: .seconds(1))
    return try Worker(settings: settings, mailbox: Mailbox(), now: .zero, onSignal: { _ in })
  }

  private func apply(_ change: RoutingChange, to worker: inout Worker<EpollEngine>) {
    _ = worker.mailbox.post(.apply(change))
    repeat { worker.pass() } while worker.isChanging
  }

  private func route(_ number: Int, _ standing: Standing = .serve) -> GroupRoute {
    let member = MemberRoute(
      backend: "a", address: .ip(.v4(0x7F00_0001), port: 9), weight: 1, standing: Standings(all: standing))
    return GroupRoute(
      name: GroupName("g\(number)"), balance: .roundRobin, holdTimeout: .zero, drainTimeout: .zero, members: [member])
  }

  private func open(_ name: ListenerName, of group: GroupName, in worker: inout Worker<EpollEngine>) throws {
    let listener = ListenerSpecification(
      name: name, address: .ip(.v4(0x7F00_0001), port: 0), group: group, role: .any, clientSpeaksFirst: false)
    let sockets = try ListeningSockets.open(listener, workers: 1)
    #expect(worker.addListener(listener, ListeningSocket(descriptor: try #require(sockets.descriptors.first))) == nil)
  }

  private func close(_ name: ListenerName, in worker: inout Worker<EpollEngine>) {
    worker.removeListener(name, Reply<Void>())
    worker.now = worker.listenersCloseAt ?? worker.now
    worker.closeListenersThatAreDue()
    _ = worker.engine.wait(until: worker.now, since: worker.now)
    while case .acceptingEnded(let token)? = worker.engine.next() { worker.listenerClosed(token.listenerNumber) }
    let isOpen = worker.hasOpenListener
    #expect(!isOpen)
  }
}
