import Foundation
import Health
import Model
import NIOCore
import NIOHTTP1
import NIOPosix

/// The reading end of `GET /events/stream`: comes back after every break, and asks for what it has not seen.
struct EventFollower {
  let client: APIClient
  let target: String
  /// The sequence of the newest event that was seen.
  var last: UInt64

  /// Two heartbeats of the API, and some.
  private static let silence = TimeAmount.seconds(40)
  private static let pause = Duration.seconds(2)

  /// Shows the data of each event, until the process is ended or the API refuses.
  mutating func run(show: (Data) -> Void) async throws {
    var wasReached = false
    while true {
      do {
        try await readOnce(show: show)
        wasReached = true
      } catch let failure as CommandFailure {
        throw failure
      } catch {
        // The first time it is more likely a wrong address than a restart.
        guard wasReached else { throw CommandFailure(.unreachable, "no API at \(client.url) (\(error)); is leba running?") }
      }
      try await Task.sleep(for: Self.pause)
    }
  }

  private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

  private mutating func readOnce(show: (Data) -> Void) async throws {
    let connection = try await connect()
    var headers = HTTPHeaders([("Host", "localhost"), ("Accept", "text/event-stream"), ("Connection", "close")])
    headers.add(name: "Last-Event-ID", value: String(last))
    let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: headers)
    let client = client
    var parser = ServerSentEvents(last: last)
    // However it ends: what was shown is not asked for again.
    defer { last = parser.last }
    try await connection.executeThenClose { inbound, outbound in
      try await outbound.write(contentsOf: [.head(head), .end(nil)])
      var refusal: (status: Int, body: [UInt8])?
      for try await part in inbound {
        switch part {
        case .head(let head):
          if head.status != .ok { refusal = (Int(head.status.code), []) }
        case .body(let buffer):
          if refusal != nil {
            refusal?.body += buffer.readableBytesView
          } else {
            for data in try parser.take(buffer.readableBytesView) { show(data) }
          }
        case .end:
          // Too many streams, or a restart: that passes.
          if let refusal, refusal.status != 503 { throw client.failure(refusal.status, refusal.body) }
          return
        }
      }
    }
  }

  private func connect() async throws -> Connection {
    let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(10))
    let initialize: @Sendable (any Channel) -> EventLoopFuture<Connection> = { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(IdleStateHandler(readTimeout: Self.silence))
        try channel.pipeline.syncOperations.addHandler(CloseWhenIdle())
        try channel.pipeline.syncOperations.addHTTPClientHandlers()
        return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
      }
    }
    return switch client.address {
    case .ip(let address, let port):
      try await bootstrap.connect(host: address.description, port: Int(port), channelInitializer: initialize)
    case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path, channelInitializer: initialize)
    }
  }

  /// A server that froze, or a connection that is gone without a word.
  private final class CloseWhenIdle: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }
  }
}

/// The lines of a stream of server-sent events (WHATWG HTML, 9.2.6), as far as our API uses them.
struct ServerSentEvents {
  /// Of the last event that was complete.
  private(set) var last: UInt64

  private static let limit = 1 << 20
  private var line: [UInt8] = []
  private var data: [UInt8] = []
  private var id: UInt64?

  init(last: UInt64) { self.last = last }

  /// - Returns: the data of the events that these bytes complete.
  mutating func take(_ bytes: some Sequence<UInt8>) throws(CommandFailure) -> [Data] {
    var events: [Data] = []
    for byte in bytes {
      guard byte == UInt8(ascii: "\n") else {
        line.append(byte)
        if line.count > Self.limit { throw CommandFailure(.requestFailed, "the API sent a line without an end") }
        continue
      }
      if line.isEmpty {
        if !data.isEmpty { events.append(Data(data)) }
        last = id ?? last
        data = []
      } else if line.starts(with: Array("data: ".utf8)) {
        data = Array(line.dropFirst("data: ".utf8.count))
      } else if line.starts(with: Array("id: ".utf8)) {
        id = UInt64(String(decoding: line.dropFirst("id: ".utf8.count), as: UTF8.self))
      }
      line.removeAll(keepingCapacity: true)
    }
    return events
  }
}
