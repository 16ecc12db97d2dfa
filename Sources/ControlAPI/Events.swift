import Failover
import Hummingbird
import LebaConfiguration
import Model

/// `/api/v1/events`: what was decided and why, newest first.
struct Events {
  let plane: any ControlPlane
  let pace: StreamPace

  func register(on router: Router<Context>) {
    router.resource("/api/v1/events", [.get: list])
    router.resource("/api/v1/events/stream", [.get: EventStream(plane: plane, pace: pace).stream])
  }

  @Sendable private func list(_ request: Request, _ context: Context) async throws -> Response {
    let query = try EventQuery(request, parameters: ["group", "kind", "since", "before", "limit"])
    return try JSON.response(EventList(await plane.events(query)))
  }
}

private struct EventList: Encodable {
  let events: [EventRecord]
  let count: Int
  let lastSequence: UInt64
  /// To be given as `before` for the page after this one.
  let nextBefore: UInt64?

  init(_ page: EventPage) {
    events = page.records
    count = page.records.count
    lastSequence = page.lastSequence
    nextBefore = page.hasMore ? page.records.last?.sequence : nil
  }
}

extension EventQuery {
  /// - Parameter parameters: those that make sense here. Another one is a typing error, and would find too much.
  init(_ request: Request, parameters: Set<String>) throws {
    self.init()
    try request.allow(parameters: parameters)
    for (name, value) in request.uri.queryParameters { try set(String(name), String(value)) }
  }

  private mutating func set(_ name: String, _ value: String) throws {
    func wrong(_ wanted: String) -> Problem {
      Problem(status: .badRequest, detail: "\(name) is \(wanted), not '\(value.prefix(40))'")
    }
    switch name {
    case "group": group = GroupName(value)
    case "kind":
      for text in value.split(separator: ",") {
        guard let kind = Decision.Kind(rawValue: String(text)) else {
          throw wrong("one or more of \(Decision.Kind.allCases.map(\.rawValue).joined(separator: ","))")
        }
        kinds.insert(kind)
      }
    case "since":
      guard let time = WallTime(value, now: .current) else { throw wrong("a time like 2026-12-01T02:00:00Z or a duration like 2h") }
      since = time
    case "before":
      guard let sequence = UInt64(value) else { throw wrong("the sequence of an event") }
      before = sequence
    case "limit":
      guard let number = Int(value), (1...Self.maximumLimit).contains(number) else {
        throw wrong("a number from 1 to \(Self.maximumLimit)")
      }
      limit = number
    default: break
    }
  }
}
