import Failover
import Foundation
import Model
import Synchronization
import Testing

@testable import ControlAPI

/// The audit history over the API: pages, and the stream.
@Suite struct EventTests {
  private func record(_ sequence: UInt64, group: String = "app-servers", kind: String = "failover") -> EventRecord {
    EventRecord(
      sequence: sequence, at: WallTime(milliseconds: Int64(sequence) * 1000), group: group, kind: kind, from: "a", to: "b",
      reason: "two\nlines", reasonLabel: "primary_down", evidence: ["a: down"], hash: "00ff")
  }

  private func sequences(_ answer: APIClient.Answer) -> [Int] { answer.list("events").compactMap { $0["sequence"] as? Int } }

  /// Waits until the stream listens: from then on nothing is missed.
  private func subscribed(_ plane: EnginePlane, _ count: Int) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while plane.eventFeed.subscriberCount != count {
      try #require(ContinuousClock.now < deadline, "there are \(plane.eventFeed.subscriberCount) listeners")
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @Test func `events are filtered and come in pages, newest first`() async throws {
    try await withControlAPI { api, plane, _ in
      let records = (1...10).map { record($0, group: $0 == 4 ? "other" : "app-servers", kind: $0 > 5 ? "manual" : "failover") }
      plane.script.withLock { $0.oldEvents = records }
      let first = try await api.call("GET", "/api/v1/events?limit=3")
      #expect(sequences(first) == [10, 9, 8])
      #expect(first.body["next_before"] as? Int == 8 && first.body["last_sequence"] as? Int == 10)
      #expect(sequences(try await api.call("GET", "/api/v1/events?limit=3&before=8")) == [7, 6, 5])
      let last = try await api.call("GET", "/api/v1/events?before=3")
      #expect(sequences(last) == [2, 1] && last.body["next_before"] == nil)
      #expect(sequences(try await api.call("GET", "/api/v1/events?group=other")) == [4])
      #expect(sequences(try await api.call("GET", "/api/v1/events?kind=manual,hold_began")) == [10, 9, 8, 7, 6])
      #expect(sequences(try await api.call("GET", "/api/v1/events?since=1970-01-01T00:00:09Z")) == [10, 9])
      #expect(sequences(try await api.call("GET", "/api/v1/events?since=1970-01-01T01:00:09.500%2B01:00")) == [10])
      #expect(sequences(try await api.call("GET", "/api/v1/events?since=2h")).isEmpty)
    }
  }

  @Test func `an event has all of its fields`() async throws {
    try await withControlAPI { api, plane, _ in
      plane.script.withLock { $0.oldEvents = [record(7)] }
      let event = try #require(try await api.call("GET", "/api/v1/events").list("events").first)
      #expect(
        Set(event.keys) == [
          "sequence", "at", "group", "kind", "from", "to", "reason", "reason_label", "evidence", "hash",
        ])
      #expect(event["at"] as? String == "1970-01-01T00:00:07.000Z" && event["hash"] as? String == "00ff")
    }
  }

  @Test func `the stream goes on from the last event that was seen, without a gap and without a repetition`() async throws {
    try await withControlAPI { api, plane, server in
      // More than a page.
      plane.script.withLock { $0.oldEvents = (1...450).map { record($0) } }
      let stream = try api.listen(lastEventID: "2")
      try await subscribed(plane, 1)
      // In the history, too, where it was recorded while the history was read.
      plane.eventFeed.publish(record(450))
      plane.eventFeed.publish(record(451))
      plane.eventFeed.publish(record(452, group: "other"))
      let text = try await stream.read(upTo: "id: 452")
      let ids = text.matches(of: /id: (\d+)\n/).compactMap { Int($0.1) }
      #expect(ids == Array(3...452))
      #expect(text.contains(#"two\nlines"#))
    }
  }

  @Test func `a client that knows more than the history gets all of it`() async throws {
    try await withControlAPI { api, plane, _ in
      plane.script.withLock { $0.oldEvents = (1...3).map { record($0) } }
      let text = try await api.listen(lastEventID: "1000").read(upTo: "id: 3")
      #expect(text.contains("id: 1\n") && text.contains("id: 2\n"))
    }
  }

  @Test func `without a last event the stream begins now, and shows what was asked for`() async throws {
    try await withControlAPI { api, plane, server in
      plane.script.withLock { $0.oldEvents = [record(1)] }
      let stream = try api.listen("/api/v1/events/stream?group=other&kind=manual")
      try await subscribed(plane, 1)
      plane.eventFeed.publish(record(2))
      plane.eventFeed.publish(record(3, group: "other"))
      plane.eventFeed.publish(record(4, group: "other", kind: "manual"))
      let text = try await stream.read(upTo: "id: 4")
      #expect(text.contains("text/event-stream"))
      #expect(!text.contains("id: 1") && !text.contains("id: 2") && !text.contains("id: 3"))
    }
  }

  @Test func `a silent stream beats, and ends with the server`() async throws {
    var pace = StreamPace()
    pace.heartbeat = .milliseconds(20)
    try await withControlAPI(pace: pace) { api, plane, server in
      let stream = try api.listen()
      _ = try await stream.read(upTo: ": heartbeat")
      await server.stop()
      #expect(try await stream.read(upTo: nil).contains(": the end"))
    }
  }

  @Test func `a client that leaves makes room`() async throws {
    var pace = StreamPace()
    // Its leaving is seen, not only a heartbeat that cannot be written.
    pace.heartbeat = .seconds(3600)
    try await withControlAPI(pace: pace) { api, plane, _ in
      do {
        let stream = try api.listen()
        try await subscribed(plane, 1)
        _ = try await stream.read(upTo: "retry:")
      }
      try await subscribed(plane, 0)
    }
  }

  @Test func `there are so many streams and no more`() async throws {
    try await withControlAPI { api, plane, _ in
      let subscriptions = (0..<EventFeed.maximumSubscribers).compactMap { _ in plane.eventFeed.subscribe() }
      #expect(subscriptions.count == EventFeed.maximumSubscribers)
      let refused = try await api.call("GET", "/api/v1/events/stream")
      #expect(refused.status == 503 && refused.type == "application/problem+json")
      withExtendedLifetime(subscriptions) {}
    }
  }

  @Test func `a listener that does not keep up is let go, and costs no more than its backlog`() async {
    let feed = EventFeed()
    let overflows = Atomic(0)
    let slow = feed.subscribe { overflows.add(1, ordering: .relaxed) }
    for sequence in 1...UInt64(EventFeed.backlog + 10) { feed.publish(record(sequence)) }
    #expect(overflows.load(ordering: .relaxed) == 1 && slow?.hasOverflowed == true)
    #expect(feed.subscriberCount == 0)
    var count = 0
    if let items = slow?.items { for await _ in items { count += 1 } }
    #expect(count == EventFeed.backlog)
  }

  @Test func `a client that does not read is cut off`() async throws {
    var pace = StreamPace()
    pace.lastChance = .milliseconds(20)
    try await withControlAPI(pace: pace) { api, plane, _ in
      let stream = try api.listen()
      try await subscribed(plane, 1)
      var sequence: UInt64 = 0
      let deadline = ContinuousClock.now + .seconds(60)
      // Until the buffers of the sockets are full, and the backlog.
      while plane.eventFeed.subscriberCount > 0 {
        try #require(ContinuousClock.now < deadline)
        for _ in 0..<200 {
          sequence += 1
          plane.eventFeed.publish(record(sequence))
        }
        await Task.yield()
      }
      while !stream.isCutOff {
        try #require(ContinuousClock.now < deadline)
        try await Task.sleep(for: .milliseconds(5))
      }
    }
  }
}
