import Failover
import Foundation
import Model

/// The control path: one mailbox, one thread, one order of everything that happens. It feeds the engine and carries out its effects;
/// it decides nothing itself.
final class ControlLoop: Sendable {
  /// What the effects of the engine are carried out with. Each returns at once.
  struct Actuators: Sendable {
    let publish: @Sendable (RoutingTable) -> Void
    let replaceProbePlan: @Sendable ([ProbeTarget]) -> Void
    let probeNow: @Sendable (MemberKey) -> Void
    let lookUpNow: @Sendable (DomainName) -> Void
    let record: @Sendable (Decision) -> Void
  }

  struct State {
    var engine: Engine
    var history = DecisionHistory()
  }

  private enum Message: Sendable {
    case event(Event)
    case work(@Sendable (inout State, Instant) -> [Effect])
    case stop
  }

  private let mailbox: Mailbox<Message>

  init() throws(SystemError) { mailbox = try Mailbox() }

  func post(_ event: Event) { mailbox.post(.event(event)) }

  /// Runs `body` in its turn on the control thread and returns its answer. Only while the loop runs: stop whoever asks before the loop.
  func ask<Answer: Sendable>(_ body: @escaping @Sendable (inout State, Instant) -> (Answer, [Effect])) async -> Answer {
    await withCheckedContinuation { continuation in
      mailbox.post(
        .work { state, now in
          let (answer, effects) = body(&state, now)
          continuation.resume(returning: answer)
          return effects
        })
    }
  }

  func start(_ engine: Engine, actuators: Actuators) {
    let thread = Thread { [self] in run(engine, actuators) }
    thread.name = "leba-control"
    thread.start()
  }

  func stop() { mailbox.post(.stop) }

  private func run(_ engine: Engine, _ actuators: Actuators) {
    var state = State(engine: engine)
    while true {
      for message in mailbox.receive(until: state.engine.nextDeadline) {
        let now = Instant.monotonicNow
        // What time alone changes comes first: a fact must not meet a proof of role that has expired.
        reachDeadline(&state, actuators, now)
        switch message {
        case .event(let event): carryOut(state.engine.handle(event, now: now), &state, actuators)
        case .work(let body): carryOut(body(&state, now), &state, actuators)
        case .stop: return
        }
      }
      reachDeadline(&state, actuators, Instant.monotonicNow)
    }
  }

  private func reachDeadline(_ state: inout State, _ actuators: Actuators, _ now: Instant) {
    guard let deadline = state.engine.nextDeadline, deadline <= now else { return }
    carryOut(state.engine.handle(.deadlineReached, now: now), &state, actuators)
  }

  private func carryOut(_ effects: [Effect], _ state: inout State, _ actuators: Actuators) {
    for effect in effects {
      switch effect {
      case .publish(let table): actuators.publish(table)
      case .replaceProbePlan(let plan): actuators.replaceProbePlan(plan)
      case .probeNow(let member): actuators.probeNow(member)
      case .lookUpNow(let domain): actuators.lookUpNow(domain)
      case .record(let decision):
        state.history.append(decision)
        actuators.record(decision)
      }
    }
  }
}
