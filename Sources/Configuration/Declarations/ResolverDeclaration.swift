import Model

/// As many as `/etc/resolv.conf` could hold for decades.
private let mostSearchDomains = 6

extension Format<ResolverSettings> {
  static var resolver: Self {
    .mapping(.other) { map in
      var settings = ResolverSettings()
      if let servers = map.value("servers", .list(of: .nameServer)) {
        settings.servers = servers.value.map(\.value)
        if map.listIsEmpty("servers") {
          map.reader.error("'servers' is empty", "name a server, or remove the key to use /etc/resolv.conf", at: servers.position)
        }
      }
      if let search = map.value("search", .list(of: .domainName)) {
        settings.searchDomains = search.value.map(\.value)
        if let surplus = search.value.dropFirst(mostSearchDomains).first {
          map.reader.error(
            "'search' has more than \(mostSearchDomains) domains, and each may cost a lookup",
            "keep those in which the names really are", at: surplus.position)
        }
      }
      let lifetime = Format<Duration>.duration(.milliseconds(100) ... .days(7))
      if let timeout = map.value("timeout", .duration(.milliseconds(10) ... .minutes(1))) { settings.timeout = timeout.value }
      if let attempts = map.value("retry_attempts", .integer(0...10)) { settings.retryAttempts = attempts.value }
      if let negative = map.value("negative_ttl", lifetime) { settings.negativeTTL = negative.value }
      if let hold = map.value("hold_removed", .duration(.zero ... .days(1))) { settings.holdRemoved = hold.value }
      if let ranges = map.value("allowed_cidrs", .list(of: .addressRange)) { settings.allowedRanges = ranges.value.map(\.value) }
      let minimum = map.value("minimum_ttl", lifetime)
      let maximum = map.value("maximum_ttl", lifetime)
      settings.minimumTTL = minimum?.value ?? settings.minimumTTL
      settings.maximumTTL = maximum?.value ?? settings.maximumTTL
      if settings.minimumTTL > settings.maximumTTL, let place = minimum?.position ?? maximum?.position {
        map.reader.error(
          "minimum_ttl (\(settings.minimumTTL.text)) is greater than maximum_ttl (\(settings.maximumTTL.text))",
          "make it at most \(settings.maximumTTL.text), or raise maximum_ttl", at: place)
      }
      return settings
    }
  }
}
