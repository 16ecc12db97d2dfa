import Testing

@testable import LebaConfiguration

/// One text for each rule that a single declaration can break: the exact place, what is wrong, and what to do.
@Suite struct RuleTests {
  private func errors(_ yaml: String) -> [String] { diagnostics(yaml).filter { !$0.contains(": warning:") } }

  static func backend(_ fields: String) -> String { "backends:\n  - {\(fields)}" }

  @Test(
    arguments: [
      Case("no id", backend("address: 10.0.0.1, port: 80"), "2:5: error: 'id' is missing; add it, for example id: backend1"),
      Case("no address", backend("id: a, port: 80"), "2:5: error: 'address' is missing; add it, for example address: 10.0.0.1"),
      Case("no port", backend("id: a, address: 10.0.0.1"), "2:5: error: 'port' is missing; add it, for example port: 80"),
      Case(
        "bad id", backend("id: a/b, address: 10.0.0.1, port: 80"),
        "2:10: error: 'a/b' is not a name; use up to 253 letters, digits, '-', '_' and '.'"),
      Case(
        "dots as id", backend("id: .., address: 10.0.0.1, port: 80"),
        "2:10: error: '..' is not a name; use up to 253 letters, digits, '-', '_' and '.'"),
      Case(
        "a name as address", backend("id: a, address: db.example.com, port: 80"),
        "2:22: error: 'db.example.com' is not an IP address; write one, for example 10.0.0.1; names go under dns_backends"),
      Case(
        "address with port", backend("id: a, address: \"10.0.0.1:80\", port: 80"),
        "2:22: error: '10.0.0.1:80' is an address with a port; write the port under port"),
      Case(
        "unspecified address", backend("id: a, address: 0.0.0.0, port: 80"),
        "2:22: error: '0.0.0.0' is not the address of a server; write the address of one"),
      Case(
        "multicast address", backend("id: a, address: \"ff02::1\", port: 80"),
        "2:22: error: 'ff02::1' is not the address of a server; write the address of one"),
      Case(
        "port", backend("id: a, address: 10.0.0.1, port: 70000"),
        "2:38: error: '70000' is not a port; write a whole number from 1 to 65535"),
      Case(
        "protocol", backend("id: a, address: 10.0.0.1, port: 80, protocol: htp"),
        "2:52: error: 'htp' is not a known protocol; use tcp, http, https, postgres, mysql, redis, grpc or tls"),
      Case(
        "weight", backend("id: a, address: 10.0.0.1, port: 80, weight: -1"),
        "2:50: error: '-1' is not a whole number; write a whole number from 0 to 65535"),
      Case(
        "id twice", "backends:\n  - {id: a, address: 10.0.0.1, port: 80}\n  - {id: a, address: 10.0.0.2, port: 80}",
        "3:10: error: the id 'a' is already taken (2:10); choose another"),
      Case(
        "id is a domain",
        "dns_backends: [{domain: db.example.com, port: 80}]\n" + backend("id: db.example.com, address: 10.0.0.1, port: 80"),
        "3:10: error: the id 'db.example.com' is also a domain of dns_backends; choose another"),
    ])
  func staticBackends(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  static func domain(_ fields: String) -> String { "dns_backends:\n  - {\(fields)}" }

  @Test(
    arguments: [
      Case("no domain", domain("port: 80"), "2:5: error: 'domain' is missing; add it, for example domain: db.example.com"),
      Case("no port", domain("domain: a.example"), "2:5: error: 'port' is missing; add it, for example port: 5432"),
      Case(
        "an address", domain("domain: 10.0.0.1, port: 80"),
        "2:14: error: '10.0.0.1' is an address, not a DNS name; declare it under backends"),
      Case(
        "half an address", domain("domain: 10.1, port: 80"),
        "2:14: error: '10.1' is not a DNS name; write a name, or a full address under backends"),
      Case(
        "empty label", domain("domain: a..b, port: 80"), "2:14: error: 'a..b' is not a DNS name; write names without empty labels"),
      Case(
        "hyphen at an end", domain("domain: a.-b, port: 80"),
        "2:14: error: 'a.-b' is not a DNS name; use letters, digits and '-' between dots"),
      Case(
        "slash", domain("domain: a/b.example, port: 80"),
        "2:14: error: 'a/b.example' is not a DNS name; use letters, digits and '-' between dots"),
      Case(
        "not ASCII", domain("domain: größe.example, port: 80"),
        "2:14: error: 'größe.example' is not in ASCII; write the name in its ASCII form (xn--…)"),
      Case(
        "long label", domain("domain: \(String(repeating: "a", count: 64)), port: 80"),
        "2:14: error: '\(String(repeating: "a", count: 60))…' has a label of more than 63 bytes; write a name that DNS can hold"),
      Case(
        "long name",
        domain("domain: \(Array(repeating: String(repeating: "a", count: 50), count: 5).joined(separator: ".")), port: 80"),
        "2:14: error: '\(String(repeating: "a", count: 50)).\(String(repeating: "a", count: 9))…' is longer than 253 bytes; write a name that DNS can hold"
      ),
      Case(
        "record", domain("domain: a.example, port: 80, record: cname"),
        "2:43: error: 'cname' is not a kind of record; use address or srv"),
      Case(
        "weight", domain("domain: a.example, port: 80, weight: 65536"),
        "2:43: error: '65536' is out of range; write a whole number from 0 to 65535"),
      Case(
        "is_primary", domain("domain: a.example, port: 80, is_primary: yes"),
        "2:47: error: 'yes' is neither true nor false; write true or false"),
      Case(
        "resolution_timeout", domain("domain: a.example, port: 80, resolution_timeout: 0s"),
        "2:55: error: '0s' is too short; write 10ms or more"),
      Case(
        "resolution_interval", domain("domain: a.example, port: 80, resolution_interval: 2d"),
        "2:56: error: '2d' is too long; write 1d or less"),
      Case(
        "ttl", domain("domain: a.example, port: 80, ttl: 60"), "2:40: error: '60' has no unit; write one, for example 5s or 250ms"),
      Case(
        "the same endpoint twice", "dns_backends:\n  - {domain: a.example, port: 80}\n  - {domain: A.Example., port: 80}",
        "3:5: error: 'a.example' is already in the group 'a.example' with this port; remove one of the entries"),
      Case(
        "two primaries",
        """
        dns_backends:
          - {domain: a.example, port: 1, group_name: g, is_primary: true}
          - {domain: b.example, port: 1, group_name: g, is_primary: true}
        """,
        "3:61: error: the group 'g' has a second primary; the first is 'a.example' (2:61); mark one of them with is_primary: false"),
    ])
  func dnsBackends(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  @Test(
    arguments: [
      ("a.example", "'a.example' is not host:port/protocol; write for example api.example.com:80/http or [::1]:5432/postgres"),
      (
        "a.example:80/http/x",
        "'a.example:80/http/x' is not host:port/protocol; write for example api.example.com:80/http or [::1]:5432/postgres"
      ),
      ("a.example:0", "'a.example:0' has no valid port; write a whole number from 1 to 65535 after the colon"),
      ("a.example:http", "'a.example:http' has no valid port; write a whole number from 1 to 65535 after the colon"),
      (
        "a.example:80/ftp",
        "'a.example:80/ftp' ends in an unknown protocol; use one of tcp, http, https, postgres, mysql, redis, grpc, tls"
      ),
      (":80", "':80' is not a DNS name; write names without empty labels"),
      ("0.0.0.0:80", "'0.0.0.0:80' is not the address of a server; write the address of one"),
      ("::1:80", "'::1:80' is not a DNS name; use letters, digits and '-' between dots"),
    ])
  func dnsBackendStrings(text: String, expected: String) {
    #expect(errors("dns_backend_strings: [\"\(text)\"]") == ["1:23: error: " + expected])
  }

  static func group(_ fields: String) -> String {
    "backends: [{id: a, address: 10.0.0.1, port: 80}, {id: b, address: 10.0.0.2, port: 80}]\nfailover_groups:\n  - {\(fields)}"
  }

  @Test(
    arguments: [
      Case("no name", group("mode: normal, backends: [a]"), "3:5: error: 'name' is missing; add it, for example name: app-servers"),
      Case("no mode", group("name: g, backends: [a]"), "3:12: error: 'mode' is missing; add mode: active-passive or mode: normal"),
      Case(
        "mode", group("name: g, mode: active, backends: [a]"), "3:21: error: 'active' is not a mode; use active-passive or normal"),
      Case(
        "no backends", group("name: g, mode: normal"),
        "3:12: error: 'backends' is missing; add it, for example backends: [backend1, backend2]"),
      Case(
        "empty backends", group("name: g, mode: normal, backends: []"),
        "3:12: error: the group 'g' has no backends; list at least one"),
      Case(
        "unknown backend", group("name: g, mode: normal, backends: [a, bb]"),
        "3:43: error: 'bb' is not declared anywhere; the nearest known name is 'b'; "
          + "or declare it under backends or dns_backends, or write address:port"),
      Case(
        "unknown backend, nothing declared", "failover_groups:\n  - {name: g, mode: normal, backends: [x]}",
        "2:40: error: 'x' is not declared anywhere; declare it under backends or dns_backends, or write address:port"),
      Case(
        "address without a port", "failover_groups:\n  - {name: g, mode: normal, backends: [10.0.0.1, \"[::]:80\"]}",
        "2:40: error: '10.0.0.1' is not declared anywhere; declare it under backends or dns_backends, or write address:port",
        "2:50: error: '[::]:80' is not declared anywhere; declare it under backends or dns_backends, or write address:port"),
      Case(
        "backend twice", group("name: g, mode: normal, backends: [a, a]"), "3:43: error: 'a' is listed twice; remove one of them"),
      Case(
        "backend twice by its address", group("name: g, mode: normal, backends: [a, \"10.0.0.1:80\"]"),
        "3:43: error: '10.0.0.1:80' is listed twice; remove one of them"),
      Case(
        "two ids of one address",
        "backends: [{id: a, address: 10.0.0.1, port: 80}, {id: b, address: 10.0.0.1, port: 80}]\n"
          + "failover_groups: [{name: g, mode: normal, backends: [a, b]}]",
        "2:57: error: 'b' has the same address as 'a' (10.0.0.1:80); keep one of them"),
      Case(
        "no primary", group("name: g, mode: active-passive, backends: [a, b]"),
        "3:12: error: the active-passive group 'g' has no primary; add for example primary: a"),
      Case(
        "primary is not a member", group("name: g, mode: active-passive, backends: [a], primary: b"),
        "3:61: error: the primary 'b' is not one of the group's backends; the nearest one is 'a'; or add it to backends"),
      Case(
        "primary does not exist", group("name: g, mode: active-passive, backends: [a, b], primary: bc"),
        "3:64: error: the primary 'bc' is not one of the group's backends; the nearest one is 'b'; or add it to backends"),
      Case(
        "name twice", group("name: g, mode: normal, backends: [a]}\n  - {name: g, mode: normal, backends: [b]"),
        "4:12: error: the group 'g' is already declared (3:12); choose another name"),
      Case(
        "balance", group("name: g, mode: normal, backends: [a], balance: random"),
        "3:53: error: 'random' is not a balance; use round_robin, least_connections, peak_ewma, source_hash or consistent_hash"),
      Case(
        "failback", group("name: g, mode: normal, backends: [a], failback: auto"),
        "3:54: error: 'auto' is not a kind of failback; use manual or automatic"),
      Case(
        "failback_after alone", group("name: g, mode: normal, backends: [a], failback_after: 5m"),
        "3:60: error: 'failback_after' has no meaning without failback: automatic; add failback: automatic, or remove it"),
      Case(
        "hold_timeout", group("name: g, mode: normal, backends: [a], hold_timeout: 1h"),
        "3:58: error: '1h' is too long; write 10m or less"),
      Case(
        "drain_timeout", group("name: g, mode: normal, backends: [a], drain_timeout: 2d"),
        "3:59: error: '2d' is too long; write 1d or less"),
      Case(
        "minimum_interval", group("name: g, mode: normal, backends: [a], minimum_interval: never"),
        "3:62: error: 'never' is not a duration; write whole numbers with units, for example 250ms, 5s or 1m30s"),
      Case(
        "primary against DNS",
        """
        dns_backends:
          - {domain: a.example, port: 1, group_name: g, is_primary: true}
          - {domain: b.example, port: 1, group_name: g}
        failover_groups: [{name: g, mode: active-passive, primary: b.example}]
        """,
        "4:60: error: 'primary' names 'b.example', but dns_backends marks 'a.example' (2:61); keep one of them"),
      Case(
        "domain with two ports",
        """
        dns_backends: [{domain: a.example, port: 1}, {domain: a.example, port: 2}]
        failover_groups: [{name: g, mode: normal, backends: [a.example]}]
        """,
        "2:54: error: 'a.example' is declared with several ports (1, 2); write which is meant, for example a.example:1"),
      Case(
        "primary with two ports",
        """
        dns_backends: [{domain: a.example, port: 1}, {domain: a.example, port: 2}]
        failover_groups: [{name: g, mode: active-passive, backends: ["a.example:1"], primary: a.example}]
        """,
        "2:87: error: 'a.example' is declared with several ports (1, 2); write which is meant, for example a.example:1"),
      Case(
        "primary on another port",
        """
        dns_backends: [{domain: a.example, port: 1}, {domain: a.example, port: 2}]
        failover_groups: [{name: g, mode: active-passive, backends: ["a.example:1"], primary: "a.example:2"}]
        """,
        "2:87: error: the primary 'a.example:2' is not one of the group's backends; the nearest one is 'a.example'; "
          + "or add it to backends"),
    ])
  func groups(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  static func check(_ fields: String) -> String { group("name: g, mode: normal, backends: [a], health_check: {\(fields)}") }

  @Test(
    arguments: [
      Case(
        "type", check("type: ping"),
        "3:65: error: 'ping' is not a type of check; use tcp, http, https, tls, postgres, mysql, redis or exec"),
      Case("path", check("path: health"), "3:65: error: 'health' does not begin with '/'; write for example /health"),
      Case(
        "path with a space", check("path: /a b"),
        "3:65: error: '/a b' cannot stand in a request; escape spaces and other letters than ASCII as %XX"),
      Case(
        "status backwards", check("path: /, status: 299-200"),
        "3:76: error: '299-200' is not a range of statuses; write for example 204 or 200-299, from 100 to 599"),
      Case(
        "status too large", check("path: /, status: [200, 600]"),
        "3:82: error: '600' is not a range of statuses; write for example 204 or 200-299, from 100 to 599"),
      Case("no status", check("path: /, status: []"), "3:76: error: 'status' is empty; write for example 200-299"),
      Case(
        "host", check("path: /, host: \"a b\""),
        "3:74: error: 'a b' is not a host; write for example app.example.com or app.example.com:8080"),
      Case("interval", check("interval: 0s"), "3:69: error: '0s' is too short; write 50ms or more"),
      Case("timeout", check("timeout: 2h"), "3:68: error: '2h' is too long; write 1h or less"),
      Case(
        "healthy_threshold", check("healthy_threshold: 0"), "3:78: error: '0' is out of range; write a whole number from 1 to 100"),
      Case(
        "unhealthy_threshold", check("unhealthy_threshold: 101"),
        "3:80: error: '101' is out of range; write a whole number from 1 to 100"),
      Case(
        "path of tcp", check("type: tcp, path: /"),
        "3:76: error: 'path' belongs to checks of type http and https; write type: http, or remove it"),
      Case(
        "postgres of http", check("path: /, postgres: {user: a}"),
        "3:78: error: 'postgres' belongs to checks of type postgres; write type: postgres, or remove it"),
      Case("depth", check("postgres: {depth: deep}"), "3:77: error: 'deep' is not a depth; use ssl_request, startup or role"),
      Case(
        "role without user", check("postgres: {depth: role}"),
        "3:77: error: 'depth: role' needs a user that may log in; add user and password_file"),
      Case("tls", check("postgres: {tls: on}"), "3:75: error: 'on' is not a TLS mode; use disable, prefer or require"),
      Case(
        "unknown key", check("intervall: 1s"), "3:59: error: unknown key 'intervall'; the nearest known key is 'interval'"),
    ])
  func healthChecks(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  @Test(
    arguments: [
      Case(
        "servers", "dns_resolver: {servers: [ns.example, \"[::1]:0\", 0.0.0.0]}",
        "1:26: error: 'ns.example' is not the address of a name server; write for example 127.0.0.1:53 or [::1]:53",
        "1:38: error: '[::1]:0' is not the address of a name server; write for example 127.0.0.1:53 or [::1]:53",
        "1:49: error: '0.0.0.0' is not the address of a name server; write for example 127.0.0.1:53 or [::1]:53"),
      Case(
        "no servers", "dns_resolver: {servers: []}",
        "1:25: error: 'servers' is empty; name a server, or remove the key to use /etc/resolv.conf"),
      Case(
        "retry_attempts", "dns_resolver: {retry_attempts: 11}",
        "1:32: error: '11' is out of range; write a whole number from 0 to 10"),
      Case("minimum_ttl", "dns_resolver: {minimum_ttl: 0s}", "1:29: error: '0s' is too short; write 100ms or more"),
      Case("maximum_ttl", "dns_resolver: {maximum_ttl: 8d}", "1:29: error: '8d' is too long; write 7d or less"),
      Case("negative_ttl", "dns_resolver: {negative_ttl: 1}", "1:30: error: '1' has no unit; write one, for example 5s or 250ms"),
      Case("hold_removed", "dns_resolver: {hold_removed: 2d}", "1:30: error: '2d' is too long; write 1d or less"),
      Case(
        "minimum above maximum", "dns_resolver: {minimum_ttl: 10m, maximum_ttl: 5m}",
        "1:29: error: minimum_ttl (10m) is greater than maximum_ttl (5m); make it at most 5m, or raise maximum_ttl"),
      Case(
        "minimum above the default maximum", "dns_resolver: {minimum_ttl: 10m}",
        "1:29: error: minimum_ttl (10m) is greater than maximum_ttl (5m); make it at most 5m, or raise maximum_ttl"),
      Case(
        "CIDRs", "dns_resolver: {allowed_cidrs: [10.0.0.0, 10.0.0.0/33, 10.0.0.0/+8, \"::/129\"]}",
        "1:32: error: '10.0.0.0' is not a range of addresses; write for example 10.0.0.0/8 or fd00::/8",
        "1:42: error: '10.0.0.0/33' is not a range of addresses; write for example 10.0.0.0/8 or fd00::/8",
        "1:55: error: '10.0.0.0/+8' is not a range of addresses; write for example 10.0.0.0/8 or fd00::/8",
        "1:68: error: '::/129' is not a range of addresses; write for example 10.0.0.0/8 or fd00::/8"),
    ])
  func resolver(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  @Test(
    arguments: [
      Case(
        "another host", "api: {address: \"0.0.0.0:8080\"}",
        "1:16: error: the API on 0.0.0.0:8080 could be reached from other hosts, which needs authentication and TLS; this version has neither yet; "
          + "use a loopback address, for example 127.0.0.1:8080, or unix:/PATH"),
      Case(
        "no address", "api: {address: localhost}",
        "1:16: error: 'localhost' is not an address to listen on; write 127.0.0.1:8080, [::1]:PORT or unix:/PATH"),
      Case(
        "a socket path too long", "api: {address: \"unix:/\(String(repeating: "a", count: 108))\"}",
        "1:16: error: 'unix:/\(String(repeating: "a", count: 54))…' is not an address to listen on; write 127.0.0.1:8080, [::1]:PORT or unix:/PATH"
      ),
      Case(
        "both forms", "api: {address: \"127.0.0.1:1\", api_port: 2}",
        "1:41: error: both 'address' and 'api_port' are given; keep one of them"),
      Case(
        "both places", "api: {address: \"127.0.0.1:1\"}\napi_port: 2",
        "2:11: error: both 'api' and 'api_port' give the address (the other at 1:16); keep one of them"),
      Case(
        "short secret", "api_security: {auth_enabled: false, jwt_secret: short}",
        "1:49: error: 'jwt_secret' is shorter than 32 bytes; use a longer one, for example from openssl rand -hex 32"),
      Case(
        "requests_per_minute", "api_security: {requests_per_minute: 0}",
        "1:37: error: '0' is out of range; write a whole number from 1 to 1000000"),
    ])
  func api(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  /// A wrong declaration is reported once, not again wherever it is named.
  @Test func errorsDoNotCascade() {
    #expect(
      errors(
        """
        backends:
          - {id: a, address: 10.0.0.1, port: 0}
        dns_backends:
          - {domain: x.example, port: 0, group_name: h, is_primary: true}
        failover_groups:
          - {name: g, mode: active-passive, backends: [a, x.example], primary: a}
          - {name: i, mode: nomal, backends: [a]}
        listeners:
          - {name: l, address: "127.0.0.1:1", group: g}
          - {name: m, address: "127.0.0.1:2", group: i}
        """) == [
          "2:38: error: '0' is not a port; write a whole number from 1 to 65535",
          "4:31: error: '0' is not a port; write a whole number from 1 to 65535",
          "7:21: error: 'nomal' is not a mode; use active-passive or normal",
        ])
  }
}
