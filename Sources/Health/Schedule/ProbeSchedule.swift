import Model

/// When each member is probed. Pure: it is told the time, and says who is to be probed now and when to ask again.
///
/// A member is either scheduled for an instant or being probed, never both, so there are never two probes of it in flight.
/// When all slots are taken, members that are due simply stay due: the longest overdue comes first as soon as there is a slot.
struct ProbeSchedule {
  private enum Phase: Equatable {
    case scheduled(Instant)
    case probing(since: Instant)
  }

  private struct Entry {
    let interval: Duration
    var phase: Phase
    var lastStart: Instant?
    var lastReconnect: Instant?
    var isNew: Bool { lastStart == nil }
  }

  /// Each start costs a look at all members; a burst of news shares one.
  static let granularity = Duration.milliseconds(2)
  /// Between the starts of two probes of one member, whoever asks: thousands of failed connects a second must not become
  /// thousands of probes, and two probes closer than this hardly count as two observations.
  static let minimumGap = Duration.milliseconds(20)
  /// Between the first probes of members that come together.
  static let spread = Duration.microseconds(100)

  private let maximumInFlight: Int
  private var entries: [MemberKey: Entry] = [:]
  private var inFlight = 0
  private var earliest: Instant?
  private var lastLook: Instant?

  init(maximumInFlight: Int) { self.maximumInFlight = maximumInFlight }

  /// When `start` has something to do; nil while there is nothing but to wait for a probe in flight.
  var nextLook: Instant? {
    guard inFlight < maximumInFlight, let earliest else { return nil }
    return lastLook.map { max(earliest, $0 + Self.granularity) } ?? earliest
  }

  mutating func add(_ members: [(MemberKey, interval: Duration)], now: Instant) {
    for (index, (member, interval)) in members.enumerated() {
      remove(member)
      // Not longer than an interval in all, however many they are.
      let delay = min(Self.spread * index, interval)
      set(member, Entry(interval: interval, phase: .scheduled(now + delay), lastStart: nil, lastReconnect: nil))
    }
  }

  mutating func remove(_ member: MemberKey) {
    guard let entry = entries.removeValue(forKey: member) else { return }
    if case .probing = entry.phase { inFlight -= 1 }
  }

  /// The members whose probes begin now.
  mutating func start(now: Instant) -> [MemberKey] {
    lastLook = now
    var due: [(at: Instant, member: MemberKey)] = []
    earliest = nil
    for (member, entry) in entries {
      guard case .scheduled(let at) = entry.phase else { continue }
      if at <= now { due.append((at, member)) } else { noteScheduled(at) }
    }
    due.sort { ($0.at, $0.member) < ($1.at, $1.member) }
    let free = max(0, maximumInFlight - inFlight)
    for (at, _) in due.dropFirst(free) { noteScheduled(at) }
    let starting = due.prefix(free).map(\.member)
    for member in starting { entries[member]?.phase = .probing(since: now) }
    inFlight += starting.count
    return starting
  }

  /// The probe in flight ended. The next is one interval after its start, or at once if it lasted longer.
  mutating func finished(_ member: MemberKey, using random: inout some RandomNumberGenerator) {
    guard var entry = entries[member], case .probing(let start) = entry.phase else { return }
    inFlight -= 1
    // Jitter only ever shortens, so that the detection time computed from the interval stays true. The first gap is anything
    // from a half to a whole interval: members that came together do not stay together.
    let factor = Double.random(in: entry.isNew ? 0.5...1 : 0.95...1, using: &random)
    entry.phase = .scheduled(start + entry.interval * factor)
    entry.lastStart = start
    set(member, entry)
  }

  /// Somebody saw something. A probe in flight is answer enough.
  mutating func probeSoon(_ member: MemberKey, now: Instant) {
    guard let entry = entries[member] else { return }
    advance(member, to: max(now, entry.lastStart.map { $0 + Self.minimumGap } ?? now))
  }

  /// The member's kept session ended: try to connect again at once, because a refusal is the second witness of its death.
  /// Once an interval at most, or a server that greets and hangs up would be asked in a tight loop.
  mutating func sessionEnded(_ member: MemberKey, now: Instant) {
    guard let entry = entries[member] else { return }
    if let last = entry.lastReconnect, now < last + entry.interval { return }
    entries[member]?.lastReconnect = now
    advance(member, to: now)
  }

  private mutating func advance(_ member: MemberKey, to instant: Instant) {
    guard let entry = entries[member], case .scheduled(let at) = entry.phase, instant < at else { return }
    entries[member]?.phase = .scheduled(instant)
    noteScheduled(instant)
  }

  private mutating func set(_ member: MemberKey, _ entry: Entry) {
    entries[member] = entry
    if case .scheduled(let at) = entry.phase { noteScheduled(at) }
  }

  private mutating func noteScheduled(_ instant: Instant) {
    earliest = earliest.map { min($0, instant) } ?? instant
  }
}
