import Failover
import Model

/// What the control loop still owes, oldest first: to write down what it decided, and to answer those who wait for it.
///
/// Writing takes longer than deciding, and in a bad hour a thousand groups decide at once: what has arrived meanwhile is decided first, and its
/// routes go out before the records of what came before. The order of the records among themselves is that of the decisions.
struct Chores {
  enum Chore {
    case effect(Effect)
    /// Tells who asked that everything was carried out.
    case answer(@Sendable () -> Void)
  }

  /// Decisions that come faster than they can be written down wait for that from here on: memory is not unbounded.
  private static let most = 4096

  private var chores: [Chore] = []
  private var done = 0

  var isEmpty: Bool { chores.isEmpty }
  var isFull: Bool { chores.count - done >= Self.most }

  mutating func append(_ chore: Chore) { chores.append(chore) }

  mutating func popFirst() -> Chore? {
    guard done < chores.count else { return nil }
    let chore = chores[done]
    done += 1
    if done == chores.count || done == Self.most {
      chores.removeFirst(done)
      done = 0
    }
    return chore
  }
}
