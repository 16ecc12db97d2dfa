/// How one member is asked whether it works.
package struct HealthCheck: Hashable, Sendable {
  package enum Kind: Hashable, Sendable {
    case tcp
    // Indirect: tens of thousands of members hold the same check, and the kind is most of it.
    indirect case http(HTTPCheck)
    indirect case postgres(PostgresCheck)

    package var name: String {
      switch self {
      case .tcp: "tcp"
      case .http: "http"
      case .postgres: "postgres"
      }
    }
  }

  package var kind: Kind
  /// From the start of one probe to the start of the next; a probe that lasts longer delays the next.
  package var interval: Duration
  package var timeout: Duration
  /// Consecutive successes before a member that was down is up.
  package var healthyThreshold: Int
  /// Consecutive failures before a member that was up is down.
  package var unhealthyThreshold: Int

  package init(
    kind: Kind, interval: Duration = .milliseconds(300), timeout: Duration = .milliseconds(300),
    healthyThreshold: Int = 2, unhealthyThreshold: Int = 2
  ) {
    self.kind = kind
    self.interval = interval
    self.timeout = timeout
    self.healthyThreshold = healthyThreshold
    self.unhealthyThreshold = unhealthyThreshold
  }

  /// The longest time from a silent death to the verdict: the member dies right after a probe passed, then each of
  /// `unhealthyThreshold` probes runs into its timeout. A refused or reset connection is known sooner.
  package var worstCaseDetection: Duration {
    interval + max(interval, timeout) * (unhealthyThreshold - 1) + timeout
  }

  /// Whether routing needs the member's own word on its role.
  package var provesRole: Bool {
    if case .postgres(let check) = kind { check.depth == .role } else { false }
  }

  /// How long a proof of role is believed: a member that has not repeated it by then is `unknown`, not "still primary".
  package var roleLifetime: Duration { worstCaseDetection }
}

package struct HTTPCheck: Hashable, Sendable {
  package var path: String
  /// Accepted status codes, inclusive.
  package var statuses: [ClosedRange<Int>]
  package var bodyContains: String?
  /// The `Host` header; the backend's address when nil.
  package var host: String?

  package init(path: String = "/", statuses: [ClosedRange<Int>] = [200...399], bodyContains: String? = nil, host: String? = nil) {
    self.path = path
    self.statuses = statuses
    self.bodyContains = bodyContains
    self.host = host
  }
}

package struct PostgresCheck: Hashable, Sendable {
  package enum Depth: String, CaseIterable, Hashable, Sendable {
    /// Reads the server's authentication request, then leaves. Proves that the server accepts sessions.
    case startup
    /// Keeps an authenticated session and asks `pg_is_in_recovery()`. Proves the role.
    case role
  }

  package var user: String
  package var password: Secret?
  package var database: String
  package var depth: Depth

  package init(user: String = "leba", password: Secret? = nil, database: String = "postgres", depth: Depth = .startup) {
    self.user = user
    self.password = password
    self.database = database
    self.depth = depth
  }
}

/// A value that must not be printed: logs, errors and API answers show a mask whatever formats them.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package let revealed: String
  package init(_ value: String) { revealed = value }
  package var description: String { "<secret>" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
