import Model

/// The second probes in flight: each was begun beside one that was late, on a connection of its own, so that a member that fell silent has two
/// witnesses after one timeout. They keep nothing, and are thrown away when they end.
struct Companions {
  typealias Number = ProbeSchedule.Number

  private var activities: [Number: Activity] = [:]
  private var timeouts = DeadlineHeap()

  var earliestTimeout: Instant? { timeouts.earliest }
  var numbers: [Number] { Array(activities.keys) }

  subscript(number: Number) -> Activity? { activities[number] }

  mutating func add(_ activity: Activity, of number: Number, until deadline: Instant) {
    activities[number] = activity
    timeouts.set(number, at: deadline)
  }

  mutating func extend(_ number: Number, until deadline: Instant) { timeouts.set(number, at: deadline) }

  mutating func remove(_ number: Number) -> Activity? {
    timeouts.remove(number)
    return activities.removeValue(forKey: number)
  }

  /// One whose time is over; it stays until it is removed or given more time.
  mutating func popExpired(at now: Instant) -> (Number, Activity)? {
    while let number = timeouts.popExpired(at: now) {
      if let activity = activities[number] { return (number, activity) }
    }
    return nil
  }
}

extension HealthCheck {
  /// Less than the timeout: both witnesses have been heard when the time of the late probe is over, if that was found to be late within the first
  /// tenth of it.
  var companionTimeout: Duration { timeout * 9 / 10 }

  /// Whether a probe that is late may get a companion. Not a program, which may not bear to run twice at a time and costs a process; and
  /// not criteria, whose parts answer at their own pace.
  var allowsCompanion: Bool {
    switch kind {
    case .tcp, .tls, .http, .postgres, .mysql, .redis: true
    case .exec, .criteria: false
    }
  }
}
