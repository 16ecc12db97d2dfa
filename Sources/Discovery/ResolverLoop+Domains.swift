import Model

// What is due, what has ended, and who is told.
extension ResolverLoop {
  /// Begins the lookups that are due, as far as the budget goes, oldest first. Returns when the next should begin.
  func beginDueLookups() -> Instant? {
    let now = Self.now()
    // A scan of all names: their number is the operator's, and a thousand take a few microseconds.
    let due = domains.compactMap { domain, watched in watched.due.map { (domain: domain, at: $0) } }
    for (domain, _) in due.filter({ $0.at <= now }).sorted(by: { $0.at < $1.at }) {
      let available = budget.available(WatchedDomain.Family.allCases.count, now: now)
      guard available <= now else { return available }
      // An ended question wakes the loop.
      guard questions.count < Self.maximumQuestions else { return nil }
      begin(domain, now: now)
    }
    return domains.values.compactMap(\.due).min()
  }

  func tellNewsAhead() {
    let now = Self.now()
    for domain in domains.filter({ $0.value.newsDue.map { $0 <= now } ?? false }).keys {
      if let outcome = domains[domain]?.newsAhead(now: now) { onUpdate(DiscoveryUpdate(domain: domain, outcome: outcome)) }
    }
  }

  private func begin(_ domain: DomainName, now: Instant) {
    let source: NameSource
    do {
      source = try NameSource(domain)
    } catch {
      notify(.error, .badName, domain, "'\(domain)' cannot be looked up: \(error)")
      return fail(domain, .other, detail: "\(error)", now: now)
    }
    switch source {
    case .literal(let address): answer(domain, [address], source: .literal, now: now)
    case .localhost: answer(domain, hosts.loopback(domain), source: .hostsFile, now: now)
    case .plain(let name):
      if let addresses = hosts[domain] {
        answer(domain, addresses, source: .hostsFile, now: now)
      } else {
        ask(domain, name, now: now)
      }
    case .dns(let name): ask(domain, name, now: now)
    }
  }

  private func ask(_ domain: DomainName, _ name: WireName, now: Instant) {
    guard !scores.servers.isEmpty else { return fail(domain, .noServer, detail: "no name server is known", now: now) }
    domains[domain]?.begin(source: .dns, now: now)
    publish(domain)
    let servers = scores.order(now: now)
    for family in WatchedDomain.Family.allCases { look(up: domain, family, name, servers: servers, now: now) }
  }

  /// Addresses that needed no name server. They are good until their source changes, which is watched.
  private func answer(_ domain: DomainName, _ addresses: [IPAddress], source: DomainStatus.Source, now: Instant) {
    domains[domain]?.begin(source: source, now: now)
    for family in WatchedDomain.Family.allCases {
      let ours = addresses.filter { family.contains($0) }
      let finding = AddressSet.Finding(ours, timeToLive: settings.maximumTTL)
      complete(domain, family, WatchedDomain.FamilyResult(finding: finding), now: now)
    }
  }

  private func fail(_ domain: DomainName, _ failure: DNSFailure, detail: String, now: Instant) {
    domains[domain]?.begin(source: .dns, now: now)
    for family in WatchedDomain.Family.allCases {
      complete(domain, family, WatchedDomain.FamilyResult(finding: .failed(failure), detail: detail), now: now)
    }
  }

  /// A lookup in DNS has ended.
  func finished(_ lookup: Running, _ result: Lookup.Result, now: Instant) {
    complete(lookup.domain, lookup.family, WatchedDomain.FamilyResult(result), now: now)
  }

  private func complete(_ domain: DomainName, _ family: WatchedDomain.Family, _ result: WatchedDomain.FamilyResult, now: Instant) {
    let passed = filtered(result, domain, now: now)
    let completion = domains[domain]?.finished(family, passed, policy: policy, now: now, random: random.next())
    guard let completion else { return }
    report(completion, domain)
    onUpdate(DiscoveryUpdate(domain: domain, outcome: completion.outcome))
    // Afterwards: a lookup that the status counts has been told.
    publish(domain)
    switch completion.label {
    // The file may have changed without word, in a container that mounts it.
    case .failed(.timedOut), .failed(.noServer): loadFiles(ifOlderThan: .seconds(1))
    case .answer, .empty, .failed: break
    }
  }
}

// MARK: The address filter

extension ResolverLoop {
  /// A family of which every address is refused has failed: its last good set stays.
  private func filtered(_ result: WatchedDomain.FamilyResult, _ domain: DomainName, now: Instant) -> WatchedDomain.FamilyResult {
    guard case .addresses(let addresses, let timeToLive) = result.finding, let ports = domains[domain]?.specification.ports else {
      return result
    }
    let local = filter.needsLocalAddresses(ports: ports) ? currentLocalAddresses(now: now) : []
    var result = result
    var passed: [IPAddress] = []
    for address in addresses {
      if let refusal = filter.refusal(of: address, ports: ports, localAddresses: local) {
        result.refused.append(DomainStatus.Refused(address: address, reason: refusal.rawValue))
      } else {
        passed.append(address)
      }
    }
    result.finding = passed.isEmpty ? .failed(.allRefused) : .addresses(passed, timeToLive: timeToLive)
    return result
  }

  private func currentLocalAddresses(now: Instant) -> Set<IPAddress> {
    if let localAddresses, now - localAddresses.read < .seconds(1) { return localAddresses.addresses }
    let addresses = LocalAddresses.read()
    localAddresses = (now, addresses)
    return addresses
  }
}

extension AddressSet.Finding {
  /// Addresses that came without a question: none of a family means that there are none.
  fileprivate init(_ addresses: [IPAddress], timeToLive: Duration) {
    self = addresses.isEmpty ? .empty(timeToLive: timeToLive) : .addresses(addresses, timeToLive: timeToLive)
  }
}

extension WatchedDomain.Family {
  fileprivate func contains(_ address: IPAddress) -> Bool {
    switch (self, address) {
    case (.a, .v4), (.aaaa, .v6): true
    case (.a, .v6), (.aaaa, .v4): false
    }
  }
}

extension WatchedDomain.FamilyResult {
  fileprivate init(_ result: Lookup.Result) {
    switch result {
    case .answered(.records(let records, let timeToLive), let server):
      let addresses = records.compactMap { if case .address(let address) = $0 { address } else { nil } }
      self.init(finding: .addresses(addresses, timeToLive: .seconds(Int64(timeToLive))), server: server)
    case .answered(.empty(let denial, let timeToLive), let server):
      self.init(finding: .empty(timeToLive: timeToLive.map { .seconds(Int64($0)) }), detail: denial.rawValue, server: server)
    case .failed(let failure, let detail, let server):
      self.init(finding: .failed(failure), detail: detail, server: server)
    }
  }
}
