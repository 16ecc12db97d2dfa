import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// The sidecar is killed and started again in the middle of what happens to the primary.
  @Suite(.serialized) struct RestartUnderFaultTests {
    @Test func `killed together with the primary, it fails over in its next life`() async throws {
      let pair = try await WebPair()
      let load = Load.timedRequests(to: pair.listener)
      try await load.more(50)
      // It must not see the end of the primary.
      pair.leba.signal(SIGSTOP)
      try await pair.one.kill()
      let second = try await pair.leba.restarted()
      let restarted = ContinuousClock.now
      try await second.untilPrimary(of: "web", is: "two")
      try await load.more(100)
      try await pair.one.start()
      try await second.untilEligible(in: "web", ["one", "two"])
      try await load.more(100)
      let requests = try await load.stop()
      #expect(requests.successions == ["one", "two"])
      #expect(requests.failures(since: restarted) == [])
      // A failover like any other, although the life that decided it never saw the old primary work.
      let change = try #require(try await second.changes(of: "web").first)
      #expect(change["kind"].string == "failover" && change["from"].string == "one", "\(change)")
      #expect(change["reason_label"].string == "primary_down" && change["evidence"].array.count == 2, "\(change)")
      let metrics = try await second.metrics()
      #expect(metrics.value("leba_failover_events_total", ["group": "web", "reason": "primary_down"]) == 1)
      #expect(metrics.value("leba_failover_phase_seconds_count", ["group": "web", "phase": "decide"]) == 1)
      #expect(metrics.value("leba_failover_phase_seconds_count", ["group": "web", "phase": "detect"]) == 0)
      try await EndToEnd.expectHistory(second, of: "web", changes: ["one > two"])
    }

    @Test func `killed while the primary is frozen, it fails over in its next life, and does not go back`() async throws {
      let pair = try await WebPair()
      let load = Load.timedRequests(to: pair.listener)
      try await load.more(50)
      pair.leba.signal(SIGSTOP)
      pair.one.freeze()
      let second = try await pair.leba.restarted()
      let restarted = ContinuousClock.now
      try await second.untilPrimary(of: "web", is: "two")
      try await load.more(100)
      // Killed once more, now between the failover and the recovery.
      try await second.untilPrimaryIsWritten(of: "web", "two")
      let third = try await second.restarted()
      pair.one.thaw()
      try await third.untilEligible(in: "web", ["one", "two"])
      #expect(try await third.group("web").primary == "two")
      try await load.more(100)
      let requests = try await load.stop()
      #expect(requests.successions == ["one", "two"])
      // Nothing but what the second kill broke, and what came while nobody listened.
      #expect(requests.failures(since: restarted).allSatisfy { ["refused", "reset", "ended"].contains($0) })
      try await EndToEnd.expectHistory(third, of: "web", changes: ["one > two"])
    }

    @Test func `the failovers of an earlier life count for maximum_failovers`() async throws {
      let pair = try await WebPair(group: "minimum_interval: 0s\nmaximum_failovers: {count: 1, within: 1h}")
      try await pair.one.kill()
      try await pair.leba.untilPrimaryIsWritten(of: "web", "two")
      try await pair.one.start()
      try await pair.leba.untilEligible(in: "web", ["one", "two"])

      let second = try await pair.leba.restarted()
      try await second.untilEligible(in: "web", ["one", "two"])
      #expect(try await second.group("web").primary == "two")
      try await pair.two.kill()
      try await eventually("it holds") {
        try await second.get("/api/v1/groups/web/explain").json["rule"].string == "maximum_failovers_reached"
      }
      #expect(try await second.group("web").json["state"].string == "holding")
      // A person may, always.
      #expect(try await second.post("/api/v1/groups/web/primary", #"{"backend_id": "one"}"#).status == 200)
      #expect(try await pair.server() == "one")
      try await EndToEnd.expectHistory(second, of: "web", changes: ["one > two", "two > one"])
    }

    @Test func `killed again and again while the primary flaps, it changes once and remembers`() async throws {
      let pair = try await WebPair(
        group: "minimum_interval: 1s\nhealth_check: {path: /health, interval: 50ms, timeout: 50ms}")
      let load = Load.timedRequests(to: pair.listener)
      try await load.more(50)
      var leba = pair.leba
      try await EndToEnd.withFlapping(pair.one, .freezes, period: .milliseconds(700)) {
        for _ in 0..<3 {
          leba = try await leba.restarted()
          try await load.more(30)
        }
        try await leba.untilPrimary(of: "web", is: "two")
        try await leba.untilPrimaryIsWritten(of: "web", "two")
        leba = try await leba.restarted()
      }
      try await leba.untilPrimary(of: "web", is: "two")
      try await leba.untilEligible(in: "web", ["one", "two"])
      try await load.more(50)
      #expect(try await load.stop().successions == ["one", "two"])
      try await EndToEnd.expectHistory(leba, of: "web", changes: ["one > two"])
    }

    @Test func `killed while the old primary comes back, it stays with the new one`() async throws {
      let pair = try await WebPair()
      let load = Load.timedRequests(to: pair.listener)
      try await load.more(50)
      try await pair.one.kill()
      try await pair.leba.untilPrimary(of: "web", is: "two")
      try await pair.leba.untilPrimaryIsWritten(of: "web", "two")
      pair.leba.signal(SIGSTOP)
      try await pair.one.start()
      let second = try await pair.leba.restarted()
      let restarted = ContinuousClock.now
      try await second.untilEligible(in: "web", ["one", "two"])
      try await load.more(100)
      #expect(try await second.group("web").primary == "two")
      let requests = try await load.stop()
      #expect(requests.successions == ["one", "two"])
      #expect(requests.failures(since: restarted) == [])
      try await EndToEnd.expectHistory(second, of: "web", changes: ["one > two"])
    }

    @Test func `a window goes on in the next life: its drain, its maintenance and its end`() async throws {
      let pair = try await WebPair()
      let load = Load.timedRequests(to: pair.listener)
      try await load.more(50)
      try await plan(
        in: pair.leba, #""id": "drain", "start": "\#(rfc3339(secondsFromNow: 3600))", "pre_drain": "2h", "duration": "1h""#)
      try await untilAdministrative("draining", pair.leba)
      try await pair.leba.untilPrimary(of: "web", is: "two")
      try await pair.leba.untilPrimaryIsWritten(of: "web", "two")
      var leba = try await pair.leba.restarted()
      try await untilAdministrative("draining", leba)
      #expect(try await leba.delete("/api/v1/maintenance/drain").status == 200)
      try await untilAdministrative("in_service", leba)

      try await plan(in: leba, #""id": "work", "start": "\#(rfc3339(secondsFromNow: -5))", "duration": "1h""#)
      try await untilAdministrative("maintenance", leba)
      try await eventually("the maintenance is on the disk") {
        try await leba.events(of: "web&kind=maintenance_began").first?["hash"].string != nil
      }
      leba = try await leba.restarted()
      try await untilAdministrative("maintenance", leba)
      #expect(try await pair.server() == "two")
      #expect(try await leba.delete("/api/v1/maintenance/work").status == 200)
      try await untilAdministrative("in_service", leba)

      // This one ends while nobody is there to see it.
      let end = ContinuousClock.now + .seconds(3)
      try await plan(in: leba, #""id": "short", "start": "\#(rfc3339(secondsFromNow: -2))", "duration": "5s""#)
      try await untilAdministrative("maintenance", leba)
      leba.signal(SIGKILL)
      try await leba.ended()
      try await eventually("the window is over") { ContinuousClock.now > end }
      leba = try await leba.restarted()
      try await leba.untilEligible(in: "web", ["one", "two"])
      try await untilAdministrative("in_service", leba)

      try await load.more(50)
      #expect(try await load.stop().successions == ["one", "two"])
      try await EndToEnd.expectHistory(leba, of: "web", changes: ["one > two"])
    }

    private func plan(in leba: LebaProcess, _ window: String) async throws {
      let answer = try await leba.post("/api/v1/maintenance", "{\"backend\": \"one\", \(window)}")
      #expect(answer.status == 201, "\(answer)")
    }

    private func untilAdministrative(_ state: String, _ leba: LebaProcess) async throws {
      try await eventually("one is \(state)") {
        try await leba.group("web").backend("one")["administrative"].string == state
      }
    }
  }

  /// Each change of primary has exactly one record, whoever was elected in a later life than the first was the primary before, and the
  /// chain of hashes is whole.
  ///
  /// - Parameter changes: `FROM > TO`, oldest first.
  static func expectHistory(_ leba: LebaProcess, of group: String, changes: [String]) async throws {
    // The history is verified at the start of a life.
    let reader = try await leba.restarted()
    let records = try await reader.primaryRecords(of: group)
    var leader: String?
    var seen: [String] = []
    for record in records {
      let (kind, to) = (record["kind"].string, record["to"].string)
      if kind == "elected" {
        #expect(record["from"].string == nil && (leader == nil || to == leader), "\(record)")
      } else {
        #expect(record["from"].string == leader && to != leader, "\(record)")
      }
      if let leader, let to, to != leader { seen.append("\(leader) > \(to)") }
      leader = to
    }
    #expect(seen == changes, "\(records)")
    #expect(try await reader.group(group).primary == leader)
    #expect(try await reader.group(group).failoverCount == records.count { $0["kind"].string != "elected" })
    try await eventually("the history is verified") {
      try await reader.get("/api/v1/status").json["journal"]["records"].int ?? 0 >= records.count
    }
    #expect(try await reader.get("/api/v1/status").json["journal"]["broken_at"] == .null)
  }
}

extension LebaProcess {
  /// The records that say who the primary is, oldest first.
  func primaryRecords(of group: String) async throws -> [JSON] {
    let kinds = ["elected", "failover", "failback", "manual"].map { "&kind=\($0)" }.joined()
    return try await events(of: "\(group)\(kinds)&limit=1000").reversed()
  }

  /// The records of changes of primary, oldest first.
  func changes(of group: String) async throws -> [JSON] {
    try await primaryRecords(of: group).filter { $0["kind"].string != "elected" }
  }

  /// Waits until it survives a kill that `backend` is the primary.
  func untilPrimaryIsWritten(of group: String, _ backend: String) async throws {
    try await eventually("that \(backend) is the primary is on the disk") {
      guard let last = try await primaryRecords(of: group).last else { return false }
      return last["to"].string == backend && last["hash"].string != nil
    }
  }
}
