import Model

/// A member that came up takes its share in ten steps: its caches are cold, and a stampede could take it down again.
extension Group {
  private static let steps: Int64 = 10

  mutating func startSlowly(_ position: Int, from state: Health.State, now: Instant) {
    guard specification.slowStart > .zero else { return }
    // When the group itself starts, nobody is new among the others.
    if state == .unknown, now < electsAnyoneFrom { return }
    members[position].startedSlowly = now
  }

  /// In percent: a tenth at first, nine tenths of the rest in ten equal steps.
  func slowShare(of member: Member, now: Instant) -> Int {
    guard let step = slowStep(of: member, now: now) else { return 100 }
    return 10 + Int(90 * step / Self.steps)
  }

  /// When its share grows next.
  func nextStep(of member: Member, after now: Instant) -> Instant? {
    guard let since = member.startedSlowly, let step = slowStep(of: member, now: now) else { return nil }
    return since + .nanoseconds(lengthOfStep) * (step + 1)
  }

  /// Whoever has its whole share is not remembered as new.
  mutating func endSlowStarts(now: Instant) {
    for position in members.indices where members[position].startedSlowly != nil {
      if slowStep(of: members[position], now: now) == nil { members[position].startedSlowly = nil }
    }
  }

  /// Rounded up, so that the tenth step is not before the end.
  private var lengthOfStep: Int64 { specification.slowStart.nanoseconds / Self.steps + 1 }

  /// 0 to 9; nil when it has its whole share.
  private func slowStep(of member: Member, now: Instant) -> Int64? {
    guard let since = member.startedSlowly, specification.slowStart > .zero else { return nil }
    let step = max(0, (now - since).nanoseconds) / lengthOfStep
    return step < Self.steps ? step : nil
  }
}
