import Model

extension Configuration {
  /// For people: how fast each group notices a death and moves on, and how old an answer of DNS can get.
  package func detectionReport() -> [String] {
    var lines = groups.flatMap(report)
    if !maintenance.isEmpty {
      if !lines.isEmpty { lines.append("") }
      lines += ["maintenance"] + maintenance.map { "  \(describe($0))" }
    }
    let domains = domains
    guard !domains.isEmpty else { return lines }
    if !lines.isEmpty { lines.append("") }
    lines.append("DNS (removed addresses are kept for \(resolver.holdRemoved.text))")
    let width = domains.map(\.domain.rawValue.count).max() ?? 0
    return lines + domains.map { "  " + padded($0.domain.rawValue, to: width) + "  " + records(of: $0) + refresh(of: $0) }
  }

  private func report(on group: GroupSpecification) -> [String] {
    let sockets = listeners.filter { $0.group == group.name }.map { "\($0.address) (\($0.role.rawValue))" }
    let listening: String =
      if !sockets.isEmpty {
        "on " + sockets.joined(separator: ", ")
      } else if !declaresListeners, ListenerSpecification(defaultFor: group) == nil {
        "on 127.0.0.1 and the port of its records"
      } else {
        "no listener"
      }
    var checks: [HealthCheck] = []
    for check in group.members.map(\.check) where !checks.contains(check) { checks.append(check) }

    var rows: [(label: String, text: String)] = checks.map { ("check", describe($0)) }
    let detection = checks.map(\.worstCaseDetection).max() ?? .zero
    rows += checks.flatMap { $0.kind.criteria?.lines(indent: 0) ?? [] }.map { ("", $0) }
    rows.append(("detection", "within \(detection.text) of a silent death; a refused or broken connection counts at once"))
    rows.append(("switch-over", switchOver(of: group, detection: detection)))
    if group.mode == .activePassive {
      let most = group.minimumInterval == .zero ? "without a limit" : "at most one in \(group.minimumInterval.text)"
      let back: String =
        switch group.failback {
        case .manual: "a recovered primary stays a backup"
        case .automatic(let after): "the preferred primary returns after \(after.text) of health"
        }
      let limit = group.maximumFailovers.map { ", and \($0.count) in \($0.within.text)" } ?? ""
      rows.append(("failovers", "\(most)\(limit); \(back)"))
      if group.pin { rows.append(("pin", "no automatic failover away from the configured primary")) }
    }
    rows.append(("balance", describeBalance(of: group)))
    if let predictive = group.predictive { rows.append(("predictive", describe(predictive))) }
    if group.shadow { rows.append(("shadow", "decides and records, and does not act")) }
    let hold = group.holdTimeout == .zero ? "fail at once" : "wait up to \(group.holdTimeout.text)"
    rows.append(("hold", "new connections \(hold) while nobody can serve"))
    let width = rows.map(\.label.count).max() ?? 0
    return ["group \(group.name) (\(group.mode.rawValue)), \(listening)"]
      + rows.map { "  \(padded($0.label, to: width))  \($0.text)" }
  }

  private func describe(_ check: HealthCheck) -> String {
    let question: String =
      switch check.kind {
      case .criteria: "criteria"
      case .tcp, .tls, .http, .postgres, .mysql, .redis, .exec: check.kind.question
      }
    return """
      \(question) every \(check.interval.text), timeout \(check.timeout.text), down after \(check.unhealthyThreshold), \
      up after \(check.healthyThreshold)
      """
  }

  private func describeBalance(of group: GroupSpecification) -> String {
    var text = group.balance.rawValue
    if group.zoneAffinity {
      text += zone.map { ", members of \($0) first" } ?? ", without effect of zone_affinity: this host has no zone"
    }
    if group.slowStart != .zero { text += ", a member that came up has its full share after \(group.slowStart.text)" }
    return text
  }

  private func describe(_ predictive: Predictive) -> String {
    [
      predictive.degradeBelow.map { "less traffic below a score of \($0)" },
      predictive.ejectBelow.map { "not eligible below \($0) while another is" },
    ].compactMap(\.self).joined(separator: ", ")
  }

  private func describe(_ window: MaintenanceWindow) -> String {
    let again = window.repetition.map { ", \($0.rawValue)" } ?? ""
    let drain = window.preDrain == .zero ? "" : ", no new connections from \(window.preDrain.text) before"
    return "\(window.id)  \(window.backend) from \(window.start.compactText) for \(window.duration.text)\(again)\(drain)"
  }

  private func switchOver(of group: GroupSpecification, detection: Duration) -> String {
    let asking = group.members.map(\.check).filter(\.provesRole)
    switch group.mode {
    case .normal: return "within \(detection.text): traffic goes to the other members as soon as the death is known"
    case .activePassive where asking.isEmpty:
      return "within \(detection.text): the next healthy member takes over as soon as the death is known"
    case .activePassive:
      let interval = asking.map(\.interval).max() ?? .zero
      return "as soon as another member proves that it is writable; each is asked every \(interval.text)"
    }
  }

  /// Nothing where it is addresses alone.
  private func records(of domain: DomainSpecification) -> String {
    switch (domain.record, domain.readsText) {
    case (.address, false): ""
    case (.address, true): "addresses and TXT, "
    case (.srv, false): "SRV, "
    case (.srv, true): "SRV and TXT, "
    }
  }

  /// The floor last, as the resolver applies it: it also wins over a `resolution_interval` below it.
  private func refresh(of domain: DomainSpecification) -> String {
    let floor = resolver.minimumTTL
    let cap = max(min(domain.maximumInterval ?? resolver.maximumTTL, resolver.maximumTTL), floor)
    let lookup = "a lookup takes at most \(domain.lookupTimeout.text)"
    if let ttl = domain.ttl { return "asked again every \(max(min(ttl, cap), floor).text); \(lookup)" }
    if floor == cap { return "asked again every \(floor.text); \(lookup)" }
    return "asked again when its TTL ends, after \(floor.text) to \(cap.text); \(lookup)"
  }
}

extension HealthCheck.Kind {
  fileprivate var criteria: Criteria? {
    if case .criteria(let criteria) = self { criteria } else { nil }
  }

  /// What a member is asked, in a few words. Never a header, a user or an argument: they may be secrets.
  fileprivate var question: String {
    switch self {
    case .tcp: "tcp connect"
    case .tls: "tls handshake"
    case .http(let http): "\(name) GET \(http.path)"
    case .postgres(let postgres): "postgres \(postgres.depth.rawValue)"
    case .mysql(let mysql): mysql.user == nil ? "mysql greeting" : "mysql login"
    case .redis: "redis PING"
    case .exec(let exec): "exec \(exec.command.first ?? "")"
    case .criteria: "criteria"
    }
  }
}

extension Criteria {
  /// One line for each check and composition, indented as they nest.
  fileprivate func lines(indent: Int) -> [String] {
    let margin = String(repeating: "  ", count: indent)
    switch self {
    case .check(let kind, let port): return [margin + kind.question + (port.map { " on port \($0)" } ?? "")]
    case .all(let parts): return ["\(margin)all of"] + parts.flatMap { $0.lines(indent: indent + 1) }
    case .any(let parts): return ["\(margin)any of"] + parts.flatMap { $0.lines(indent: indent + 1) }
    case .not(let part): return ["\(margin)not"] + part.lines(indent: indent + 1)
    }
  }
}

private func padded(_ text: String, to width: Int) -> String {
  text + String(repeating: " ", count: max(width - text.count, 0))
}
