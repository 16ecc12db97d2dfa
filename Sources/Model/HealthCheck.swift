/// How one member is asked whether it works.
package struct HealthCheck: Hashable, Sendable, CustomReflectable {
  package enum Kind: Hashable, Sendable {
    case tcp
    /// A handshake, and nothing after it.
    indirect case tls(TLSCheck)
    indirect case http(HTTPCheck)
    indirect case postgres(PostgresCheck)
    indirect case mysql(MySQLCheck)
    indirect case redis(RedisCheck)
    indirect case exec(ExecCheck)
    indirect case criteria(Criteria)

    package var name: String {
      switch self {
      case .tcp: "tcp"
      case .tls: "tls"
      case .http(let check): check.tls == nil ? "http" : "https"
      case .postgres: "postgres"
      case .mysql: "mysql"
      case .redis: "redis"
      case .exec: "exec"
      case .criteria: "criteria"
      }
    }
  }

  private struct Values: Hashable, Sendable {
    var kind: Kind
    var interval: Duration
    var timeout: Duration
    var healthyThreshold: Int
    var unhealthyThreshold: Int
    var keepsSentinel: Bool
    var proxyProtocol: ProxyProtocol?
  }

  /// Never changes, so that the tens of thousands of members that are asked the same question share one.
  private final class Storage: Sendable {
    let values: Values

    init(_ values: Values) { self.values = values }
  }

  private var storage: Storage

  private var values: Values {
    get { storage.values }
    set { storage = Storage(newValue) }
  }

  package init(
    kind: Kind, interval: Duration = .milliseconds(300), timeout: Duration = .milliseconds(300),
    healthyThreshold: Int = 2, unhealthyThreshold: Int = 2, keepsSentinel: Bool = false, proxyProtocol: ProxyProtocol? = nil
  ) {
    storage = Storage(
      Values(
        kind: kind, interval: interval, timeout: timeout, healthyThreshold: healthyThreshold,
        unhealthyThreshold: unhealthyThreshold, keepsSentinel: keepsSentinel, proxyProtocol: proxyProtocol))
  }

  package var kind: Kind {
    get { values.kind }
    set { values.kind = newValue }
  }
  /// From the start of one probe to the start of the next; a probe that lasts longer delays the next.
  package var interval: Duration {
    get { values.interval }
    set { values.interval = newValue }
  }
  package var timeout: Duration {
    get { values.timeout }
    set { values.timeout = newValue }
  }
  /// Consecutive successes before a member that was down is up.
  package var healthyThreshold: Int {
    get { values.healthyThreshold }
    set { values.healthyThreshold = newValue }
  }
  /// Consecutive failures before a member that was up is down.
  package var unhealthyThreshold: Int {
    get { values.unhealthyThreshold }
    set { values.unhealthyThreshold = newValue }
  }
  /// Whether plain TCP probes, if they are frequent, keep a connection that says nothing, so that the death of the process is known
  /// at once. Has to be asked for: a server that serves one connection at a time would serve nobody else meanwhile.
  package var keepsSentinel: Bool {
    get { values.keepsSentinel }
    set { values.keepsSentinel = newValue }
  }

  /// The header that the member expects at the beginning of each connection. Plain TCP probes send none: their connections never reach
  /// the member's program.
  package var proxyProtocol: ProxyProtocol? {
    get { values.proxyProtocol }
    set { values.proxyProtocol = newValue }
  }

  package static func == (a: HealthCheck, b: HealthCheck) -> Bool { a.storage === b.storage || a.values == b.values }
  package func hash(into hasher: inout Hasher) { hasher.combine(values) }

  /// Printed as what it says, and not as where it is kept.
  package var customMirror: Mirror { Mirror(reflecting: values) }

  /// The longest time from a silent death to the verdict: the member dies right after a probe passed, then each of
  /// `unhealthyThreshold` probes runs into its timeout. A refused or reset connection is known sooner.
  package var worstCaseDetection: Duration {
    interval + max(interval, timeout) * (unhealthyThreshold - 1) + timeout
  }

  /// Whether routing needs the member's own word on its role.
  package var provesRole: Bool { roleCheck != nil }

  /// How far behind a replica may be and still serve reads; nil: however far.
  package var maximumLag: ReplicaLag? { roleCheck?.maximumLag }

  /// The first check of depth `role`, wherever it stands in the criteria.
  private var roleCheck: PostgresCheck? { kind.postgresChecks.first { $0.depth == .role } }

  /// How long a proof of role is believed: a member that has not repeated it by then is `unknown`, not "still primary".
  package var roleLifetime: Duration { worstCaseDetection }
}

/// Checks put together. Every leaf asks the member's own address; `port` is another port of it.
package indirect enum Criteria: Hashable, Sendable {
  case check(HealthCheck.Kind, port: UInt16?)
  /// Passes when all do. Never empty.
  case all([Criteria])
  /// Passes when one does. Never empty.
  case any([Criteria])
  /// Passes when the other does not.
  case not(Criteria)
}

extension HealthCheck.Kind {
  fileprivate var postgresChecks: [PostgresCheck] {
    switch self {
    case .postgres(let check): [check]
    case .criteria(let criteria): criteria.postgresChecks
    case .tcp, .tls, .http, .mysql, .redis, .exec: []
    }
  }
}

extension Criteria {
  fileprivate var postgresChecks: [PostgresCheck] {
    switch self {
    case .check(let kind, _): kind.postgresChecks
    case .all(let parts), .any(let parts): parts.flatMap(\.postgresChecks)
    // What must not be so proves nothing.
    case .not: []
    }
  }
}

package struct TLSCheck: Hashable, Sendable {
  /// Sent as SNI and looked for in the certificate; nil: the domain the member was found under is not known to the probe, none is sent.
  package var serverName: String?
  /// Whether the certificate is checked, against the system's trust or `authorities`.
  package var verifies: Bool
  /// A PEM file of certificate authorities; nil: the system's.
  package var authorities: String?

  package init(serverName: String? = nil, verifies: Bool = false, authorities: String? = nil) {
    self.serverName = serverName
    self.verifies = verifies
    self.authorities = authorities
  }
}

package struct HTTPHeader: Hashable, Sendable {
  package var name: String
  package var value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

package struct HTTPCheck: Hashable, Sendable {
  package var path: String
  /// Accepted status codes, inclusive.
  package var statuses: [ClosedRange<Int>]
  package var bodyContains: String?
  /// The `Host` header; the backend's address when nil.
  package var host: String?
  /// Sent besides `Host`, in this order.
  package var headers: [HTTPHeader]
  /// Nil: plain.
  package var tls: TLSCheck?

  package init(
    path: String = "/", statuses: [ClosedRange<Int>] = [200...399], bodyContains: String? = nil, host: String? = nil,
    headers: [HTTPHeader] = [], tls: TLSCheck? = nil
  ) {
    self.path = path
    self.statuses = statuses
    self.bodyContains = bodyContains
    self.host = host
    self.headers = headers
    self.tls = tls
  }
}

package struct PostgresCheck: Hashable, Sendable {
  package enum Depth: String, CaseIterable, Hashable, Sendable {
    /// Asks whether the server speaks TLS, reads the one byte, and leaves. Needs no user, and leaves no line in the server's log.
    case sslRequest = "ssl_request"
    /// Reads the server's authentication request, then leaves. Proves that the server accepts sessions.
    case startup
    /// Keeps an authenticated session and asks `pg_is_in_recovery()`. Proves the role.
    case role
  }

  package var user: String
  package var password: Secret?
  package var database: String
  package var depth: Depth
  package var maximumLag: ReplicaLag?
  package var tls: TLSMode

  package init(
    user: String = "leba", password: Secret? = nil, database: String = "postgres", depth: Depth = .startup,
    maximumLag: ReplicaLag? = nil, tls: TLSMode = .prefer
  ) {
    self.user = user
    self.password = password
    self.database = database
    self.depth = depth
    self.maximumLag = maximumLag
    self.tls = tls
  }
}

/// Whether a session with a database is encrypted. The certificate is not checked, as in libpq and libmysqlclient.
package enum TLSMode: String, CaseIterable, Hashable, Sendable {
  case disable
  /// Where the server offers it, and in the clear where the handshake fails.
  case prefer
  /// Or the probe fails.
  case require
}

/// A bound on how far a replica is behind.
package enum ReplicaLag: Hashable, Sendable {
  case time(Duration)
  case bytes(UInt64)
}

package struct MySQLCheck: Hashable, Sendable {
  /// Nil: reads the server's greeting and leaves in good order.
  package var user: String?
  package var password: Secret?
  package var tls: TLSMode

  package init(user: String? = nil, password: Secret? = nil, tls: TLSMode = .prefer) {
    self.user = user
    self.password = password
    self.tls = tls
  }
}

package struct RedisCheck: Hashable, Sendable {
  /// Nil: the default user.
  package var user: String?
  package var password: Secret?

  package init(user: String? = nil, password: Secret? = nil) {
    self.user = user
    self.password = password
  }
}

package struct ExecCheck: Hashable, Sendable {
  /// The program and its arguments, never a shell; `{address}` and `{port}` stand for the member's.
  package var command: [String]

  package init(command: [String]) { self.command = command }
}

/// A value that must not be printed: logs, errors and API answers show a mask whatever formats them.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package let revealed: String
  package init(_ value: String) { revealed = value }
  package var description: String { "<secret>" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
