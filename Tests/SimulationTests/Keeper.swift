import Failover
import Model

/// The state directory of this world: what the engine asked to keep, and what of it is there after a kill -9.
///
/// The latest effects may not have reached the disk. What did is a beginning of what was asked for: never a later one without an
/// earlier one.
struct Keeper {
  private(set) var groups: [GroupName: GroupMemory] = [:]
  private(set) var windows: [WindowMemory] = []
  private var unwritten: [(at: Instant, effect: Effect)] = []

  /// Longer than anything is on its way to the disk.
  private static let longest = Duration.milliseconds(200)

  mutating func keep(_ effect: Effect, now: Instant) {
    unwritten.append((now, effect))
    write(until: now - Self.longest)
  }

  /// The process dies; what was asked for after `instant` is lost.
  mutating func crash(losingAfter instant: Instant) {
    write(until: instant)
    unwritten = []
  }

  private mutating func write(until instant: Instant) {
    let written = unwritten.prefix { $0.at <= instant }
    for (_, effect) in written { write(effect) }
    unwritten.removeFirst(written.count)
  }

  private mutating func write(_ effect: Effect) {
    switch effect {
    case .remember(let memory): groups[GroupName(memory.group)] = memory
    case .forget(let name): groups[name] = nil
    case .rememberWindows(let all): windows = all
    case .publish, .replaceProbes, .probeNow, .lookUpNow, .record: break
    }
  }

  /// In a stable order.
  var memories: [GroupMemory] { groups.values.sorted { $0.group < $1.group } }
}
