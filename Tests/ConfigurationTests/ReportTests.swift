import Model
import Testing

@testable import LebaConfiguration

/// What `leba check` prints of a valid file.
@Suite struct ReportTests {
  @Test func aGroupWhoseMembersTestify() throws {
    let report = try load(
      """
      dns_backends:
        - {domain: primary-db.example.com, protocol: postgres, port: 5432, is_primary: true, group_name: pg, resolution_interval: 30s}
        - {domain: replica.example.com, protocol: postgres, port: 5432, group_name: pg, ttl: 20s, resolution_timeout: 1s}
      failover_groups: [{name: pg, health_check: {postgres: {user: leba}}}]
      """
    ).detectionReport()
    #expect(
      report == [
        "group pg (active-passive), on 127.0.0.1:5432 (primary)",
        "  check        postgres role every 300ms, timeout 300ms, down after 2, up after 2",
        "  detection    within 900ms of a silent death; a refused or broken connection counts at once",
        "  switch-over  as soon as another member proves that it is writable; each is asked every 300ms",
        "  failovers    at most one in 10s; a recovered primary stays a backup",
        "  balance      round_robin",
        "  hold         new connections wait up to 10s while nobody can serve",
        "",
        "DNS (removed addresses are kept for 10s)",
        "  primary-db.example.com  asked again when its TTL ends, after 1s to 30s; a lookup takes at most 5s",
        "  replica.example.com     asked again every 20s; a lookup takes at most 1s",
      ])
  }

  @Test func groupsWhoseMembersCannot() throws {
    let report = try load(
      """
      backends:
        - {id: a, address: 10.0.0.1, port: 80, protocol: http}
        - {id: b, address: 10.0.0.2, port: 80}
      failover_groups:
        - name: ap
          mode: active-passive
          backends: [a, b]
          primary: a
          minimum_interval: 0s
          hold_timeout: 0s
          failback: automatic
          health_check: {interval: 5s, timeout: 2s, healthy_threshold: 3, unhealthy_threshold: 2}
        - {name: nm, mode: normal, backends: [b], health_check: {interval: 1s, timeout: 3s, unhealthy_threshold: 3}}
      """
    ).detectionReport()
    #expect(
      report == [
        "group ap (active-passive), on 127.0.0.1:80 (primary)",
        "  check        http GET / every 5s, timeout 2s, down after 2, up after 3",
        "  check        tcp connect every 5s, timeout 2s, down after 2, up after 3",
        "  detection    within 12s of a silent death; a refused or broken connection counts at once",
        "  switch-over  within 12s: the next healthy member takes over as soon as the death is known",
        "  failovers    without a limit; the preferred primary returns after 5m of health",
        "  balance      round_robin",
        "  hold         new connections fail at once while nobody can serve",
        "group nm (normal), no listener",
        "  check        tcp connect every 1s, timeout 3s, down after 3, up after 2",
        "  detection    within 10s of a silent death; a refused or broken connection counts at once",
        "  switch-over  within 10s: traffic goes to the other members as soon as the death is known",
        "  balance      round_robin",
        "  hold         new connections wait up to 10s while nobody can serve",
      ])
  }

  @Test func theBoundsOfTheResolverBindEveryDomain() throws {
    func bounds(_ resolver: String, _ domain: String) throws -> String {
      let yaml = "dns_resolver: {\(resolver)}\ndns_backends: [{domain: d.example, port: 1, \(domain)}]"
      return String(
        try #require(load(yaml).detectionReport().last).dropFirst("  d.example  asked again ".count).prefix { $0 != ";" })
    }
    #expect(try bounds("minimum_ttl: 2s", "ttl: 1s") == "every 2s")
    #expect(try bounds("maximum_ttl: 1m", "ttl: 1h") == "every 1m")
    #expect(try bounds("maximum_ttl: 1m", "ttl: 30s, resolution_interval: 10s") == "every 10s")
    #expect(try bounds("minimum_ttl: 1m", "resolution_interval: 10s") == "every 1m")
    #expect(try bounds("minimum_ttl: 5s, maximum_ttl: 10s", "weight: 1") == "when its TTL ends, after 5s to 10s")
  }

  @Test func `records and groups that only DNS makes`() throws {
    let report = try load(
      """
      dns_backends:
        - {domain: _pg._tcp.example, group_name: pg}
        - {domain: _web._tcp.example, txt: true}
        - {domain: a.example, port: 80, txt: true}
      failover_groups: [{name: pg, mode: active-passive}]
      """
    ).detectionReport()
    #expect(report.first == "group pg (active-passive), on 127.0.0.1 and the port of its records")
    #expect(
      report.suffix(3) == [
        "  _pg._tcp.example   SRV, asked again when its TTL ends, after 1s to 5m; a lookup takes at most 5s",
        "  _web._tcp.example  SRV and TXT, asked again when its TTL ends, after 1s to 5m; a lookup takes at most 5s",
        "  a.example          addresses and TXT, asked again when its TTL ends, after 1s to 5m; a lookup takes at most 5s",
      ])
  }

  @Test func `criteria, limits, prediction and windows`() throws {
    let report = try load(
      """
      zone: here
      backends: [{id: a, address: 10.0.0.1, port: 80}, {id: b, address: 10.0.0.2, port: 80}]
      failover_groups:
        - name: g
          mode: active-passive
          backends: [a, b]
          primary: a
          balance: peak_ewma
          zone_affinity: true
          slow_start: 10s
          maximum_failovers: {count: 4, within: 10m}
          pin: true
          shadow: true
          health_check:
            criteria: {all: [{http: {path: /ready}}, {any: [{tcp: {port: 9000}}, {not: {exec: {command: [/bin/check, secret]}}}]}]}
            predictive: {degrade_below: 70, eject_below: 30}
      maintenance: [{id: w, backend: a, start: "9000-01-01T00:00:00Z", duration: 1h, repeat: weekly, pre_drain: 2m}]
      """
    ).detectionReport()
    #expect(
      report == [
        "group g (active-passive), on 127.0.0.1:80 (primary)",
        "  check        criteria every 300ms, timeout 300ms, down after 2, up after 2",
        "               all of",
        "                 http GET /ready",
        "                 any of",
        "                   tcp connect on port 9000",
        "                   not",
        "                     exec /bin/check",
        "  detection    within 900ms of a silent death; a refused or broken connection counts at once",
        "  switch-over  within 900ms: the next healthy member takes over as soon as the death is known",
        "  failovers    at most one in 10s, and 4 in 10m; a recovered primary stays a backup",
        "  pin          no automatic failover away from the configured primary",
        "  balance      peak_ewma, members of here first, a member that came up has its full share after 10s",
        "  predictive   less traffic below a score of 70, not eligible below 30 while another is",
        "  shadow       decides and records, and does not act",
        "  hold         new connections wait up to 10s while nobody can serve",
        "",
        "maintenance",
        "  w  a from 90000101T000000Z for 1h, weekly, no new connections from 2m before",
      ])
  }
}
