import Model

/// When each member is probed. Pure: it is told the time, and says who is to be probed now and when to ask again.
///
/// A member is a small number here, given out when it is added. It is either scheduled for an instant or being probed, never both,
/// so there are never two probes of it in flight, but for the companion of one that is late. When all slots are taken, members that are due simply stay due: the longest overdue
/// comes first as soon as there is a slot. Nothing costs more than the logarithm of the number of members.
struct ProbeSchedule {
  typealias Number = UInt32

  private enum Phase: UInt8 {
    case free, scheduled, probing
  }

  private struct Marks: OptionSet {
    let rawValue: UInt8

    /// No probe of it has ended yet.
    static let new = Marks(rawValue: 1)
    /// A second probe is in flight, beside the first or beyond it.
    static let companion = Marks(rawValue: 2)
    /// The last news of it was a refusal or a broken connection.
    static let abrupt = Marks(rawValue: 4)
    /// Its probe, the one in flight or the next, is not one that the interval asks for: somebody saw something.
    static let early = Marks(rawValue: 8)
  }

  /// Plain numbers, 32 bytes: there is one for each of tens of thousands.
  private struct Entry {
    let interval: Int64
    /// Of the probe in flight, or else of the last one.
    var start = Instant.never
    var lastReconnect = Instant.never
    var usual = UsualLatency()
    var phase = Phase.scheduled
    var marks: Marks = .new
    /// Since the last pass; stops at the largest value.
    var failures: UInt8 = 0

    var probesInFlight: Int { (phase == .probing ? 1 : 0) + (marks.contains(.companion) ? 1 : 0) }

    func after(_ instant: Instant) -> Instant { instant + .nanoseconds(interval) }
  }

  /// A burst of news of a large plan shares one look.
  static let granularity = Duration.milliseconds(2)
  /// As many and fewer members are not worth waiting for.
  static let fewMembers = 64
  /// Between the starts of two probes of one member, whoever asks: thousands of failed connects a second must not become
  /// thousands of probes.
  static let minimumGap = Duration.milliseconds(20)
  /// The same after a first failure that was abrupt. What a second look is to rule out, one reset of an overflowing queue, is
  /// over by then; and a server that restarts is away for longer than either gap, so the longer one would only lose time.
  static let confirmationGap = Duration.milliseconds(2)
  /// Between the first probes of members that come together, in however many groups.
  static let spread = Duration.microseconds(100)
  /// Between probes that somebody asked for: as many as there may be, they leave room for those that are planned.
  static let earlySpread = Duration.microseconds(50)

  private let maximumInFlight: Int
  private var entries = Slab<Entry>()
  private var free: [Number] = []
  /// The instants of those that are scheduled.
  private var due = DeadlineHeap()
  private var inFlight = 0
  private var lastLook: Instant?
  private var nextFirstProbe = Instant.never
  private var nextEarlyProbe = Instant.never

  init(maximumInFlight: Int) { self.maximumInFlight = maximumInFlight }

  /// When `start` has something to do; nil while there is nothing but to wait for a probe in flight.
  var nextLook: Instant? {
    guard inFlight < maximumInFlight, let earliest = due.earliest else { return nil }
    guard let lastLook, entries.count - free.count > Self.fewMembers else { return earliest }
    return max(earliest, lastLook + Self.granularity)
  }

  /// The number of the new member: one that is free, and small.
  mutating func add(interval: Duration, now: Instant) -> Number {
    let number: Number
    if let reused = free.popLast() {
      number = reused
    } else {
      number = Number(entries.count)
      entries.append(Entry(interval: 0))
    }
    begin(number, interval: interval, now: now)
    return number
  }

  /// As if the member were removed and added again.
  mutating func change(_ member: Number, interval: Duration, now: Instant) {
    guard let entry = entry(member) else { return }
    inFlight -= entry.probesInFlight
    begin(member, interval: interval, now: now)
  }

  mutating func remove(_ member: Number) {
    guard let entry = entry(member) else { return }
    inFlight -= entry.probesInFlight
    entries[Int(member)].phase = .free
    due.remove(member)
    free.append(member)
  }

  /// The members whose probes begin now.
  mutating func start(now: Instant) -> [Number] {
    lastLook = now
    var starting: [Number] = []
    while inFlight < maximumInFlight, let member = due.popExpired(at: now) {
      entries[Int(member)].phase = .probing
      entries[Int(member)].start = now
      inFlight += 1
      starting.append(member)
    }
    return starting
  }

  /// The probe in flight ended. The next is one interval after its start, or at once if it lasted longer.
  mutating func finished(_ member: Number, using random: inout some RandomNumberGenerator) {
    guard let entry = entry(member), entry.phase == .probing else { return }
    inFlight -= 1
    // Jitter only ever shortens, so that the detection time computed from the interval stays true. The first gap is anything
    // from a half to a whole interval: members that came together do not stay together.
    let shortest = entry.interval - entry.interval / (entry.marks.contains(.new) ? 2 : 50)
    entries[Int(member)].marks.subtract([.new, .early])
    entries[Int(member)].phase = .scheduled
    due.set(member, at: entry.start + .nanoseconds(Int64.random(in: shortest...entry.interval, using: &random)))
  }

  /// What a probe or a kept session has told of the member.
  mutating func learn(_ outcome: ProbeOutcome, of member: Number) {
    guard entry(member) != nil else { return }
    switch outcome {
    case .passed(let latency, _, _):
      entries[Int(member)].usual.record(latency)
      entries[Int(member)].failures = 0
      entries[Int(member)].marks.remove(.abrupt)
    case .failed(let failure):
      // That this host could not ask says nothing about the member.
      if failure.kind == .local { return }
      if entries[Int(member)].failures < .max { entries[Int(member)].failures += 1 }
      if failure.kind.isAbrupt {
        entries[Int(member)].marks.insert(.abrupt)
      } else {
        entries[Int(member)].marks.remove(.abrupt)
      }
    }
  }

  /// How long a probe may take before a companion is worth its cost; nil where it never is. While nothing is known of the member there is
  /// nothing to be late against, and a failure that decides, or comes after the decision, needs no companion.
  func patience(with member: Number, unhealthyThreshold: Int) -> Duration? {
    guard let entry = entry(member), Int(entry.failures) + 1 < unhealthyThreshold else { return nil }
    return entry.usual.patience
  }

  /// Whether the probe in flight was asked for.
  func isEarly(_ member: Number) -> Bool { entry(member)?.marks.contains(.early) == true }

  /// Whether a probe is in flight, its companion aside.
  func isProbing(_ member: Number) -> Bool { entry(member)?.phase == .probing }

  func hasCompanion(_ member: Number) -> Bool { entry(member)?.marks.contains(.companion) == true }

  /// Whether a second probe may begin beside the late one in flight. The slots that probes of others may need are not for it.
  mutating func startCompanion(of member: Number) -> Bool {
    guard let entry = entry(member), entry.phase == .probing, !entry.marks.contains(.companion), inFlight < maximumInFlight / 2
    else { return false }
    entries[Int(member)].marks.insert(.companion)
    inFlight += 1
    return true
  }

  mutating func companionFinished(of member: Number) {
    guard let entry = entry(member), entry.marks.contains(.companion) else { return }
    entries[Int(member)].marks.remove(.companion)
    inFlight -= 1
  }

  /// Somebody saw something. A probe in flight is answer enough.
  mutating func probeSoon(_ member: Number, now: Instant) {
    guard let entry = entry(member) else { return }
    let gap = entry.failures == 1 && entry.marks.contains(.abrupt) ? Self.confirmationGap : Self.minimumGap
    let wanted = max(now, entry.start + gap, nextEarlyProbe)
    if advance(member, to: wanted) { nextEarlyProbe = max(now, nextEarlyProbe) + Self.earlySpread }
  }

  /// The member's kept session ended: try to connect again at once, because a refusal is the second witness of its death.
  /// Once an interval at most, or a server that greets and hangs up would be asked in a tight loop.
  mutating func sessionEnded(_ member: Number, now: Instant) {
    guard let entry = entry(member), now >= entry.after(entry.lastReconnect) else { return }
    entries[Int(member)].lastReconnect = now
    advance(member, to: now)
  }

  private func entry(_ member: Number) -> Entry? {
    guard Int(member) < entries.count, entries[Int(member)].phase != .free else { return nil }
    return entries[Int(member)]
  }

  /// At once, or as soon as those that came before have had their turn; but not later than after an interval.
  private mutating func begin(_ member: Number, interval: Duration, now: Instant) {
    entries[Int(member)] = Entry(interval: max(0, interval.nanoseconds))
    let first = min(max(now, nextFirstProbe), now + interval)
    nextFirstProbe = max(nextFirstProbe, first + Self.spread)
    due.set(member, at: first)
  }

  /// Whether that is earlier than planned.
  @discardableResult
  private mutating func advance(_ member: Number, to instant: Instant) -> Bool {
    guard let entry = entry(member), entry.phase == .scheduled, let planned = due.deadline(of: member), instant < planned else {
      return false
    }
    due.set(member, at: instant)
    entries[Int(member)].marks.insert(.early)
    return true
  }
}

extension Instant {
  fileprivate static let never = Instant(nanoseconds: .min)
}
