import Failover
import Hummingbird
import Model

/// `/api/v1/events`: what was decided and why, newest first. Kept in memory, the last thousand.
struct Events {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/events", [.get: list])
  }

  @Sendable private func list(_ request: Request, _ context: Context) async throws -> Response {
    let group = request.uri.queryParameters["group"].map { GroupName(String($0)) }
    let limit = try limit(request)
    let view = await plane.view()
    let events = view.history.newestFirst.lazy.filter { group == nil || $0.group == group }.prefix(limit)
    return try JSON.response(EventList(events: events.map { EventDetail($0, now: view.now) }))
  }

  private func limit(_ request: Request) throws -> Int {
    guard let text = request.uri.queryParameters["limit"] else { return 100 }
    guard let limit = Int(text), (1...1000).contains(limit) else {
      throw Problem(status: .badRequest, detail: "limit is a number from 1 to 1000, not '\(text.prefix(20))'")
    }
    return limit
  }
}

private struct EventList: Encodable {
  let events: [EventDetail]
  var count: Int { events.count }

  enum CodingKeys: String, CodingKey { case events, count }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(events, forKey: .events)
    try values.encode(count, forKey: .count)
  }
}

private struct EventDetail: Encodable {
  let id: UInt64
  let at: String
  let group: String
  let kind: String
  let from: String?
  let to: String?
  let reason: String
  let reasonLabel: String
  let evidence: [String]

  init(_ decision: Decision, now: Instant) {
    id = decision.sequence
    at = decision.at.wallClock(now: now)
    group = decision.group.rawValue
    kind = decision.kind.rawValue
    from = decision.from?.rawValue
    to = decision.to?.rawValue
    reason = decision.reason.description
    reasonLabel = decision.reason.label
    evidence = decision.evidence
  }
}
