import ControlAPI
import Failover
import Foundation
import Model
import Testing

/// The API over a real socket: what is answered, and what is refused.
@Suite struct APITests {
  /// Runs the API on a socket of its own while `body` asks it.
  private func withAPI(_ body: (APIClient, EnginePlane) async throws -> Void) async throws {
    try await withControlAPI { api, plane, _ in try await body(api, plane) }
  }

  @Test func groupsAreListedWithTheFieldsOfTheContract() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/groups")
      #expect(answer.status == 200)
      #expect(answer.body["count"] as? Int == 1)
      let group = try #require((answer.body["groups"] as? [[String: Any]])?.first)
      let keys: Set = [
        "name", "mode", "primary_key", "primary_healthy", "total_backends", "healthy_backends", "failed_backends", "last_failover",
        "failover_count", "state",
      ]
      #expect(keys.isSubset(of: Set(group.keys)))
      #expect(group["primary_key"] as? String == "backend1")
      #expect(group["last_failover"] is NSNull)
    }
  }

  @Test func aGroupShowsItsBackendsWithTheFieldsOfTheContract() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/groups/app-servers")
      let backend = try #require((answer.body["backends"] as? [[String: Any]])?.first)
      let keys: Set = [
        "id", "address", "port", "protocol", "weight", "zone", "health", "score", "role", "administrative", "discovered",
        "eligible",
        "reason", "active_connections",
      ]
      #expect(keys.isSubset(of: Set(backend.keys)))
      #expect(backend["health"] as? String == "up")
      #expect(backend["eligible"] as? Bool == true)
    }
  }

  @Test func thePrimaryIsChangedAndTheChangeIsRecorded() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "backend2"}"#)
      #expect(answer.status == 200)
      #expect(answer["primary_key"] == "backend2")
      let events = try await api.call("GET", "/api/v1/events?group=app-servers&limit=1")
      let event = try #require((events.body["events"] as? [[String: Any]])?.first)
      #expect(event["kind"] as? String == "manual")
      #expect(event["from"] as? String == "backend1")
      let metrics = try await api.call("GET", "/metrics").text
      #expect(metrics.contains(#"leba_failover_events_total{group="app-servers",reason="manual"} 1"#))
      #expect(metrics.contains(#"leba_group_primary{group="app-servers",backend="backend2"} 1"#))
    }
  }

  @Test func aDryRunChangesNothing() async throws {
    try await withAPI { api, _ in
      let answer1 = try await api.call("POST", "/api/v1/groups/app-servers/primary?dry_run=true", #"{"backend_id": "backend2"}"#)
      #expect(answer1.status == 200)
      let answer2 = try await api.call("GET", "/api/v1/groups/app-servers")
      #expect(answer2["primary_key"] == "backend1")
      #expect(
        try await api.call("POST", "/api/v1/groups/app-servers/primary?dry_run=maybe", #"{"backend_id": "backend2"}"#).status == 400
      )
    }
  }

  @Test func aTargetThatIsDownNeedsForce() async throws {
    try await withAPI { api, plane in
      for _ in 0..<2 { plane.probe("app-servers", "backend2", .failed(ProbeFailure(.refused, "test"))) }
      let refused = try await api.call("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "backend2"}"#)
      #expect(refused.status == 409)
      #expect(refused.type == "application/problem+json")
      let forced = try await api.call("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "backend2", "force": true}"#)
      #expect(forced.status == 200)
      #expect(forced["primary_key"] == "backend2")
    }
  }

  @Test func groupsAreCreatedOnceAndDeletedOnce() async throws {
    try await withAPI { api, _ in
      let body = #"{"name": "new", "mode": "active-passive", "backends": ["a", "b"], "primary": "a"}"#
      let answer3 = try await api.call("POST", "/api/v1/groups", body)
      #expect(answer3.status == 201)
      let answer4 = try await api.call("POST", "/api/v1/groups", body)
      #expect(answer4.status == 409)
      let deleted = try await api.call("DELETE", "/api/v1/groups/new")
      #expect(deleted.status == 200)
      #expect(deleted["deleted"] == "new")
      let answer5 = try await api.call("DELETE", "/api/v1/groups/new")
      #expect(answer5.status == 404)
    }
  }

  /// Each wrong request, the status of the contract, and a problem that says what is wrong.
  @Test(
    arguments: [
      ("GET", "/api/v1/groups/nowhere", nil, 404, "nowhere"),
      ("GET", "/api/v1/nothing", nil, 404, "nothing"),
      ("PUT", "/api/v1/groups", "{}", 405, "GET"),
      ("GET", "/api/v1/groups/app-servers/primary", nil, 405, "POST"),
      ("POST", "/api/v1/groups/app-servers/primary", "{", 400, "JSON"),
      ("POST", "/api/v1/groups/app-servers/primary", "", 400, "JSON"),
      ("POST", "/api/v1/groups/app-servers/primary", "[]", 422, "body"),
      ("POST", "/api/v1/groups/app-servers/primary", "{}", 422, "backend_id"),
      ("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": 7}"#, 422, "backend_id"),
      ("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "backend2", "forse": true}"#, 422, "forse"),
      ("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "elsewhere"}"#, 404, "elsewhere"),
      ("POST", "/api/v1/groups", #"{"name": "x", "mode": "sideways", "backends": ["a"]}"#, 422, "sideways"),
      ("GET", "/api/v1/events?limit=0", nil, 400, "limit"),
    ] as [(String, String, String?, Int, String)])
  func wrongRequestsGetAProblem(method: String, target: String, body: String?, status: Int, says: String) async throws {
    try await withAPI { api, _ in
      let answer = try await api.call(method, target, body)
      #expect(answer.status == status)
      #expect(answer.type == "application/problem+json")
      #expect(answer.body["status"] as? Int == status)
      #expect(answer["detail"].contains(says), "\(answer.text)")
    }
  }

  @Test(
    arguments: [
      ([("Host", "evil.example")], 403), ([("Host", "localhost.evil.example:8080")], 403),
      ([("Host", "localhost"), ("Origin", "http://evil.example")], 403), ([("Host", "localhost"), ("Origin", "null")], 403),
      ([("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")], 403),
      ([("Host", "localhost"), ("Sec-Fetch-Site", "same-site")], 403), ([("Host", "127.0.0.1:18080")], 200),
      ([("Host", "[::1]:8080")], 200), ([("Host", "localhost:1"), ("Origin", "http://localhost:1")], 200),
    ] as [([(String, String)], Int)])
  func foreignPagesCannotCall(headers: [(String, String)], status: Int) async throws {
    try await withAPI { api, _ in
      let answer6 = try await api.call("GET", "/api/v1/groups", headers: headers)
      #expect(answer6.status == status)
    }
  }

  @Test func aMutationThatIsNotJSONIsRefused() async throws {
    try await withAPI { api, _ in
      let body = #"{"backend_id": "backend2"}"#
      for type in [nil, "text/plain", "application/x-www-form-urlencoded"] {
        let answer7 = try await api.call("POST", "/api/v1/groups/app-servers/primary", body, type: type)
        #expect(answer7.status == 415)
      }
      let answer8 = try await api.call("GET", "/api/v1/groups/app-servers")
      #expect(answer8["primary_key"] == "backend1")
    }
  }

  @Test func aBodyPastTheLimitIsRefused() async throws {
    try await withAPI { api, _ in
      let body = #"{"name": ""# + String(repeating: "x", count: 2 << 20) + #""}"#
      let answer9 = try await api.call("POST", "/api/v1/groups", body)
      #expect(answer9.status == 413)
    }
  }

  // MARK: DNS

  @Test func `the status of DNS has the fields of the contract`() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/dns/status")
      #expect(answer.status == 200)
      #expect(answer.body["count"] as? Int == 1)
      let domain = try #require((answer.body["domains"] as? [[String: Any]])?.first)
      let keys: Set = [
        "domain", "record", "source", "outcome", "server", "records", "ttl_left_seconds", "next_refresh_seconds", "age_seconds",
        "questions", "attributes", "refused", "lookups",
      ]
      #expect(keys.isSubset(of: Set(domain.keys)))
      #expect(domain["ttl_left_seconds"] as? Double == 12.5)
      #expect((domain["attributes"] as? [String: Any])?["group_name"] as? String == "pg")
      #expect((domain["lookups"] as? [String: Any])?["addresses_refused"] as? Int == 1)
      let server = try #require((answer.body["servers"] as? [[String: Any]])?.first)
      #expect(server["address"] as? String == "127.0.0.1:53")
    }
  }

  @Test func `an entry is made once, checked by a dry run, and removed`() async throws {
    try await withAPI { api, _ in
      let body = #"{"domain": "new.example.com", "port": 5432, "protocol": "postgres", "txt": true, "resolution_interval": "30s"}"#
      let dry = try await api.call("POST", "/api/v1/dns/backends?dry_run=true", body)
      #expect(dry.status == 200)
      let made = try await api.call("POST", "/api/v1/dns/backends", body)
      #expect(made.status == 201)
      #expect(made["resolution_interval"] == "30s" && made["protocol"] == "postgres" && made["origin"] == "api")
      let list = try await api.call("GET", "/api/v1/dns/backends")
      #expect(
        (list.body["dns_backends"] as? [[String: Any]])?.map { $0["domain"] as? String } == [
          "declared.example.com", "new.example.com",
        ])
      let again = try await api.call("POST", "/api/v1/dns/backends", body)
      #expect(again.status == 409)
      let deleted = try await api.call("DELETE", "/api/v1/dns/backends/NEW.example.com.")
      #expect(deleted["deleted"] == "new.example.com")
    }
  }

  @Test(
    arguments: [
      ("POST", "/api/v1/dns/backends", #"{"port": 1}"#, 422, "domain"),
      ("POST", "/api/v1/dns/backends", #"{"domain": "x.test", "port": 1, "weigth": 1}"#, 422, "weigth"),
      ("POST", "/api/v1/dns/backends", #"{"domain": "x.test", "port": 0}"#, 422, "port"),
      ("POST", "/api/v1/dns/backends", #"{"domain": "x.test", "port": 1, "ttl": "soon"}"#, 422, "soon"),
      ("POST", "/api/v1/dns/backends", "{", 400, "JSON"),
      ("DELETE", "/api/v1/dns/backends/nowhere.test", nil, 404, "nowhere.test"),
      ("DELETE", "/api/v1/dns/backends/declared.example.com", nil, 409, "declared"),
      ("PUT", "/api/v1/dns/backends", "{}", 405, "POST"),
      ("POST", "/api/v1/dns/refresh", #"{"domain": "nowhere.test"}"#, 404, "nowhere.test"),
      ("POST", "/api/v1/dns/refresh", #"{"name": "x"}"#, 422, "name"),
      ("GET", "/api/v1/dns/refresh", nil, 405, "POST"),
    ] as [(String, String, String?, Int, String)])
  func `wrong requests about DNS get a problem`(method: String, target: String, body: String?, status: Int, says: String)
    async throws
  {
    try await withAPI { api, _ in
      let answer = try await api.call(method, target, body)
      #expect(answer.status == status)
      #expect(answer.type == "application/problem+json")
      #expect(answer["detail"].contains(says), "\(answer.text)")
    }
  }

  @Test func `a refresh takes one name, all names, or nothing to say`() async throws {
    try await withAPI { api, _ in
      for body in ["", "{}", #"{"domain": "DB.example.com"}"#] {
        let answer = try await api.call("POST", "/api/v1/dns/refresh", body)
        #expect(answer.status == 200)
        #expect(answer.body["refreshing"] as? [String] == ["db.example.com"])
      }
    }
  }
}
