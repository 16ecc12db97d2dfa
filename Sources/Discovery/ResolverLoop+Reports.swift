import Model

// What people are told, and the files that say whom to ask.
extension ResolverLoop {
  func notify(_ severity: NoticeSeverity, _ kind: DiscoveryNotice.Kind, _ domain: DomainName?, _ text: String) {
    if let notice = notices.pass(DiscoveryNotice(severity, kind, domain, text), now: Self.now()) { onNotice(notice) }
  }

  func report(_ completion: WatchedDomain.Completion, knowsEndpoints: Bool) {
    let domain = completion.update.domain
    switch completion.label {
    case .answer, .empty:
      if completion.failuresBefore > 0 {
        let lookups = completion.failuresBefore == 1 ? "a failed lookup" : "\(completion.failuresBefore) failed lookups"
        notify(.info, .lookupRecovered, domain, "'\(domain)' is answered again after \(lookups)")
      }
    // Told below, with the addresses.
    case .failed(.allRefused): break
    case .failed(let failure):
      let server = (completion.failure?.server).map { " at \($0)" } ?? ""
      let detail = completion.failure?.detail ?? ""
      let consequence = knowsEndpoints ? "the last good answer stays" : "no address is known"
      notify(
        .warning, .lookupFailed, domain,
        "looking up '\(domain)' failed\(server): \(failure.rawValue)\(detail.isEmpty ? "" : " (\(detail))"); \(consequence)")
    }
    if !completion.refused.isEmpty {
      let list = completion.refused.prefix(WatchedDomain.keptRefusals).map { "\($0.address) (\($0.reason))" }.joined(
        separator: ", ")
      notify(
        .warning, .addressesRefused, domain,
        "'\(domain)' names addresses that no backend may have: \(list); dns_resolver.allowed_cidrs opens ranges")
    }
    if completion.omitted > 0 {
      notify(
        .warning, .tooManyAddresses, domain,
        "'\(domain)' has more than \(Endpoints.maximum) addresses; \(completion.omitted) are not used")
    }
    if !completion.ignored.isEmpty {
      let counts = Dictionary(grouping: completion.ignored) { $0 }.map { "\($0.value.count) \($0.key.rawValue)" }.sorted()
      notify(
        .warning, .textIgnored, domain,
        "TXT strings of '\(domain)' have no effect: \(counts.joined(separator: ", ")); see \"Topology in DNS\" in docs/CONFIGURATION.md"
      )
    }
  }

  func report(memoryOf domain: DomainName, age: Duration) {
    notify(
      .warning, .servedFromMemory, domain,
      "no server has answered for '\(domain)' yet: it is served from the answer of an earlier run, \(age.coarseText) old")
  }
}

// MARK: resolv.conf and the hosts file

extension ResolverLoop {
  /// Reads both files again. When one of them says something new, every name is asked for anew.
  func loadFiles(ifOlderThan age: Duration = .zero) {
    let now = Self.now()
    guard lastLoaded.map({ now - $0 >= age }) ?? true else { return }
    lastLoaded = now
    let hosts = files.hosts()
    let servers = wantedServers()
    guard hosts != self.hosts || servers != scores.servers else { return }
    self.hosts = hosts
    scores.replace(servers)
    closeIdleChannels()
    mailbox.publish(scores.statuses)
    refreshAll()
  }

  /// The configured servers, else those of resolv.conf. A file that names none leaves those known before: between two leases it
  /// is often empty, and there is no better guess. 127.0.0.1, the traditional one, would hide the mistake.
  private func wantedServers() -> [SocketAddress] {
    guard settings.servers.isEmpty else { return settings.servers.filter { $0.port != nil } }
    let problem: String
    switch files.resolverConfiguration() {
    case .failure(let error): problem = error.description
    case .success(let configuration):
      if !configuration.servers.isEmpty {
        if !scores.servers.isEmpty && configuration.servers != scores.servers {
          let list = configuration.servers.map(\.description).joined(separator: ", ")
          notify(.info, .serversChanged, nil, "resolv.conf changed: the name servers are now \(list)")
        }
        return configuration.servers
      }
      let rejected = configuration.rejected.isEmpty ? "" : " that can be used (\(configuration.rejected.joined(separator: ", ")))"
      problem = "resolv.conf names no server" + rejected
    }
    let consequence = scores.servers.isEmpty ? "no name can be looked up" : "the servers known before stay in use"
    notify(.error, .noServers, nil, "\(problem); \(consequence); set dns_resolver.servers or mend the file")
    return scores.servers
  }
}

extension Duration {
  /// For ages, where a part of a second or of a minute says nothing: `40s`, `5m30s`, `2h5m`, `3d`.
  fileprivate var coarseText: String {
    let step: Int64 = self < .seconds(3600) ? 1 : self < .seconds(86_400) ? 60 : 86_400
    return Duration.seconds(nanoseconds / 1_000_000_000 / step * step).text
  }
}
