import Testing

@testable import LebaConfiguration

/// One run finds everything.
@Suite struct ManyErrorsTests {
  @Test func allErrorsOfAFileInTheOrderOfTheFile() {
    let yaml = """
      zome: eu
      workers: 0
      listeners:
        - {name: pg, address: "127.0.0.1:99999", group: pg}
        - {name: web, address: "127.0.0.1:81", group: web}
        - {name: web, address: "0.0.0.0:81", group: wbe}
      dns_resolver:
        servers: [localhost]
        minimum_ttl: 10m
      dns_backends:
        - domain: primary..example.com
          port: 5432
        - domain: r.example.com
          protocol: postgre
          port: 5432
          group_name: pg
          is_primary: true
        - domain: s.example.com
          port: 5432
          group_name: pg
          is_primary: true
          ttl: 60
      backends:
        - {id: a, address: 10.0.0.300, port: 80}
        - {id: b, address: 10.0.0.2, port: 80, wieght: 2}
      failover_groups:
        - name: web
          mode: active-passive
          backends: [a, b, c]
          sticky: {cookie: x}
          health_check: {interval: 5, unhealthy_threshold: 0}
      api: {address: "192.0.2.1:8080"}
      api_security: {auth_enabled: maybe}
      """
    #expect(
      diagnostics(yaml) == [
        "1:1: error: unknown key 'zome'; the nearest known key is 'zone'",
        "2:10: error: '0' is out of range; write a whole number from 1 to 128",
        "4:25: error: '127.0.0.1:99999' is not an address to listen on; write 127.0.0.1:5432, [::1]:PORT or unix:/PATH",
        "6:12: error: the listener 'web' is already declared (5:12); choose another name",
        "6:26: error: the address 0.0.0.0:81 is already taken by the listener 'web' (5:26); choose another port",
        "6:47: error: there is no group 'wbe'; the nearest known name is 'web'",
        "8:13: error: 'localhost' is not the address of a name server; write for example 127.0.0.1:53 or [::1]:53",
        "9:16: error: minimum_ttl (10m) is greater than maximum_ttl (5m); make it at most 5m, or raise maximum_ttl",
        "11:13: error: 'primary..example.com' is not a DNS name; write names without empty labels",
        "14:15: error: 'postgre' is not a known protocol; use tcp, http, https, postgres, mysql, redis, grpc or tls",
        "21:17: error: the group 'pg' has a second primary; the first is 'r.example.com' (17:17); "
          + "mark one of them with is_primary: false",
        "22:10: error: '60' has no unit; write one, for example 5s or 250ms",
        "24:22: error: '10.0.0.300' is not an IP address; write one, for example 10.0.0.1; names go under dns_backends",
        "25:42: error: unknown key 'wieght'; the nearest known key is 'weight'",
        "27:11: error: the active-passive group 'web' has no primary; add for example primary: b",
        "29:22: error: 'c' is not declared anywhere; the nearest known name is 'a'; "
          + "or declare it under backends or dns_backends, or write address:port",
        "30:13: error: 'sticky' is not supported by this version yet; remove it",
        "31:30: error: '5' has no unit; write one, for example 5s or 250ms",
        "31:54: error: '0' is out of range; write a whole number from 1 to 100",
        "32:16: error: the API on 192.0.2.1:8080 could be reached from other hosts, which needs authentication and TLS; "
          + "this version has neither yet; use a loopback address, for example 127.0.0.1:8080, or unix:/PATH",
        "33:30: error: 'maybe' is neither true nor false; write true or false",
      ])
  }
}
