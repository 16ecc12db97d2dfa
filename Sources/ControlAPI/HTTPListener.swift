import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import Model
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Serves HTTP/1.1 on a listening socket. Hummingbird's own server only binds sockets itself, and ours may come from another process.
struct HTTPListener<Responder: HTTPResponder>: Service where Responder.Context == Context {
  enum Place: Sendable {
    /// The descriptor is ours to close.
    case open(CInt)
    case address(Model.SocketAddress)
  }

  private typealias ServerChannel = NIOAsyncChannel<HTTP1Channel.Value, Never>

  private let place: Place
  private let channel: HTTP1Channel
  private let connectionLimit: Int
  private let logger: Logger
  private let onListening: @Sendable () -> Void

  init(
    place: Place, responder: Responder, channel configuration: HTTP1Channel.Configuration, connectionLimit: Int, logger: Logger,
    onListening: @escaping @Sendable () -> Void
  ) {
    self.place = place
    self.connectionLimit = connectionLimit
    self.logger = logger
    self.onListening = onListening
    channel = HTTP1Channel(
      responder: { request, writer, channel in
        let context = Context(source: ApplicationRequestContextSource(channel: channel, logger: logger))
        var answer = try await responder.respond(to: request, context: context)
        answer.headers[.date] = Self.date()
        answer.headers[.server] = "leba"
        try await writer.write(response: answer.head, body: answer.body)
      }, configuration: configuration)
  }

  /// As RFC 9110 wants it: `Mon, 23 Nov 2026 13:00:51 GMT`.
  private static func date() -> String {
    var now = time(nil)
    var parts = tm()
    gmtime_r(&now, &parts)
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { text in
      let length = strftime(text.baseAddress, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
      return String(decoding: text.prefix(length).lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
  }

  func run() async throws {
    let connections = Connections()
    let server = try await listen(connections)
    await withGracefulShutdownHandler {
      onListening()
      await withDiscardingTaskGroup { tasks in
        do {
          try await server.executeThenClose { inbound in
            for try await connection in inbound {
              tasks.addTask { await channel.handle(value: connection, logger: logger) }
            }
          }
        } catch {
          logger.error("the API accepts no connections any more: \(error)")
        }
      }
    } onGracefulShutdown: {
      server.channel.close(promise: nil)
      connections.quiesce()
    }
  }

  private func listen(_ connections: Connections) async throws -> ServerChannel {
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .serverChannelInitializer { [connectionLimit] server in
        server.eventLoop.makeCompletedFuture {
          try server.pipeline.syncOperations.addHandler(AvailableConnectionsChannelHandler(maxConnections: connectionLimit))
        }
      }
    let serve = { @Sendable [channel, logger] (connection: any Channel) -> EventLoopFuture<HTTP1Channel.Value> in
      connections.add(connection)
      return channel.setup(channel: connection, logger: logger)
    }
    switch place {
    case .open(let descriptor): return try await bootstrap.bind(descriptor, childChannelInitializer: serve)
    case .address(.ip(let ip, let port)):
      return try await bootstrap.bind(host: ip.description, port: Int(port), childChannelInitializer: serve)
    case .address(.unix(let path)):
      return try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true, childChannelInitializer: serve)
    }
  }
}

/// The connections in being: each ends after the answer it owes once the server is asked to stop.
private final class Connections: Sendable {
  private struct State {
    var open: [ObjectIdentifier: any Channel] = [:]
    var isQuiescing = false
  }

  private let state = Mutex(State())

  func add(_ channel: any Channel) {
    let isQuiescing = state.withLock { state in
      state.open[ObjectIdentifier(channel)] = channel
      return state.isQuiescing
    }
    channel.closeFuture.whenComplete { [self] _ in state.withLock { _ = $0.open.removeValue(forKey: ObjectIdentifier(channel)) } }
    // The last one of the backlog: it may be served, and is not kept open.
    if isQuiescing { channel.eventLoop.execute { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) } }
  }

  func quiesce() {
    let open = state.withLock { state in
      state.isQuiescing = true
      return Array(state.open.values)
    }
    for channel in open { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
  }
}
