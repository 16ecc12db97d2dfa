import Failover
import Foundation
import LebaConfiguration
import Model

/// The control path: one mailbox, one thread, one order of everything that happens. It feeds the topology and the engine and carries
/// out their effects; it decides nothing itself.
final class ControlLoop: Sendable {
  /// What the effects of the engine are carried out with. Each returns at once, `follow` but for opening and closing sockets.
  struct Actuators: Sendable {
    let publish: @Sendable (RoutingChange) -> Void
    let replaceProbes: @Sendable (GroupName, [ProbeTarget]) -> Void
    let probeNow: @Sendable (MemberKey) -> Void
    let lookUpNow: @Sendable (DomainName) -> Void
    let record: @Sendable (Decision) -> Void
    let remember: @Sendable (GroupMemory) -> Void
    let forget: @Sendable (GroupName) -> Void
    let rememberWindows: @Sendable ([WindowMemory]) -> Void
    /// The groups are others than before, or a service showed its port for the first time.
    let follow: @Sendable (_ groups: [Group], _ ports: [DomainName: UInt16]) -> Void
  }

  struct State {
    var engine: Engine
    var topology: Topology
    var counts = DecisionCounts()
    var phases = DecisionPhases()
    /// The first port that the records of a name showed.
    fileprivate(set) var ports: [DomainName: UInt16] = [:]
  }

  private enum Message: Sendable {
    case event(Event, posted: Instant)
    /// Many a second, and nearly all without news: one message for what was found in one moment.
    case reports([ProbeReport], posted: Instant)
    case work(Work)
    case stop
  }

  /// Something somebody waits for. Gives what is to be carried out, and what tells the waiting one that it was.
  private typealias Work = @Sendable (inout State, Instant) -> (effects: [Effect], follows: Bool, done: @Sendable () -> Void)

  private let mailbox: Mailbox<Message>

  init() throws(SystemError) { mailbox = try Mailbox() }

  func post(_ event: Event) { mailbox.post(.event(event, posted: .monotonicNow)) }

  func post(_ reports: [ProbeReport]) { mailbox.post(.reports(reports, posted: .monotonicNow)) }

  /// Looks at the state in its turn on the control thread. Only while the loop runs: stop whoever asks before the loop.
  func ask<Answer: Sendable>(_ body: @escaping @Sendable (State, Instant) -> Answer) async -> Answer {
    await command { state, now in (body(state, now), []) }
  }

  /// The same for what changes the state. Returns when the effects have been carried out, listeners included.
  func command<Answer: Sendable>(
    _ body: @escaping @Sendable (inout State, Instant) -> (Answer, [Effect])
  ) async -> Answer {
    await run(follows: false, body)
  }

  /// The same where listeners may have to change although no group does.
  func reconfigure<Answer: Sendable>(
    _ body: @escaping @Sendable (inout State, Instant) -> (Answer, [Effect])
  ) async -> Answer {
    await run(follows: true, body)
  }

  private func run<Answer: Sendable>(
    follows: Bool, _ body: @escaping @Sendable (inout State, Instant) -> (Answer, [Effect])
  ) async -> Answer {
    await withCheckedContinuation { continuation in
      mailbox.post(
        .work { state, now in
          let (answer, effects) = body(&state, now)
          return (effects, follows, { continuation.resume(returning: answer) })
        })
    }
  }

  func start(_ engine: Engine, _ topology: Topology, actuators: Actuators) {
    let thread = Thread { [self] in run(State(engine: engine, topology: topology), actuators) }
    thread.name = "leba-control"
    thread.start()
  }

  func stop() { mailbox.post(.stop) }

  private func run(_ initial: State, _ actuators: Actuators) {
    var state = initial
    var chores = Chores()
    var clock = ClockWatch()
    while true {
      var mustFollow = false
      var mustStop = false
      var done: [@Sendable () -> Void] = []
      for message in mailbox.receive(until: chores.isEmpty ? clock.nextLook(before: state.engine.nextDeadline) : .zero) {
        let now = Instant.monotonicNow
        // What time alone changes comes first: a fact must not meet a proof of role that has expired.
        mustFollow = reachDeadline(&state, actuators, &chores, now) || mustFollow
        switch message {
        case .event(let event, let posted):
          let (effects, isNewPort) = state.take(event, now: now)
          mustFollow = carryOut(effects, &state, actuators, &chores, since: posted) || isNewPort || mustFollow
        case .reports(let reports, let posted):
          for report in reports {
            let effects = state.engine.handle(.probeFinished(report), now: now)
            mustFollow = carryOut(effects, &state, actuators, &chores, since: posted) || mustFollow
          }
        case .work(let work):
          let (effects, follows, answer) = work(&state, now)
          mustFollow = carryOut(effects, &state, actuators, &chores) || follows || mustFollow
          done.append(answer)
        case .stop: mustStop = true
        }
      }
      if let wall = clock.look() {
        _ = carryOut(state.engine.handle(.wallClockRead(wall), now: .monotonicNow), &state, actuators, &chores)
      }
      mustFollow = reachDeadline(&state, actuators, &chores, Instant.monotonicNow) || mustFollow
      // Once for all messages: ten thousand names that find their groups at the start are one change.
      if mustFollow { actuators.follow(state.engine.groups, state.ports) }
      for answer in done { chores.append(.answer(answer)) }
      while mustStop || chores.isFull || !isAwaited(state), let chore = chores.popFirst() { perform(chore, actuators) }
      if mustStop { return }
    }
  }

  private func reachDeadline(_ state: inout State, _ actuators: Actuators, _ chores: inout Chores, _ now: Instant) -> Bool {
    guard let deadline = state.engine.nextDeadline, deadline <= now else { return false }
    return carryOut(state.engine.handle(.deadlineReached, now: now), &state, actuators, &chores, since: deadline)
  }

  /// Whether there is something to decide.
  private func isAwaited(_ state: State) -> Bool {
    !mailbox.isEmpty || state.engine.nextDeadline.map { $0 <= .monotonicNow } ?? false
  }

  /// What clients wait for is done at once, what is to be written down later.
  ///
  /// - Parameter posted: when the fact that led to them was known to this process; nil for what a person asked for.
  /// - Returns: whether the groups are others than before.
  private func carryOut(
    _ effects: [Effect], _ state: inout State, _ actuators: Actuators, _ chores: inout Chores, since posted: Instant? = nil
  ) -> Bool {
    var changesGroups = false
    for effect in effects {
      switch effect {
      case .publish(let change): actuators.publish(change)
      case .replaceProbes(let group, let targets): actuators.replaceProbes(group, targets)
      case .probeNow(let member): actuators.probeNow(member)
      case .lookUpNow(let domain): actuators.lookUpNow(domain)
      case .remember, .forget, .rememberWindows: chores.append(.effect(effect))
      case .record(let decision):
        changesGroups = changesGroups || decision.kind.changesGroups
        // The routes went out before the records.
        if let posted { state.phases.note(decision, decided: Instant.monotonicNow - posted) }
        state.counts.add(decision)
        chores.append(.effect(effect))
      }
    }
    return changesGroups
  }

  private func perform(_ chore: Chores.Chore, _ actuators: Actuators) {
    switch chore {
    case .answer(let answer): answer()
    case .effect(.record(let decision)): actuators.record(decision)
    case .effect(.remember(let memory)): actuators.remember(memory)
    case .effect(.forget(let group)): actuators.forget(group)
    case .effect(.rememberWindows(let windows)): actuators.rememberWindows(windows)
    case .effect(.publish), .effect(.replaceProbes), .effect(.probeNow), .effect(.lookUpNow): break
    }
  }
}

extension Decision.Kind {
  /// Whether there are other groups afterwards, or one that is described otherwise.
  fileprivate var changesGroups: Bool {
    switch self {
    case .groupCreated, .groupChanged, .groupDeleted: true
    case .elected, .failover, .failback, .manual, .holdBegan, .holdEnded, .twoWritable, .memberAdded, .memberRemoved,
      .healthChanged, .roleChanged, .addressRefused, .drained, .undrained, .maintenanceBegan, .maintenanceEnded,
      .maintenanceCancelled, .degraded, .restored, .failoversSuspended, .failoversResumed, .overrideLifted, .shadowed:
      false
    }
  }
}

extension ControlLoop.State {
  /// What DNS says goes to the topology first: it may move a name into another group, where its endpoints are wanted then.
  ///
  /// - Returns: what is to be carried out, and whether a service showed its port for the first time.
  fileprivate mutating func take(_ event: Event, now: Instant) -> (effects: [Effect], isNewPort: Bool) {
    guard case .discoveryUpdated(let update) = event else { return (engine.handle(event, now: now), false) }
    let moved = topology.apply(update.attributes, for: update.domain) ? applyTopology(leaving: .afterHold, now: now) : []
    return (moved + engine.handle(event, now: now), notePort(update))
  }

  /// Passes on what the last change of the topology changed.
  mutating func applyTopology(leaving: Leaving, now: Instant) -> [Effect] {
    let changed = topology.changed.sorted()
    return engine.handle(
      .groupsChanged(
        changed.compactMap { topology[$0] }, gone: Set(changed.filter { topology[$0] == nil }), leaving: leaving), now: now)
  }

  private mutating func notePort(_ update: DiscoveryUpdate) -> Bool {
    guard ports[update.domain] == nil, case .answer(let endpoints) = update.outcome, let port = endpoints.first?.port else {
      return false
    }
    ports[update.domain] = port
    return true
  }
}
