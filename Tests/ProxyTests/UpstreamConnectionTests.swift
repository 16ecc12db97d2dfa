import CLinux
import Glibc
import Model
import Testing

@testable import Proxy

/// Connection limits, second connects, and how long a session may last: a worker to the nanosecond. Times are milliseconds.
@Suite struct UpstreamConnectionTests {
  // MARK: Limits

  @Test func `a full backend is passed over, and whoever finds all full is held until there is room`() throws {
    var host = try Host()
    host.publish(at: 0, UpstreamConnections(maximum: 2), .serve, .serve)
    host.accept(at: 1, 4)
    #expect(host.ports.sorted() == [1, 1, 2, 2])
    while let waiting = host.connecting.first { host.pass(at: 2, .connected(waiting)) }
    host.accept(at: 3, 3)
    #expect(host.worker.heldCount == 3 && host.ports.count == 4)
    host.pass(at: 4)
    #expect(host.worker.engine.deadline == .zero + .milliseconds(600_003), "nobody looks before there is room")
    try host.end(2, at: 1000)
    #expect(host.worker.heldCount == 2, "one at once, in the same pass")
    #expect(host.ports.sorted() == [1, 1, 2, 2])
    host.pass(at: 1100, .connected(try #require(host.connecting.first)))
    host.pass(at: 1500)
    #expect(host.worker.heldCount == 2)
    host.publish(at: 2000, UpstreamConnections(maximum: 3), .serve, .serve)
    #expect(host.worker.heldCount == 0, "a limit that was raised is room")
    #expect(host.worker.statistics().holdTimes.first?.times.count == 1, "of the others none is connected yet")
    while let waiting = host.connecting.first { host.pass(at: 2003, .connected(waiting)) }
    #expect(host.worker.statistics().holdTimes.first?.times.count == 3)
    #expect(host.worker.statistics().holdTimes.first?.times.sum == .milliseconds(1097 + 2000 + 2000))
  }

  @Test func `workers share a limit out, and together keep it`() {
    for limit in [4, 5, 7, 100] {
      let shares = (0..<4).map { number in
        WorkerSettings(
          sessionLimit: 1, bufferLimit: 2, heldLimit: 0, connectTimeout: .zero, demotedDeadline: .zero, number: number, workers: 4
        ).share(of: limit)
      }
      #expect(shares.reduce(0, +) == limit && shares.allSatisfy { $0 > 0 })
    }
  }

  // MARK: Hedges

  private let hedging = UpstreamConnections(hedge: .milliseconds(250))

  @Test func `a connect that takes long gets a second one to another backend, and the first to connect is used`() throws {
    var host = try Host()
    host.publish(at: 0, hedging, .serve, .serve)
    host.accept(at: 10)
    host.pass(at: 259)
    #expect(host.ports == [1])
    host.pass(at: 260)
    #expect(host.ports == [1, 2])
    host.pass(at: 300, .connected(host.connecting[1]))
    #expect(host.ports == [2], "the other one is given up")
    #expect(host.retries(.hedge) == 1 && host.retries(.connectTimedOut) == 0)
    #expect(host.sessions(on: 2) == 1 && host.sessions(on: 1) == 0)
    // Its bytes go to the one that is left.
    let client = try #require(host.worker.engine.clients.first)
    host.worker.engine.arrive(5, on: client)
    host.pass(at: 301)
    host.pass(at: 302)
    #expect(host.worker.engine.sends.last == host.worker.engine.connects.first?.token)
    host.expectAtRest(afterEnding: [client, host.worker.engine.connects[0].token])
  }

  @Test func `the first one may still win`() throws {
    var host = try Host()
    host.publish(at: 0, hedging, .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 250)
    let second = host.connecting[1]
    host.pass(at: 300, .connected(host.connecting[0]))
    #expect(host.ports == [1])
    // News of the one that was given up means nothing.
    host.pass(at: 301, .connected(second), .connectFailed(second, errno: ECONNREFUSED))
    #expect(host.ports == [1] && host.sessions(on: 1) == 1)
    host.expectAtRest(afterEnding: [try #require(host.worker.engine.clients.first), host.worker.engine.connects[0].token])
  }

  @Test func `in an active-passive group the second one goes to the primary again`() throws {
    var host = try Host()
    host.publish(at: 0, hedging, .serve, .idle)
    host.accept(at: 0)
    host.pass(at: 250)
    #expect(host.ports == [1, 1])
    // The first is refused: the second goes on by itself, with the time it is due.
    host.pass(at: 400, .connectFailed(host.connecting[0], errno: ECONNREFUSED))
    #expect(host.ports == [1] && host.retries(.connectRefused) == 1)
    host.pass(at: 1249)
    #expect(host.ports == [1] && host.retries(.connectTimedOut) == 0)
    host.pass(at: 1250)
    #expect(host.retries(.connectTimedOut) == 1 && host.worker.heldCount == 1)
    #expect(host.worker.engine.connects.isEmpty)
  }

  @Test func `a second one that fails leaves the first alone`() throws {
    var host = try Host()
    host.publish(at: 0, hedging, .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 250)
    host.pass(at: 260, .connectFailed(host.connecting[1], errno: ECONNREFUSED))
    #expect(host.ports == [1])
    host.pass(at: 999)
    #expect(host.ports == [1], "only one")
    host.pass(at: 1000)
    #expect(host.worker.heldCount == 1, "both were asked")
  }

  @Test func `a second connect that is on its way when its backend loses its place never relays`() throws {
    var host = try Host()
    host.publish(at: 0, hedging, .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 250)
    host.publish(at: 260, hedging, .serve, .dead)
    let second = host.connecting[1]
    host.pass(at: 270, .connected(second))
    #expect(host.ports == [1] && host.sessions(on: 2) == 0)
    // And where the first one's backend lost its place, the second one takes over.
    host = try Host()
    host.publish(at: 0, hedging, .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 250)
    host.publish(at: 260, hedging, .dead, .serve)
    #expect(host.ports == [2] && host.retries(.fenced) == 1)
    // Both lost: held.
    host.publish(at: 270, hedging, .dead, .dead)
    #expect(host.ports.isEmpty && host.worker.heldCount == 1)
  }

  @Test func `a second connect counts against the limit and gives its place back`() throws {
    var host = try Host()
    host.publish(at: 0, UpstreamConnections(maximum: 1, hedge: .milliseconds(100)), .serve)
    host.accept(at: 0)
    host.pass(at: 100)
    #expect(host.ports == [1], "no room for a second one")
    host.publish(at: 200, UpstreamConnections(maximum: 1, hedge: .milliseconds(100)), .serve, .serve)
    host.accept(at: 200)
    host.accept(at: 200)
    #expect(host.ports == [1, 2] && host.worker.heldCount == 1)
    host.pass(at: 201, .connectFailed(host.connecting[1], errno: ECONNREFUSED))
    #expect(host.worker.heldCount == 2, "a backend that refused is left alone for a moment")
    host.pass(at: 251)
    #expect(host.ports == [1, 2] && host.worker.heldCount == 1)
  }

  @Test func `a client that leaves takes both connects with it`() throws {
    var host = try Host()
    host.publish(at: 0, hedging, .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 250)
    let client = try #require(host.worker.engine.clients.first)
    host.pass(at: 260, .hungUp(client, broken: true))
    host.expectAtRest(afterEnding: [])
  }

  // MARK: What passes

  /// io_uring may end a send with EAGAIN or EINTR: nothing went, and the bytes are offered again.
  @Test func `a send that took nothing is no reason not to ask another backend`() throws {
    var host = try Host()
    host.publish(at: 0, UpstreamConnections(), .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 1, .connected(try #require(host.connecting.first)))
    let upstream = host.worker.engine.connects[0].token
    host.worker.engine.arrive(5, on: try #require(host.worker.engine.clients.first))
    host.pass(at: 2, .sent(upstream, count: 0), .sendFailed(upstream, errno: ECONNRESET))
    #expect(host.worker.engine.sends == [upstream, upstream])
    #expect(host.retries(.reset) == 1 && host.ports == [2])
  }

  @Test(arguments: [EINTR, EAGAIN, ENOBUFS, EMFILE])
  func `what this host cannot do is no failure of the backend`(error: Int32) throws {
    var host = try Host()
    host.publish(at: 0, UpstreamConnections(), .serve, .serve)
    host.accept(at: 0)
    host.pass(at: 1, .connectFailed(try #require(host.connecting.first), errno: error))
    #expect(host.retries(.local) == 1 && host.retries(.connectUnreachable) == 0)
    #expect(host.worker.heldCount == 1)
  }

  /// The connection is whole: without an end of its own making the session would wait for an answer to bytes that never went.
  @Test(arguments: [ENOBUFS, ENOMEM])
  func `a send for which there was no memory is tried again before the first byte, and ends the session after it`(error: Int32)
    throws
  {
    var host = try Host()
    host.publish(at: 0, UpstreamConnections(), .serve)
    host.accept(at: 0)
    host.pass(at: 1, .connected(try #require(host.connecting.first)))
    let client = try #require(host.worker.engine.clients.first)
    host.worker.engine.arrive(5, on: client)
    host.pass(at: 2, .sendFailed(host.worker.engine.connects[0].token, errno: error))
    #expect(host.retries(.local) == 1 && host.worker.heldCount == 1)
    host.pass(at: 52)
    host.pass(at: 53, .connected(try #require(host.connecting.first)))
    let upstream = host.worker.engine.connects[0].token
    #expect(host.worker.engine.sends.last == upstream, "the same bytes")
    host.worker.engine.arrive(5, on: client)
    host.pass(at: 54, .sendFailed(upstream, errno: error))
    #expect(host.ended(.limit) == 1 && host.ended(.resetByBackend) == 0)
    #expect(host.worker.engine.resets == 2)
    host.expectAtRest(afterEnding: [])
  }

  // MARK: How long a session may last

  @Test func `a silent session ends in good order and one that owes an answer with a reset`() throws {
    var host = try Host(limits: ListenerLimits(idleTimeout: .seconds(10)))
    host.publish(at: 0, UpstreamConnections(), .serve)
    for _ in 0..<2 {
      host.accept(at: 0)
      host.pass(at: 0, .connected(try #require(host.connecting.last)))
    }
    host.pass(at: 1)
    #expect(host.worker.engine.deadline == .zero + .seconds(10))
    // One of them speaks: its end moves, and no timer was touched for it.
    host.worker.engine.arrive(5, on: host.worker.engine.clients[0])
    host.pass(at: 4000)
    host.pass(at: 4000)
    host.pass(at: 10_000)
    #expect(host.ended(.idle) == 0 && host.worker.sessions.count == 2, "one lingers")
    host.pass(at: 11_000)
    #expect(host.ended(.idle) == 1 && host.worker.engine.resets == 0)
    host.pass(at: 13_999)
    #expect(host.ended(.idle) == 1)
    host.pass(at: 14_000)
    #expect(host.ended(.idle) == 2 && host.worker.engine.resets == 2, "both sides of the one that owed an answer")
  }

  @Test func `no session lasts longer than it may, however busy`() throws {
    var host = try Host(limits: ListenerLimits(maximumDuration: .seconds(60)))
    host.publish(at: 0, UpstreamConnections(), .serve)
    host.accept(at: 0)
    host.pass(at: 500, .connected(try #require(host.connecting.first)))
    for second in 1..<60 {
      host.worker.engine.arrive(1, on: host.worker.engine.connects[0].token)
      host.pass(at: second * 1000)
      host.pass(at: second * 1000)
    }
    #expect(host.worker.sessions.count == 1)
    host.pass(at: 60_000)
    host.pass(at: 61_000)
    #expect(host.ended(.expired) == 1 && host.worker.engine.resets == 0)
  }

  @Test func `a client that never speaks is idle too`() throws {
    var host = try Host(limits: ListenerLimits(idleTimeout: .seconds(10)), clientSpeaksFirst: true)
    host.publish(at: 0, UpstreamConnections(), .serve)
    host.accept(at: 0)
    host.pass(at: 9999)
    #expect(host.ended(.idle) == 0)
    host.pass(at: 10_000)
    host.pass(at: 11_000)
    #expect(host.ended(.idle) == 1)
  }

  @Test func `a full listener stops accepting and goes on when one has left`() throws {
    var host = try Host(limits: ListenerLimits(maximumConnections: 2))
    host.publish(at: 0, UpstreamConnections(), .serve)
    host.accept(at: 0, 1)
    #expect(host.worker.engine.isPaused == false)
    host.accept(at: 0, 1)
    #expect(host.worker.engine.isPaused == true)
    #expect(host.worker.statistics().acceptPauses == 1)
    host.pass(at: 1, .hungUp(host.worker.engine.clients[0], broken: true))
    #expect(host.worker.engine.isPaused == false)
  }
}

/// A worker with one listener of the primary role, without a thread, a kernel or a clock of its own.
private struct Host: ~Copyable {
  var worker: Worker<ScriptedEngine>

  init(limits: ListenerLimits = ListenerLimits(), clientSpeaksFirst: Bool = false) throws {
    let settings = WorkerSettings(
      sessionLimit: 64, bufferLimit: 16, heldLimit: 64, connectTimeout: .seconds(1), demotedDeadline: .seconds(1))
    worker = try Worker(settings: settings, mailbox: Mailbox(), now: .zero, onSignal: { _ in })
    let listener = ListenerSpecification(
      name: "front", address: .ip(.v4(0x7F00_0001), port: 0), group: "app", role: .primary, clientSpeaksFirst: clientSpeaksFirst,
      limits: limits)
    #expect(worker.addListener(listener, ListeningSocket(descriptor: leba_stream_socket(AF_INET))) == nil)
  }

  /// Of those that are connecting or connected.
  var ports: [UInt16] { worker.engine.connects.compactMap(\.address?.port) }
  var connecting: [Token] {
    worker.engine.connects.map(\.token).filter { token in
      if let index = worker.hedger(of: token) { return worker.sessions[index].pointee.phase == .connecting }
      return worker.owner(of: token).map { worker.sessions[$0.index].pointee.phase == .connecting } ?? false
    }
  }

  func retries(_ reason: RetryReason) -> UInt64 { worker.listeners[0].pointee.retries[reason.ordinal] }
  func ended(_ outcome: Outcome) -> UInt64 { worker.listeners[0].pointee.ended[outcome.ordinal] }
  func sessions(on number: Int) -> Int { worker.connectionCount(of: Int32(number - 1)) }

  mutating func pass(at milliseconds: Int, _ completions: Completion...) {
    worker.engine.time = .zero + .milliseconds(milliseconds)
    worker.engine.completions += completions
    worker.pass()
  }

  /// Members are numbered by port, from 1.
  mutating func publish(at milliseconds: Int, _ connections: UpstreamConnections, _ primary: Standing...) {
    let members = primary.enumerated().map { number, standing in
      MemberRoute(
        backend: BackendID("b\(number + 1)"), address: .ip(.v4(0x7F00_0001), port: UInt16(number + 1)), weight: 1,
        standing: Standings(primary: standing, replica: .idle, any: .idle))
    }
    let group = GroupRoute(
      name: "app", balance: .roundRobin, holdTimeout: .seconds(600), drainTimeout: .seconds(600), connections: connections,
      members: members)
    _ = worker.mailbox.post(.apply(RoutingChange(generation: 1, changed: [group])))
    pass(at: milliseconds)
  }

  mutating func accept(at milliseconds: Int, _ count: Int = 1) {
    for _ in 0..<count {
      worker.engine.completions.append(.accepted(worker.listenerToken(0), descriptor: leba_stream_socket(AF_INET)))
    }
    pass(at: milliseconds)
  }

  /// Both ends of a session on a backend end.
  mutating func end(_ port: UInt16, at milliseconds: Int) throws {
    let found = worker.engine.connects.first { $0.address?.port == port }
    let upstream = try #require(found).token
    let owner = worker.owner(of: upstream)
    let client = worker.token(try #require(owner).index, .client)
    pass(at: milliseconds, .ended(client), .ended(upstream))
  }

  /// Nothing is left of anybody.
  mutating func expectAtRest(afterEnding tokens: [Token]) {
    worker.engine.completions += tokens.map { .ended($0) }
    worker.pass()
    #expect(worker.sessions.count == 0)
    #expect(worker.engine.connects.isEmpty && worker.engine.clients.isEmpty)
    #expect(worker.activities.numbers.isEmpty)
  }
}
