import Foundation
import HTTPTypes
import Hummingbird
import Model
import NIOCore
import ServiceLifecycle

/// The times of event streams; other ones than these are for tests.
package struct StreamPace: Sendable {
  /// A silent stream says that it is still there, so that both ends learn of a connection that is gone.
  package var heartbeat = Duration.seconds(15)
  /// For a client that does not keep up, to read what was kept for it.
  package var lastChance = Duration.seconds(5)

  package init() {}
}

/// `/api/v1/events/stream`: server-sent events (WHATWG HTML, 9.2). First what was recorded after `Last-Event-ID`, then what is recorded
/// from now on. Each event's id is its sequence, so that a client that comes back misses nothing.
struct EventStream {
  let plane: any ControlPlane
  let pace: StreamPace

  private static let page = 200

  @Sendable func stream(_ request: Request, _ context: Context) async throws -> Response {
    let query = try EventQuery(request, parameters: ["group", "kind"])
    let after = try lastEventID(request)
    let headers: HTTPFields = [.contentType: "text/event-stream", .cacheControl: "no-store"]
    if request.method == .head { return Response(status: .ok, headers: headers) }
    let channel = context.channel
    let lastChance = TimeAmount(pace.lastChance)
    let subscription = plane.eventFeed.subscribe {
      // Cut off if it does not read even that: it must not sit on a connection for ever.
      channel.eventLoop.scheduleTask(in: lastChance) { channel.close(promise: nil) }
    }
    guard let subscription else {
      throw Problem(
        status: .serviceUnavailable, detail: "there are \(EventFeed.maximumSubscribers) event streams already",
        headers: [.retryAfter: "5"])
    }
    let body = ResponseBody { writer in
      let beat = Task { [pace] in
        while true {
          try await Task.sleep(for: pace.heartbeat)
          subscription.beat()
        }
      }
      defer { beat.cancel() }
      try await withGracefulShutdownHandler {
        try await request.body.consumeWithInboundCloseHandler { _ in
          try await write(query, after: after, then: subscription, to: &writer)
        } onInboundClosed: {
          subscription.end()
        }
      } onGracefulShutdown: {
        subscription.end()
      }
      try await writer.finish(nil)
    }
    return Response(status: .ok, headers: headers, body: body)
  }

  @concurrent private func write(
    _ query: EventQuery, after: UInt64?, then subscription: EventFeed.Subscription, to writer: inout any ResponseBodyWriter
  ) async throws {
    // At once, so that the client knows that it listens.
    try await writer.write(ByteBuffer(string: "retry: 2000\n\n"))
    var last = after ?? 0
    if after != nil {
      var history = query
      history.order = .oldestFirst
      history.limit = Self.page
      var hasMore = true
      while hasMore, !subscription.hasOverflowed {
        history.after = last
        let page = await plane.events(history)
        // The numbers began anew: the journal is another one, or there is none and leba was restarted. All of it is news.
        if page.lastSequence < last {
          last = 0
          continue
        }
        for record in page.records { try await writer.write(try message(record)) }
        last = page.records.last?.sequence ?? last
        hasMore = page.hasMore && !page.records.isEmpty
      }
    }
    for await item in subscription.items {
      switch item {
      case .heartbeat: try await writer.write(ByteBuffer(string: ": heartbeat\n\n"))
      // It may be in the history too.
      case .record(let record) where record.sequence > last && query.matches(record):
        try await writer.write(try message(record))
      case .record: break
      }
    }
    let farewell = subscription.hasOverflowed ? "too slow, come back with Last-Event-ID" : "the end"
    try await writer.write(ByteBuffer(string: ": \(farewell)\n\n"))
  }

  private func message(_ record: EventRecord) throws -> ByteBuffer {
    var buffer = ByteBuffer(string: "id: \(record.sequence)\ndata: ")
    // The encoder escapes line ends: one line, whatever a peer managed to put into a reason.
    buffer.writeBytes(try JSON.encoder.encode(record))
    buffer.writeString("\n\n")
    return buffer
  }

  private func lastEventID(_ request: Request) throws -> UInt64? {
    guard let text = request.headers[.lastEventID], !text.isEmpty else { return nil }
    guard let sequence = UInt64(text) else {
      throw Problem(status: .badRequest, detail: "Last-Event-ID is the sequence of an event, not '\(text.prefix(40))'")
    }
    return sequence
  }
}

extension HTTPField.Name {
  fileprivate static var lastEventID: HTTPField.Name { HTTPField.Name("Last-Event-ID")! }
}
