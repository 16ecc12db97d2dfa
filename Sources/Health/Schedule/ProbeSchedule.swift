import Model

/// When each member is probed. Pure: it is told the time, and says who is to be probed now and when to ask again.
///
/// A member is a small number here, given out when it is added. It is either scheduled for an instant or being probed, never both,
/// so there are never two probes of it in flight. When all slots are taken, members that are due simply stay due: the longest overdue
/// comes first as soon as there is a slot. Nothing costs more than the logarithm of the number of members.
struct ProbeSchedule {
  typealias Number = UInt32

  private enum Phase {
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

  /// A burst of news shares one look.
  static let granularity = Duration.milliseconds(2)
  /// Between the starts of two probes of one member, whoever asks: thousands of failed connects a second must not become
  /// thousands of probes, and two probes closer than this hardly count as two observations.
  static let minimumGap = Duration.milliseconds(20)
  /// Between the first probes of members that come together, in however many groups.
  static let spread = Duration.microseconds(100)

  private let maximumInFlight: Int
  private var entries: [Entry?] = []
  private var free: [Number] = []
  /// The instants of those that are scheduled.
  private var due = DeadlineHeap()
  private var inFlight = 0
  private var lastLook: Instant?
  private var nextFirstProbe: Instant?

  init(maximumInFlight: Int) { self.maximumInFlight = maximumInFlight }

  /// When `start` has something to do; nil while there is nothing but to wait for a probe in flight.
  var nextLook: Instant? {
    guard inFlight < maximumInFlight, let earliest = due.earliest else { return nil }
    return lastLook.map { max(earliest, $0 + Self.granularity) } ?? earliest
  }

  /// The number of the new member: one that is free, and small.
  mutating func add(interval: Duration, now: Instant) -> Number {
    // At once, or as soon as those that came before have had their turn; but not later than after an interval.
    let first = min(max(now, nextFirstProbe ?? now), now + interval)
    nextFirstProbe = max(nextFirstProbe ?? now, first + Self.spread)
    let entry = Entry(interval: interval, phase: .scheduled(first))
    let number: Number
    if let reused = free.popLast() {
      number = reused
      entries[Int(number)] = entry
    } else {
      number = Number(entries.count)
      entries.append(entry)
    }
    due.set(number, at: first)
    return number
  }

  mutating func remove(_ member: Number) {
    guard let entry = entry(member) else { return }
    if case .probing = entry.phase { inFlight -= 1 }
    entries[Int(member)] = nil
    due.remove(member)
    free.append(member)
  }

  /// The members whose probes begin now.
  mutating func start(now: Instant) -> [Number] {
    lastLook = now
    var starting: [Number] = []
    while inFlight < maximumInFlight, let member = due.popExpired(at: now) {
      entries[Int(member)]?.phase = .probing(since: now)
      inFlight += 1
      starting.append(member)
    }
    return starting
  }

  /// The probe in flight ended. The next is one interval after its start, or at once if it lasted longer.
  mutating func finished(_ member: Number, using random: inout some RandomNumberGenerator) {
    guard let entry = entry(member), case .probing(let start) = entry.phase else { return }
    inFlight -= 1
    // Jitter only ever shortens, so that the detection time computed from the interval stays true. The first gap is anything
    // from a half to a whole interval: members that came together do not stay together.
    let factor = Double.random(in: entry.isNew ? 0.5...1 : 0.95...1, using: &random)
    entries[Int(member)]?.lastStart = start
    schedule(member, at: start + entry.interval * factor)
  }

  /// Somebody saw something. A probe in flight is answer enough.
  mutating func probeSoon(_ member: Number, now: Instant) {
    guard let entry = entry(member) else { return }
    advance(member, to: max(now, entry.lastStart.map { $0 + Self.minimumGap } ?? now))
  }

  /// The member's kept session ended: try to connect again at once, because a refusal is the second witness of its death.
  /// Once an interval at most, or a server that greets and hangs up would be asked in a tight loop.
  mutating func sessionEnded(_ member: Number, now: Instant) {
    guard let entry = entry(member) else { return }
    if let last = entry.lastReconnect, now < last + entry.interval { return }
    entries[Int(member)]?.lastReconnect = now
    advance(member, to: now)
  }

  private func entry(_ member: Number) -> Entry? { Int(member) < entries.count ? entries[Int(member)] : nil }

  private mutating func advance(_ member: Number, to instant: Instant) {
    guard let entry = entry(member), case .scheduled(let planned) = entry.phase, instant < planned else { return }
    schedule(member, at: instant)
  }

  private mutating func schedule(_ member: Number, at instant: Instant) {
    entries[Int(member)]?.phase = .scheduled(instant)
    due.set(member, at: instant)
  }
}
