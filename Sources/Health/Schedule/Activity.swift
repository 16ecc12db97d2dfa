import Model

/// A member that is being probed, or keeps a session. The others are no more than their rows in the table and the schedule.
struct Activity {
  let prober: any Prober
  /// Sets apart what probers of members say that had this number before.
  let serial: UInt64
  var probe: Probe?

  struct Probe {
    let start: Instant
    let timeout: Duration
    /// Of all time, when it began.
    let lateness: Duration
    /// It may turn out to be late, and then gets a companion.
    var isWatched = false
  }
}
