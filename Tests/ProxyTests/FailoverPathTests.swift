import CLinux
import Glibc
import Model
import Synchronization
import Testing
import Threads

@testable import Proxy

/// A worker with one listener of the primary role, without a thread, a kernel or a clock of its own. Times are milliseconds.
private struct Host: ~Copyable {
  var worker: Worker<ScriptedEngine>
  private let signalled = Signals()

  private final class Signals: Sendable {
    let kinds = Mutex<[DataPathSignal.Kind]>([])
  }

  init(clientSpeaksFirst: Bool = false) throws {
    let settings = WorkerSettings(
      sessionLimit: 64, bufferLimit: 16, heldLimit: 64, connectTimeout: .seconds(1), demotedDeadline: .seconds(1))
    worker = try Worker(
      settings: settings, mailbox: Mailbox(), now: .zero,
      onSignal: { [signalled] signal in signalled.kinds.withLock { $0.append(signal.kind) } })
    let listener = ListenerSpecification(
      name: "front", address: .ip(.v4(0x7F00_0001), port: 0), group: "app", role: .primary, clientSpeaksFirst: clientSpeaksFirst)
    #expect(worker.addListener(listener, ListeningSocket(descriptor: leba_stream_socket(AF_INET))) == nil)
  }

  var signals: [DataPathSignal.Kind] { signalled.kinds.withLock { $0 } }
  /// The last number of each address on its way or connected.
  var connects: [UInt16] { worker.engine.connects.compactMap(\.address?.port) }
  var phases: FailoverPhases { worker.statistics().phases.first?.phases ?? FailoverPhases() }

  mutating func pass(at milliseconds: Int, _ completions: Completion...) {
    worker.engine.time = .zero + .milliseconds(milliseconds)
    worker.engine.completions += completions
    worker.pass()
  }

  /// Members are numbered by port, from 1.
  mutating func publish(at milliseconds: Int, balance: Balance = .roundRobin, _ primary: Standing...) {
    let members = primary.enumerated().map { number, standing in
      MemberRoute(
        backend: BackendID("b\(number + 1)"), address: .ip(.v4(0x7F00_0001), port: UInt16(number + 1)), weight: 1,
        standing: Standings(primary: standing, replica: .idle, any: .idle))
    }
    let group = GroupRoute(
      name: "app", balance: balance, holdTimeout: .seconds(600), drainTimeout: .seconds(600), members: members)
    _ = worker.mailbox.post(.apply(RoutingChange(generation: 1, changed: [group])))
    pass(at: milliseconds)
  }

  mutating func accept(at milliseconds: Int, _ count: Int = 1) {
    for _ in 0..<count {
      worker.engine.completions.append(
        .accepted(worker.listenerToken(0), descriptor: leba_stream_socket(AF_INET)))
    }
    pass(at: milliseconds)
  }

  /// What became of the connect that is longest under way or connected.
  mutating func answer(at milliseconds: Int, _ place: Int = 0, refused: Bool = false) throws {
    try #require(place < worker.engine.connects.count)
    let token = worker.engine.connects[place].token
    pass(at: milliseconds, refused ? .connectFailed(token, errno: ECONNREFUSED) : .connected(token))
  }

  /// A client that has a session on the backend, from accept to connected in no time.
  mutating func connectClient(at milliseconds: Int) throws {
    accept(at: milliseconds)
    try answer(at: milliseconds, worker.engine.connects.count - 1)
  }

  /// Both ends of the oldest session end.
  mutating func endOldest(at milliseconds: Int) throws {
    let upstream = try #require(worker.engine.connects.first).token
    let client = try #require(worker.engine.clients.first)
    pass(at: milliseconds, .ended(client), .ended(upstream))
  }
}

/// From the first refused connect of a killed primary to the connection to its successor: who waits for what.
@Suite struct FailoverPathTests {
  @Test func `a refused connect is signalled at once and tried again the moment the table names another`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    host.accept(at: 5)
    #expect(host.connects == [1])
    try host.answer(at: 6, refused: true)
    #expect(host.signals == [.connectRefused])
    #expect(host.worker.heldCount == 1 && host.connects.isEmpty)
    host.pass(at: 7)
    #expect(
      host.worker.engine.deadline == .zero + .milliseconds(56),
      "a restarted backend is looked for, but that is not what it waits for")
    host.publish(at: 7, .dead, .serve)
    #expect(host.connects == [2], "in the pass that took the table over")
    #expect(host.worker.heldCount == 0)
  }

  /// Refusals in a row make the look for a restarted backend rare. The table does not wait for the next look.
  @Test func `after a long outage too, only the table is waited for`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    host.accept(at: 0)
    for look in [0, 50, 150, 350, 600, 850] {
      host.pass(at: look)
      try host.answer(at: look, refused: true)
    }
    host.pass(at: 851)
    #expect(host.worker.engine.deadline == .zero + .milliseconds(1100))
    host.publish(at: 852, .dead, .serve)
    #expect(host.connects == [2])
  }

  @Test func `of many that are held, the first batch goes at once and each next one a step later`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    host.accept(at: 1, 60)
    while !host.connects.isEmpty { try host.answer(at: 1, refused: true) }
    #expect(host.worker.heldCount == 60)
    #expect(host.signals == [.connectRefused], "sixty that say the same say it once")
    host.publish(at: 3, .dead, .serve)
    #expect(host.connects.count == 16)
    host.pass(at: 12)
    #expect(host.connects.count == 16)
    host.pass(at: 13)
    #expect(host.connects.count == 48)
    host.pass(at: 23)
    #expect(host.connects.count == 60)
  }

  @Test func `a connect in flight is fenced and goes to the new one in the same pass`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    host.accept(at: 5)
    host.publish(at: 6, .demoted, .serve)
    #expect(host.connects == [2])
    #expect(host.signals.isEmpty, "nobody is to blame")
  }

  @Test func `a reset before any byte is signalled and held for the next table`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    try host.connectClient(at: 5)
    let upstream = try #require(host.worker.engine.connects.first).token
    host.pass(at: 6, .receiveFailed(upstream, errno: ECONNRESET))
    #expect(host.signals == [.reset])
    #expect(host.worker.heldCount == 1)
    host.publish(at: 7, .dead, .serve)
    #expect(host.connects == [2])
  }
}

/// What failovers are recorded to have taken.
@Suite struct FailoverPhasesTests {
  private func histogram(_ milliseconds: Int...) -> PhaseHistogram {
    milliseconds.reduce(into: PhaseHistogram()) { $0.record(.milliseconds($1)) }
  }

  @Test func `the clocks run from the table without the old to the first and the last session`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    for time in 1...3 { try host.connectClient(at: time) }
    host.publish(at: 10, .drain, .serve)
    #expect(host.phases == FailoverPhases())
    host.accept(at: 12)
    try host.answer(at: 15, 3)
    #expect(host.phases.firstConnection == histogram(5))
    try host.connectClient(at: 16)
    for time in [20, 40] { try host.endOldest(at: time) }
    #expect(host.phases.lastStaleSession.count == 0)
    try host.endOldest(at: 110)
    #expect(host.phases.lastStaleSession == histogram(100))
    #expect(host.phases.firstConnection == histogram(5), "once a failover")
  }

  @Test func `a gap with nobody belongs to the failover`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .demoted)
    try host.connectClient(at: 1)
    host.publish(at: 10, .dead, .demoted)
    #expect(host.phases.lastStaleSession == histogram(0), "reset in the same pass")
    host.accept(at: 20)
    #expect(host.worker.heldCount == 1)
    host.publish(at: 200, .dead, .serve)
    try host.answer(at: 210)
    #expect(host.phases.firstConnection == histogram(200))
  }

  @Test func `where somebody goes on serving there was no failover`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .serve)
    try host.connectClient(at: 1)
    host.publish(at: 2, .dead, .serve, .serve)
    host.publish(at: 3, .dead, .serve, .idle)
    try host.connectClient(at: 4)
    let recorded = host.worker.statistics().phases.count
    #expect(recorded == 0)
  }

  @Test func `of failovers that overlap the newest counts`() throws {
    var host = try Host()
    host.publish(at: 0, .serve, .idle, .idle)
    for time in 1...2 { try host.connectClient(at: time) }
    host.publish(at: 10, .drain, .serve, .idle)
    try host.connectClient(at: 20)
    host.publish(at: 100, .drain, .drain, .serve)
    try host.connectClient(at: 150)
    // Two of the first failover, then the one of the second.
    for time in [160, 170] { try host.endOldest(at: time) }
    #expect(host.phases.lastStaleSession.count == 0)
    try host.endOldest(at: 180)
    #expect(host.phases.lastStaleSession == histogram(80))
    #expect(host.phases.firstConnection == histogram(10, 50))
  }

  @Test func `a group that is removed and comes back has not failed over`() throws {
    var host = try Host()
    host.publish(at: 0, .serve)
    host.publish(at: 1, .dead)
    _ = host.worker.mailbox.post(.apply(RoutingChange(generation: 2, removed: ["app"])))
    host.pass(at: 2)
    host.publish(at: 3, .serve)
    try host.connectClient(at: 4)
    let recorded = host.worker.statistics().phases.count
    #expect(recorded == 0)
  }

  @Test func `workers are added`() {
    var (one, two) = (WorkerStatistics(), WorkerStatistics())
    var phases = FailoverPhases()
    phases.firstConnection.record(.milliseconds(3))
    phases.lastStaleSession.record(.seconds(90))
    one.phases = [("app", phases)]
    two.phases = [("app", phases), ("other", phases)]
    var sum = ProxyStatistics()
    sum.add(one)
    sum.add(two)
    #expect(sum.phases["app"]?.firstConnection == histogram(3, 3))
    #expect(sum.phases["app"]?.lastStaleSession.counts.last == 2)
    #expect(sum.phases["app"]?.lastStaleSession.sum == .seconds(180))
    #expect(sum.phases["other"] == phases)
  }
}

/// What the worker measures for peak EWMA.
@Suite struct LatencyMeasurementTests {
  private func milliseconds(_ host: borrowing Host) -> Double {
    host.worker.load(of: 0).latency.cost(sessions: 0, weight: 1, now: host.worker.now) / 1e6
  }

  @Test func `a connect is a sample, and a failed one the penalty`() throws {
    var host = try Host()
    host.publish(at: 0, balance: .peakEWMA, .serve)
    #expect(milliseconds(host) == 0)
    host.accept(at: 10)
    try host.answer(at: 30)
    #expect(milliseconds(host) == 20)
    host.accept(at: 31)
    try host.answer(at: 32, 1, refused: true)
    #expect(milliseconds(host) == 1000)
    host.publish(at: 33, .serve)
    let left = host.worker.estimates.numbers
    #expect(left.isEmpty, "nobody looks at it any more")
  }

  @Test(arguments: [true, false]) func `an answer is a sample where the client speaks first`(clientSpeaksFirst: Bool) throws {
    var host = try Host(clientSpeaksFirst: clientSpeaksFirst)
    host.publish(at: 0, balance: .peakEWMA, .serve)
    host.accept(at: 0)
    let client = try #require(host.worker.engine.clients.first)
    if clientSpeaksFirst { host.pass(at: 0, .bytesWaiting(client)) }
    try host.answer(at: 2)
    let upstream = try #require(host.worker.engine.connects.first).token
    func bytes(_ count: Int, on token: Token, at time: Int) {
      host.worker.engine.arrive(count, on: token)
      host.pass(at: time)
    }
    bytes(10, on: client, at: 10)
    bytes(10, on: client, at: 20)
    bytes(10, on: upstream, at: 50)
    if clientSpeaksFirst { #expect(milliseconds(host) == 40) }
    // More of the same answer is no new one.
    bytes(10, on: upstream, at: 500)
    bytes(10, on: client, at: 600)
    bytes(10, on: upstream, at: 700)
    if clientSpeaksFirst { #expect(milliseconds(host) == 100) } else { #expect(milliseconds(host) < 2) }
  }
}
