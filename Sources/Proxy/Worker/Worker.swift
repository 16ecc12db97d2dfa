import Glibc
import Model
import Threads

/// The bounds one worker keeps to.
struct WorkerSettings: Sendable {
  var sessionLimit: Int
  var bufferLimit: Int
  var heldLimit: Int
  var connectTimeout: Duration
  var demotedDeadline: Duration
  /// Or when it is told to: a process that takes over accepts when it is ready to serve.
  var acceptsAtOnce = true
  /// Of the random choices: another one for each worker, or all would send their clients to the same two backends.
  var seed: UInt64 = 0
}

/// One thread of the data path: an engine, a slab of sessions, and the routing table they follow. Everything in it is owned by
/// its thread; the world reaches it through the mailbox.
///
/// A pass: wait, give every ready socket a turn, execute commands, run what is due. Commands and deadlines come after the sockets, so
/// that bytes which had arrived when a backend was declared dead are on their way before its sessions end.
struct Worker<E: Engine & ~Copyable>: ~Copyable {
  /// Deadlines run per pass at most: a thousand sessions to end must not hold up the others' bytes.
  private static var deadlinesPerPass: Int { 256 }
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
  /// What changes of the routing table cost so far: how often one made this worker look at a group.
  var groupsVisited = 0
  var heldCount = 0
  var generator: SeededGenerator
  var failoverCount: UInt32 = 0
  /// By group: what its failovers took so far.
  var phases: [Int32: FailoverPhases] = [:]
  var acceptPauses: UInt64 = 0
  var drain: ProcessDrain?
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
    let engine = try E(sockets: settings.sessionLimit * 2, buffers: settings.bufferLimit, wake: mailbox.wake)
    self.settings = settings
    self.mailbox = mailbox
    self.onSignal = onSignal
    self.now = now
    isAccepting = settings.acceptsAtOnce
    generator = SeededGenerator(seed: settings.seed)
    self.sessions = sessions
    self.engine = engine
  }

  /// Runs until told to stop; returns the last counts.
  mutating func run() -> WorkerStatistics {
    while !isStopping { pass() }
    return endEverything()
  }

  mutating func pass() {
    let (time, woken) = engine.wait(until: nextDeadline, since: now)
    now = time
    while let completion = engine.next() { handle(completion) }
    if woken { executeCommands() }
    runDeadlines()
    reportDrainedIfDone()
  }

  private mutating func handle(_ completion: Completion) {
    switch completion {
    case .received(let token, let buffer, let count): received(token, buffer, count)
    case .sent(let token, let count): sent(token, count)
    case .ended(let token): ended(token)
    case .receiveFailed(let token, _): broke(token, sending: false)
    case .sendFailed(let token, _): broke(token, sending: true)
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

  private var nextDeadline: Instant? {
    sooner(deadlines.earliest, sooner(paceDeadlines.earliest, sooner(acceptResumesAt, listenersCloseAt)))
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
    case .connecting: attemptFailed(index, .connectTimedOut)
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
      case .apply(let change): apply(change)
      case .addListener(let specification, let socket, let reply): reply.fulfil(addListener(specification, socket))
      case .replaceListener(let name, let next, let reply): reply.fulfil(replaceListener(name, with: next))
      case .copyListeners(let reply): reply.fulfil(copyListeners())
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

  private func sooner(_ a: Instant?, _ b: Instant?) -> Instant? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
  }

  // MARK: Tokens

  func token(_ index: SessionIndex, _ side: Side) -> Token {
    let session = sessions[index]
    return Token(
      slot: index << 1 | side.rawValue,
      generation: side == .client ? session.pointee.clientGeneration : session.pointee.upstreamGeneration)
  }

  /// The session and side that a completion is about; nil when they are gone.
  func owner(of token: Token) -> (index: SessionIndex, side: Side)? {
    let index = token.slot >> 1
    let side: Side = token.slot & 1 == 0 ? .client : .upstream
    let session = sessions[index]
    guard session.pointee.phase != .free, side == .client || session.pointee.hasUpstream, self.token(index, side) == token else {
      return nil
    }
    return (index, side)
  }

  func listener(of index: SessionIndex) -> UnsafeMutablePointer<ListenerSlot> { listeners[sessions[index].pointee.listener] }

  func signal(_ kind: DataPathSignal.Kind, _ backend: Int32) {
    let slot = backends[backend]
    guard slot.pointee.maySignal(kind, now: now) else { return }
    let group = groups[slot.pointee.group].pointee.name
    onSignal(DataPathSignal(member: MemberKey(group: group, backend: slot.pointee.name), kind: kind))
  }
}
