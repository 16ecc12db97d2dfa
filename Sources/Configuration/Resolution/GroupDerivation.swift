import Model

/// One group as it is right now: what the file says of it, with what DNS says of those who are in it.
///
/// The file wins key by key. A key of a TXT string that means nothing is never an error, because a stranger may have written it:
/// `obstacle` says why it has no effect.
struct GroupDerivation {
  struct Seat {
    let candidate: Candidate
    /// Nil for a fixed backend.
    let entry: DNSEntry?
    /// What DNS says of it; empty where it is not asked or has not answered.
    let text: TextAttributes
    /// Whether the file put it here; else its `group_name`, or its own name.
    let isFromFile: Bool
  }

  let name: GroupName
  let seats: [Seat]
  private let settings: SharedSettings
  /// What the file says.
  private let statedMode: GroupMode?
  /// What the first of its names says, in the order of the file.
  private let textMode: GroupMode?
  private let isNamed: Bool
  /// Whether the file, or a request, says who the primary is. Then DNS has no word in it.
  let hasStatedPrimary: Bool
  /// Whether DNS has marked a primary in it since it exists.
  private let wasMarked: Bool

  init(name: GroupName, frame: GroupFrame?, seats: [Seat], wasMarked: Bool = false) {
    self.wasMarked = wasMarked
    self.name = name
    self.seats = seats
    settings = frame?.settings ?? .usual
    statedMode = frame?.mode
    isNamed = frame?.isNamed == true || seats.contains { !$0.isFromFile && ($0.entry?.group ?? $0.text.group) != nil }
    hasStatedPrimary = seats.contains(where: \.candidate.isPrimary)
    textMode =
      seats.filter { $0.text.mode != nil && $0.speaks(for: name) }
      .min { ($0.candidate.entry ?? 0) < ($1.candidate.entry ?? 0) }?.text.mode
  }

  /// A group without a word from DNS.
  init(_ frame: GroupFrame) {
    let seats = frame.members.map { Seat(candidate: $0, entry: nil, text: TextAttributes(), isFromFile: true) }
    self.init(name: frame.name, frame: frame, seats: seats)
  }

  /// Nil when nobody is in it.
  var specification: GroupSpecification? { seats.isEmpty ? nil : described }

  /// The same, whoever is in it.
  var described: GroupSpecification {
    let settings = settings.value
    return GroupSpecification(
      name: name, mode: mode, members: seats.map(member), balance: settings.balance, failback: settings.failback,
      minimumInterval: settings.minimumInterval, maximumFailovers: settings.maximumFailovers, pin: settings.pin,
      zoneAffinity: settings.zoneAffinity, slowStart: settings.slowStart, predictive: settings.check.predictive,
      shadow: settings.shadow, holdTimeout: settings.holdTimeout, drainTimeout: settings.drainTimeout,
      connections: settings.connections, allowedRanges: settings.allowedRanges)
  }

  private var mode: GroupMode {
    if let stated = statedMode ?? textMode { return stated }
    // Without a group_name an entry is a group of equals.
    guard isNamed else { return .normal }
    return hasStatedPrimary || isMarked || wasMarked ? .activePassive : .normal
  }

  /// Whether DNS marks a primary in it.
  var isMarked: Bool { seats.contains { $0.text.isPrimary == true && obstacle(to: .isPrimary, at: $0) == nil } }

  private func member(_ seat: Seat) -> MemberSource {
    let candidate = seat.candidate
    var member = MemberSource(
      origin: candidate.origin, record: candidate.record, proto: candidate.proto, weight: candidate.weight, zone: candidate.zone,
      isPrimary: candidate.isPrimary, maintenance: seat.text.maintenance ?? false, check: settings.check(for: candidate.proto))
    if let weight = seat.text.weight, obstacle(to: .weight, at: seat) == nil { member.weight = weight }
    if let zone = seat.text.zone, obstacle(to: .zone, at: seat) == nil { member.zone = zone }
    if let mark = seat.text.isPrimary, obstacle(to: .isPrimary, at: seat) == nil { member.isPrimary = mark }
    return member
  }

  /// Why a key of a seat's TXT strings has no effect; nil when it has one.
  func obstacle(to key: TextKey, at seat: Seat) -> IneffectiveText.Reason? {
    switch key {
    case .groupName: return seat.isFromFile || seat.entry?.group != nil ? .overriddenByFile : nil
    case .weight:
      if seat.candidate.weight != nil { return .overriddenByFile }
      // Each SRV record has a weight of its own.
      return seat.candidate.record == .srv ? .noEffect : nil
    case .zone: return seat.candidate.zone != nil ? .overriddenByFile : nil
    case .maintenance: return nil
    case .mode:
      if !seat.speaks(for: name) { return .noEffect }
      if statedMode != nil { return .overriddenByFile }
      return seat.text.mode == textMode ? nil : .conflict
    case .isPrimary:
      if hasStatedPrimary || seat.entry?.isPrimary != nil { return .overriddenByFile }
      let isGroupOfEquals = !isNamed && (statedMode ?? textMode ?? .normal) == .normal
      return isGroupOfEquals || !seat.speaks(for: name) ? .noEffect : nil
    }
  }
}

extension GroupDerivation.Seat {
  /// A group may list a name that belongs to another group. What DNS says of that name's role there is not meant for this one.
  func speaks(for group: GroupName) -> Bool { entry?.group == nil || entry?.group == group }
}
