import Glibc
import Model
import Threads

/// The bounds one worker keeps to.
struct WorkerSettings: Sendable {
  var sessionLimit: Int
  var bufferLimit: Int
  var pipeLimit = 0
  var heldLimit: Int
  var connectTimeout: Duration
  var demotedDeadline: Duration
  var mistrust = Mistrust.length
  var neighbours = Neighbours()
  /// Which of how many workers this is: limits of the process are shared out.
  var number = 0
  var workers = 1
  /// Or when it is told to: a process that takes over accepts when it is ready to serve.
  var acceptsAtOnce = true
  /// Of the random choices: another one for each worker, or all would send their clients to the same two backends.
  var seed: UInt64 = 0

  /// A worker's part of a limit: together they keep it, as long as there are no more workers than it allows.
  func share(of limit: Int?) -> Int {
    limit.map { max(1, $0 / workers + (number < $0 % workers ? 1 : 0)) } ?? .max
  }
}

/// One thread of the data path: an engine, a slab of sessions, and the routing table they follow. Everything in it is owned by
/// its thread; the world reaches it through the mailbox.
///
/// A pass: wait, give every ready socket a turn, execute commands, take over a piece of the routing table, run what is due. All that
/// comes after the sockets, so that bytes which had arrived when a backend was declared dead are on their way before its sessions end.
struct Worker<E: Engine & ~Copyable>: ~Copyable {
  /// Deadlines run per pass at most: a thousand sessions to end must not hold up the others' bytes.
  private static var deadlinesPerPass: Int { 256 }
  /// They take well under a millisecond.
  private static var fewCompletions: Int { 16 }
  /// How long accepting rests when the kernel is out of descriptors or memory.
  private static var acceptRest: Duration { .milliseconds(100) }

  let settings: WorkerSettings
  let mailbox: Mailbox
  let onSignal: @Sendable (DataPathSignal) -> Void

  var engine: E
  var now: Instant
  var sessions: SessionSlab
  var deadlines = DeadlineHeap()
  var paceDeadlines = DeadlineHeap()
  var listeners = SlotTable<ListenerSlot>()
  var backends = SlotTable<BackendSlot>()
  var activities = SlotTable<BackendActivity>()
  var estimates = SlotTable<LatencyEstimate>()
  var groups = SlotTable<GroupSlot>()
  var routes = SlotTable<Route>()
  /// More than one under a name where a process took more sockets over than it has workers, and while one replaces another.
  var listenerNumbers: [ListenerName: [Int32]] = [:]
  var groupNumbers: [GroupName: Int32] = [:]
  /// Closed, and not forgotten yet.
  var closedListeners: Set<Int32> = []
  /// What is being taken over of the routing table, and what was taken from the mailbox and comes after it.
  var change: GroupChange? { didSet { hasChange = change != nil } }
  /// Every pass asks, and to compare the change with nil would copy it.
  private(set) var hasChange = false
  var steps: [GroupStep] = []
  var nextStep = 0
  /// The mailbox may hold more.
  var changesMayWait = false
  /// Groups with a route that nobody has filled yet.
  var routesToFill: [Int32] = []
  /// What changes of the routing table cost so far: how often one made this worker look at a group, and steps in all.
  var groupsVisited = 0
  var stepsTaken = 0
  var heldCount = 0
  var generator: SeededGenerator
  /// What a session's backend is told first, where its group wants that.
  let headers: ProxyHeaderSlab
  var failoverCount: UInt32 = 0
  /// By group: how long those who were held waited until they had a backend.
  var holdTimes: [Int32: PhaseHistogram] = [:]
  /// By group: what its failovers took so far.
  var phases: [Int32: FailoverPhases] = [:]
  var acceptPauses: UInt64 = 0
  var drain: ProcessDrain?
  /// What it found late may have been there for a while.
  private(set) var lastPassWasBusy = false
  private var acceptResumesAt: Instant?
  private var isStopping = false
  var isAccepting: Bool
  /// When the first of those that end has had its time.
  var listenersCloseAt: Instant?

  struct ProcessDrain {
    let endsAt: Instant
    /// One for each time a drain was asked for.
    let whenDrained: [@Sendable () -> Void]
  }

  init(
    settings: WorkerSettings, mailbox: Mailbox, now: Instant, onSignal: @escaping @Sendable (DataPathSignal) -> Void
  ) throws(EngineError) {
    let sessions = try SessionSlab(capacity: settings.sessionLimit)
    let headers = try ProxyHeaderSlab(capacity: settings.sessionLimit)
    let engine = try E(
      sockets: settings.sessionLimit * 3, buffers: settings.bufferLimit, pipes: settings.pipeLimit, wake: mailbox.wake)
    self.settings = settings
    self.mailbox = mailbox
    self.onSignal = onSignal
    self.now = now
    isAccepting = settings.acceptsAtOnce
    generator = SeededGenerator(seed: settings.seed)
    self.sessions = sessions
    self.headers = headers
    self.engine = engine
  }

  /// Runs until told to stop; returns the last counts.
  mutating func run() -> WorkerStatistics {
    while !isStopping { pass() }
    return endEverything()
  }

  mutating func pass() {
    now = engine.wait(until: nextDeadline, since: now)
    var handled = 0
    while let completion = engine.next() {
      handle(completion)
      handled += 1
    }
    lastPassWasBusy = handled > Self.fewCompletions
    if engine.takeWake() {
      changesMayWait = true
      executeCommands()
    }
    if changesMayWait || isChanging { takeOverChanges() }
    runDeadlines()
    reportDrainedIfDone()
  }

  private mutating func handle(_ completion: Completion) {
    switch completion {
    case .received(let token, let buffer, let count): received(token, buffer, count)
    case .sent(let token, let count): sent(token, count)
    case .ended(let token): ended(token)
    case .receiveFailed(let token, let error): failed(token, error, sending: false)
    case .sendFailed(let token, let error): failed(token, error, sending: true)
    case .hungUp(let token, let broken): hungUp(token, broken: broken)
    case .bytesWaiting(let token): clientSpoke(token)
    case .connected(let token): connected(token)
    case .connectFailed(let token, let error): connectFailed(token, error)
    case .accepted(let token, let descriptor): accepted(token, descriptor)
    case .acceptFailed: acceptFailed()
    case .acceptingEnded(let token): listenerClosed(token.listenerNumber)
    }
  }

  // MARK: Deadlines

  @inline(__always) private var nextDeadline: Instant? {
    // The rest of a change comes with the next pass, and that after one turn of each socket.
    isChanging ? now : sooner(deadlines.earliest, sooner(paceDeadlines.earliest, sooner(acceptResumesAt, listenersCloseAt)))
  }

  private mutating func runDeadlines() {
    var left = Self.deadlinesPerPass
    while left > 0, let index = deadlines.popExpired(at: now) {
      deadlinePassed(index)
      left -= 1
    }
    while left > 0, let number = paceDeadlines.popExpired(at: now) {
      admitHeld(RouteNumber(bitPattern: number))
      left -= 1
    }
    if let resume = acceptResumesAt, resume <= now {
      acceptResumesAt = nil
      resumeAcceptingEverywhere()
    }
    if let close = listenersCloseAt, close <= now { closeListenersThatAreDue() }
  }

  private mutating func deadlinePassed(_ index: SessionIndex) {
    switch sessions[index].pointee.phase {
    case .connecting: connectTakesLong(index)
    case .held: closeCleanly(index, waitingOutcome(index))
    case .relaying, .waitingForFirstByte: reconsider(index)
    case .closing: finish(index, reset: false)
    case .free: break
    }
  }

  // MARK: Commands

  private mutating func executeCommands() {
    for command in mailbox.takeAll() {
      switch command {
      // Lies apart, see `Mailbox`.
      case .apply: break
      case .addListener(let specification, let socket, let reply): reply.fulfil(addListener(specification, socket))
      case .replaceListener(let name, let next, let reply): reply.fulfil(replaceListener(name, with: next))
      case .copyListeners(let reply): reply.fulfil(copyListeners())
      case .mistrust(let member): mistrust(member)
      case .startAccepting: startAccepting()
      case .removeListener(let name, let reply): removeListener(name, reply)
      case .reportStatistics(let reply): reply.fulfil(statistics())
      case .drain(let endsAt, let end, let whenDrained):
        beginDrain(ProcessDrain(endsAt: endsAt, whenDrained: [whenDrained]), listeners: end)
      case .stop: isStopping = true
      }
    }
  }

  private mutating func acceptFailed() {
    acceptPauses += 1
    acceptResumesAt = now + Self.acceptRest
  }

  private mutating func reportDrainedIfDone() {
    guard let drain, sessions.count == 0, !hasOpenListener else { return }
    self.drain = nil
    for callback in drain.whenDrained { callback() }
  }

  @inline(__always) private func sooner(_ a: Instant?, _ b: Instant?) -> Instant? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
  }

  // MARK: Tokens

  // A session has three sockets at most: its client's, its backend's, and for a moment one of a second connect. The first two lie side by
  // side; the third ones have a range of their own, whose pages cost nothing while nobody hedges.

  @inline(__always) func token(_ index: SessionIndex, _ side: Side) -> Token {
    let session = sessions[index]
    return switch side {
    case .client: Token(slot: index << 1, generation: session.pointee.clientGeneration)
    case .upstream:
      Token(
        slot: upstreamSlot(index, second: session.pointee.upstreamIsSecond), generation: session.pointee.upstreamGeneration)
    }
  }

  /// Of a second connect: in the other slot, and one generation on. Connects count by two.
  func hedgeToken(_ index: SessionIndex) -> Token {
    let session = sessions[index]
    return Token(
      slot: upstreamSlot(index, second: !session.pointee.upstreamIsSecond),
      generation: session.pointee.upstreamGeneration &+ 1)
  }

  private var firstSecondSlot: UInt32 { UInt32(truncatingIfNeeded: settings.sessionLimit) << 1 }

  @inline(__always) private func upstreamSlot(_ index: SessionIndex, second: Bool) -> UInt32 {
    second ? firstSecondSlot + index : index << 1 | 1
  }

  @inline(__always) private func session(of token: Token) -> (index: SessionIndex, side: Side) {
    if token.slot >= firstSecondSlot { return (token.slot - firstSecondSlot, .upstream) }
    return (token.slot >> 1, token.slot & 1 == 0 ? .client : .upstream)
  }

  /// The session whose second connect this is.
  @inline(__always) func hedger(of token: Token) -> SessionIndex? {
    let index = session(of: token).index
    let session = sessions[index]
    guard session.pointee.phase != .free, session.pointee.hedge != .noSlot, hedgeToken(index) == token else { return nil }
    return index
  }

  /// The session and side that a completion is about; nil when they are gone.
  ///
  /// Inlined, as everything that every completion asks without changing anything: to lend itself to a call the worker, a kilobyte of it,
  /// would be copied.
  @inline(__always) func owner(of token: Token) -> (index: SessionIndex, side: Side)? {
    let (index, side) = session(of: token)
    let session = sessions[index]
    guard session.pointee.phase != .free, side == .client || session.pointee.hasUpstream, self.token(index, side) == token else {
      return nil
    }
    return (index, side)
  }

  @inline(__always) func listener(of index: SessionIndex) -> UnsafeMutablePointer<ListenerSlot> {
    listeners[sessions[index].pointee.listener]
  }

  func signal(_ kind: DataPathSignal.Kind, _ backend: Int32) {
    let slot = backends[backend]
    guard slot.pointee.maySignal(kind, now: now) else { return }
    onSignal(DataPathSignal(member: member(backend), kind: kind))
  }

  /// What the control path and other workers call it.
  func member(_ backend: Int32) -> MemberKey {
    let slot = backends[backend]
    return MemberKey(group: groups[slot.pointee.group].pointee.name, backend: slot.pointee.name)
  }
}
