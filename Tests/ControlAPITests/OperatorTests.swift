import ControlAPI
import Failover
import Foundation
import Model
import Synchronization
import Testing

/// What operators ask and order over the API: the shape of the answers, and what is refused.
@Suite struct OperatorTests {
  private func withAPI(_ body: (APIClient, EnginePlane) async throws -> Void) async throws {
    try await withControlAPI { api, plane, _ in try await body(api, plane) }
  }

  @Test func `explain tells the rule, the inputs with their ages, every fact, and what would change it`() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/groups/app-servers/explain")
      #expect(answer.status == 200)
      #expect(answer["rule"] == "primary_serves" && answer["primary_key"] == "backend1")
      #expect(answer.list("inputs").first?["age_seconds"] as? Double == 3)
      #expect(answer.list("inputs").last?["age_seconds"] is NSNull || answer.list("inputs").last?["age_seconds"] == nil)
      #expect(answer.body["would_change"] as? [String] == ["backend1 fails 2 probes in a row"])
      let backend = try #require(answer.list("backends").first)
      let facts = try #require(backend["facts"] as? [[String: Any]])
      #expect(Set(facts.compactMap { $0["name"] as? String }).isSuperset(of: ["administrative", "discovered", "health", "score"]))
      #expect(facts.first { $0["name"] as? String == "health" }?["age_seconds"] is Double)
    }
  }

  @Test func `a group tells about override, failback and pauses`() async throws {
    try await withAPI { api, _ in
      _ = try await api.call("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "backend2", "pin": true}"#)
      let answer = try await api.call("GET", "/api/v1/groups/app-servers")
      let override = try #require(answer.body["override"] as? [String: Any])
      #expect(override["backend_id"] as? String == "backend2" && override["pin"] as? Bool == true)
      let keys: Set = [
        "failback", "minimum_interval", "next_allowed_change", "recent_failovers", "suspension", "shadow", "shadow_primary",
      ]
      #expect(keys.isSubset(of: Set(answer.body.keys)))
      #expect(answer["minimum_interval"] == "10s")
      let backend = try #require(answer.list("backends").first)
      #expect(
        Set(["share", "role_age_seconds", "lag_seconds", "lag_bytes", "timeline", "designated"]).isSubset(of: Set(backend.keys)))
    }
  }

  @Test func `an override is lifted once`() async throws {
    try await withAPI { api, plane in
      plane.script.withLock { $0.overrides = ["app-servers"] }
      let path = "/api/v1/groups/app-servers/override"
      #expect(try await api.call("DELETE", path + "?dry_run=true").status == 200)
      let lifted = try await api.call("DELETE", path)
      #expect(lifted.status == 200 && lifted["name"] == "app-servers")
      #expect(try await api.call("DELETE", path).status == 404)
    }
  }

  @Test func `a member comes and goes, one that is described stays`() async throws {
    try await withAPI { api, _ in
      let path = "/api/v1/groups/app-servers/backends"
      let id = "db.example.com:[::1]:5432"
      let body = #"{"backend_id": "\#(id)", "is_primary": false}"#
      #expect(try await api.call("POST", path + "?dry_run=true", body).status == 200)
      #expect(try await api.call("POST", path, body).status == 201)
      #expect(try await api.call("POST", path, #"{"backend_id": "backend1"}"#).status == 409)
      #expect(try await api.call("DELETE", path + "/backend1").status == 409)
      let deleted = try await api.call("DELETE", path + "/db.example.com%3A%5B%3A%3A1%5D%3A5432")
      #expect(deleted.status == 200 && deleted["deleted"] == id)
    }
  }

  @Test func `all backends are listed once, used or not, and those of the API come and go`() async throws {
    try await withAPI { api, _ in
      let list = try await api.call("GET", "/api/v1/backends")
      #expect(list.list("backends").map { $0["id"] as? String } == ["backend1", "backend2", "unused"])
      #expect(list.list("backends").map { $0["origin"] as? String } == ["found", "found", "file"])
      let body = #"{"id": "new", "address": "127.0.0.7", "port": 80, "protocol": "http"}"#
      let made = try await api.call("POST", "/api/v1/backends", body)
      #expect(made.status == 201 && made["origin"] == "api")
      #expect(try await api.call("POST", "/api/v1/backends", body).status == 409)
      #expect(try await api.call("DELETE", "/api/v1/backends/unused").status == 409)
      #expect(try await api.call("DELETE", "/api/v1/backends/new")["deleted"] == "new")
    }
  }

  @Test func `the health of a backend is told for each of its groups`() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/backends/backend1/health")
      let group = try #require(answer.list("groups").first)
      #expect(group["group"] as? String == "app-servers" && group["health"] as? String == "up" && group["primary"] as? Bool == true)
      let failure = try #require(group["last_failure"] as? [String: Any])
      #expect(failure["kind"] as? String == "refused" && failure["detail"] as? String == "connection refused")
      #expect(try await api.call("GET", "/api/v1/backends/unused/health").list("groups").isEmpty)
      #expect(try await api.call("GET", "/api/v1/backends/nobody/health").status == 404)
    }
  }

  @Test func `a backend is drained and put back, a dry run leaves it`() async throws {
    try await withAPI { api, plane in
      #expect(try await api.call("POST", "/api/v1/backends/backend1/drain?dry_run=true", "").status == 200)
      #expect(plane.script.withLock { $0.drained.isEmpty })
      let drained = try await api.call("POST", "/api/v1/backends/backend1/drain", "")
      #expect(drained.status == 200 && drained["id"] == "backend1" && drained.list("groups").count == 1)
      #expect(plane.script.withLock { $0.drained } == ["backend1"])
      #expect(try await api.call("POST", "/api/v1/backends/backend1/undrain", "{}").status == 200)
      #expect(plane.script.withLock { $0.drained.isEmpty })
    }
  }

  @Test func `statistics add up what is known of a backend`() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/stats/backends")
      let backend = try #require(answer.list("backends").first)
      #expect(backend["probes_passed"] as? Int == 5 && backend["probes_failed"] as? Int == 2)
      #expect(backend["bytes_sent"] as? Int == 200 && backend["active_connections"] as? Int == 0)
    }
  }

  @Test func `windows show where they stand, come and go`() async throws {
    try await withAPI { api, _ in
      let window = try #require(try await api.call("GET", "/api/v1/maintenance").list("windows").first)
      #expect(window["state"] as? String == "cancelled" && window["reason"] as? String == "nobody else could have served")
      #expect(window["repeat"] as? String == "weekly" && window["origin"] as? String == "file")
      #expect(window["next_start"] as? String == "2027-01-22T08:00:00.000Z" && window["duration"] as? String == "1h")
      let body = #"{"id": "now", "backend": "backend2", "start": "2026-12-01T02:00:00+01:00", "duration": "1h", "pre_drain": "2m"}"#
      let made = try await api.call("POST", "/api/v1/maintenance", body)
      #expect(made.status == 201 && made["start"] == "2026-12-01T01:00:00.000Z" && made["pre_drain"] == "2m")
      #expect(try await api.call("POST", "/api/v1/maintenance", body).status == 409)
      #expect(try await api.call("DELETE", "/api/v1/maintenance/weekly").status == 409)
      #expect(try await api.call("DELETE", "/api/v1/maintenance/now")["deleted"] == "now")
    }
  }

  @Test func `a reload tells what changed, and a bad file what is wrong with it`() async throws {
    try await withAPI { api, plane in
      let answer = try await api.call("POST", "/api/v1/config/reload", "")
      #expect(answer.status == 200)
      #expect(answer.list("changes").first?["name"] as? String == "app-servers")
      #expect(answer.body["needs_restart"] as? [String] == ["api.address"])
      plane.script.withLock { $0.refusal = ["f:3:1: error: unknown key; remove it", "f:4:1: error: too"] }
      let refused = try await api.call("POST", "/api/v1/config/reload", "")
      #expect(refused.status == 422 && refused.type == "application/problem+json")
      #expect(refused.body["errors"] as? [String] == ["f:3:1: error: unknown key; remove it", "f:4:1: error: too"])
      #expect(refused["detail"].contains("f:3:1"))
    }
  }

  @Test func `the configuration is shown without its secrets`() async throws {
    try await withAPI { api, _ in
      let answer = try await api.call("GET", "/api/v1/config")
      #expect(answer["zone"] == "eu-1a")
      let group = try #require(answer.list("failover_groups").first)
      let check = (group["backends"] as? [[String: Any]])?.first?["health_check"] as? [String: Any]
      let settings = check?["settings"] as? [String: Any]
      #expect(settings?["depth"] as? String == "role" && settings?["password"] as? String == "<secret>")
      #expect(!answer.text.contains("hunter2"))
    }
  }

  @Test func `the status names the configuration file and what is wrong with it`() async throws {
    try await withAPI { api, _ in
      let configuration = try #require(try await api.call("GET", "/api/v1/status").body["configuration"] as? [String: Any])
      #expect(configuration["problem"] as? String == "line 3 is wrong")
      #expect(configuration["loaded_at"] as? String == "1970-01-01T00:00:00.000Z")
    }
  }

  /// Each wrong request, the status of the contract, and a problem that says what is wrong.
  @Test(
    arguments: [
      ("GET", "/api/v1/groups/nowhere/explain", nil, 404, "nowhere"),
      ("POST", "/api/v1/groups/app-servers/explain", "{}", 405, "GET"),
      ("DELETE", "/api/v1/groups/app-servers/override", nil, 404, "lift"),
      ("DELETE", "/api/v1/groups/app-servers/override?dry_run=yes", nil, 400, "dry_run"),
      ("POST", "/api/v1/groups/nowhere/backends", #"{"backend_id": "a"}"#, 404, "nowhere"),
      ("POST", "/api/v1/groups/app-servers/backends", #"{"is_primary": true}"#, 422, "backend_id"),
      ("DELETE", "/api/v1/groups/app-servers/backends/a%2Fb%20c", nil, 404, "a/b c"),
      ("DELETE", "/api/v1/groups/app-servers/backends/%ff", nil, 400, "UTF-8"),
      ("POST", "/api/v1/backends", #"{"id": "a", "address": "127.0.0.1", "port": 80, "wieght": 1}"#, 422, "wieght"),
      ("POST", "/api/v1/backends", #"{"id": "a", "address": "127.0.0.1"}"#, 422, "port"),
      ("POST", "/api/v1/backends", #"{"id": "a", "address": "127.0.0.1", "port": "80"}"#, 422, "'port' is not a whole number"),
      ("POST", "/api/v1/backends", #"{"id": "a", "address": "127.0.0.1", "port": 80.5}"#, 422, "cannot be used"),
      ("POST", "/api/v1/backends", #"{"id": "a", "address": "127.0.0.1", "port": 1e99}"#, 422, "cannot be used"),
      ("POST", "/api/v1/backends", #"{"id": 1, "address": "127.0.0.1", "port": 80}"#, 422, "'id' is not a string"),
      ("POST", "/api/v1/groups", #"{"name": "a", "mode": "normal", "backends": "b"}"#, 422, "'backends' is not a list"),
      ("POST", "/api/v1/groups", "7", 422, "the body is not an object"),
      ("POST", "/api/v1/groups/app-servers/primary", #"{"backend_id": "a", "pin": 1}"#, 422, "'pin' is not true or false"),
      ("POST", "/api/v1/groups/app-servers/primary?dryrun=true", #"{"backend_id": "backend2"}"#, 400, "'dryrun'"),
      ("DELETE", "/api/v1/backends/nobody", nil, 404, "nobody"),
      ("POST", "/api/v1/backends/nobody/drain", "", 404, "nobody"),
      ("POST", "/api/v1/backends/db.example.com:%5B::1%5D:5432/drain", "", 404, "db.example.com:[::1]:5432"),
      ("POST", "/api/v1/backends/backend1/drain", #"{"force": true}"#, 422, "force"),
      ("GET", "/api/v1/backends/backend1/drain", nil, 405, "POST"),
      ("POST", "/api/v1/maintenance", #"{"backend": "backend1", "start": "soon", "duration": "1h"}"#, 422, "soon"),
      ("POST", "/api/v1/maintenance", #"{"backend": "backend1"}"#, 422, "start"),
      ("DELETE", "/api/v1/maintenance/none", nil, 404, "none"),
      ("GET", "/api/v1/events?since=yesterday", nil, 400, "since"),
      ("GET", "/api/v1/events?kind=failover,nonsense", nil, 400, "kind"),
      ("GET", "/api/v1/events?before=x", nil, 400, "before"),
      ("GET", "/api/v1/events?grop=x", nil, 400, "grop"),
      ("GET", "/api/v1/events/stream?limit=1", nil, 400, "limit"),
      ("POST", "/api/v1/config/reload", #"{"file": "x"}"#, 422, "file"),
    ] as [(String, String, String?, Int, String)])
  func `wrong requests get a problem`(method: String, target: String, body: String?, status: Int, says: String) async throws {
    try await withAPI { api, _ in
      let answer = try await api.call(method, target, body)
      #expect(answer.status == status)
      #expect(answer.type == "application/problem+json")
      #expect(answer["detail"].contains(says), "\(answer.text)")
    }
  }
}
