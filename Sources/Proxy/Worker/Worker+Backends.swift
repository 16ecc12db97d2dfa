import Model

/// Who uses a backend, and what that tells of it.
extension Worker where E: ~Copyable {
  /// Connected or on their way.
  func connectionCount(of backend: Int32) -> Int {
    let activity = backends[backend].pointee.activity
    return activity == .noSlot ? 0 : activities[activity].pointee.connections
  }

  func load(of backend: Int32) -> Balancer.Load {
    let estimate = backends[backend].pointee.estimate
    return Balancer.Load(
      sessions: connectionCount(of: backend), latency: estimate == .noSlot ? LatencyEstimate() : estimates[estimate].pointee)
  }

  /// Whether a backend that is a candidate may have one more connection.
  func mayTake(_ backend: Int32, _ role: ListenerRole) -> Bool {
    let slot = backends[backend]
    return slot.pointee.standing[role] == .serve
      && connectionCount(of: backend) < groups[slot.pointee.group].pointee.connectionLimit
  }

  mutating func join(_ index: SessionIndex, _ backend: Int32) {
    let session = sessions[index]
    session.pointee.backend = backend
    let activity = activity(of: backend)
    activity.pointee.sessions.append(index, in: sessions)
    activity.pointee.count(1, for: session.pointee.listener)
  }

  private mutating func activity(of backend: Int32) -> UnsafeMutablePointer<BackendActivity> {
    let slot = backends[backend]
    if slot.pointee.activity == .noSlot { slot.pointee.activity = activities.insert(BackendActivity(now: now)) }
    return activities[slot.pointee.activity]
  }

  mutating func leave(_ index: SessionIndex) {
    let session = sessions[index]
    let backend = session.pointee.backend
    let activity = activities[backends[backend].pointee.activity]
    activity.pointee.sessions.remove(index, in: sessions)
    activity.pointee.count(-1, for: session.pointee.listener)
    session.pointee.backend = .noSlot
    if session.pointee.staleSince != 0 { staleSessionEnded(index) }
    connectionEnded(backend)
  }

  mutating func joinHedge(_ index: SessionIndex, _ backend: Int32) {
    sessions[index].pointee.hedge = backend
    activity(of: backend).pointee.hedges += 1
  }

  mutating func leaveHedge(_ index: SessionIndex) {
    let backend = sessions[index].pointee.hedge
    sessions[index].pointee.hedge = .noSlot
    activity(of: backend).pointee.hedges -= 1
    connectionEnded(backend)
  }

  /// There is room for another one. A backend that no table names is forgotten with its last connection.
  private mutating func connectionEnded(_ backend: Int32) {
    let slot = backends[backend]
    let group = groups[slot.pointee.group]
    if group.pointee.connectionLimit != .max { offerPlace(group) }
    guard activities[slot.pointee.activity].pointee.connections == 0 else { return }
    activities.remove(slot.pointee.activity)
    slot.pointee.activity = .noSlot
    guard !slot.pointee.isInTable, !group.pointee.isChanging else { return }
    group.pointee.departed.remove(backend)
    removeBackend(backend)
  }

  mutating func removeBackend(_ backend: Int32) {
    estimateLatency(of: backend, false)
    backends.remove(backend)
  }

  // MARK: Latency

  mutating func estimateLatency(of backend: Int32, _ wanted: Bool) {
    let slot = backends[backend]
    if wanted, slot.pointee.estimate == .noSlot {
      slot.pointee.estimate = estimates.insert(LatencyEstimate())
    } else if !wanted, slot.pointee.estimate != .noSlot {
      estimates.remove(slot.pointee.estimate)
      slot.pointee.estimate = .noSlot
    }
  }

  /// The backend answered what the session last asked of it: its connect, or its client's bytes.
  @inline(__always) func answered(_ index: SessionIndex) {
    let estimate = backends[sessions[index].pointee.backend].pointee.estimate
    if estimate != .noSlot { estimates[estimate].pointee.observe(now - sessions[index].pointee.askedAt, now: now) }
  }

  func penalise(_ backend: Int32) {
    let estimate = backends[backend].pointee.estimate
    if estimate != .noSlot { estimates[estimate].pointee.observe(LatencyEstimate.penalty, now: now) }
  }
}
