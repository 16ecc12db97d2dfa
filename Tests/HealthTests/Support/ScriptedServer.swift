import Glibc
import Model
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport

/// A server that does what a test says, and counts what happens to it.
final class ScriptedServer: Sendable {
  struct Counts: Sendable {
    var accepted = 0
    var open = 0
    var received: [UInt8] = []
    /// The most connections that were open at one time.
    var mostOpen = 0
    /// Connections the client ended with a reset.
    var resets = 0

    var text: String { String(decoding: received, as: UTF8.self) }
  }

  /// What a script may do with a connection.
  struct Connection {
    fileprivate let channel: any Channel
    var id: ObjectIdentifier { ObjectIdentifier(channel) }

    func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }
    func send(_ text: String) { send(Array(text.utf8)) }
    func send(_ text: String, after delay: TimeAmount) {
      let channel = channel
      channel.eventLoop.scheduleTask(in: delay) { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
    }
    /// What is sent and received from here on is encrypted. What was received in the same read is not, unless it is given.
    func startTLS(_ context: NIOSSLContext, received bytes: [UInt8] = []) {
      try? channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context), position: .first)
      if bytes.isEmpty { return }
      channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
      channel.pipeline.fireChannelReadComplete()
    }
    func close() { channel.close(promise: nil) }
    func reset() {
      _ = (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
      channel.close(promise: nil)
    }
  }

  enum Event {
    case accepted
    case received([UInt8])
  }

  typealias Script = @Sendable (Connection, Event) -> Void

  /// One loop for all: it sees the end of one connection before the beginning of the next, if that is how they came.
  private static let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1)

  let address: Model.SocketAddress
  private let channel: any Channel
  private let state: State

  private final class State: Sendable {
    let counts = Mutex(Counts())
    let children = Mutex<[ObjectIdentifier: any Channel]>([:])
  }

  /// Listens on a free port of 127.0.0.1, on one of ::1, or on a unix socket.
  init(on place: Place = .v4, _ script: @escaping Script) async throws {
    let state = State()
    self.state = state
    let bootstrap = ServerBootstrap(group: Self.loop)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(state: state, script: script))
        }
      }
    switch place {
    case .v4: channel = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
    case .v6: channel = try await bootstrap.bind(host: "::1", port: 0).get()
    case .unix(let path): channel = try await bootstrap.bind(unixDomainSocketPath: path).get()
    }
    address = try place.address(port: channel.localAddress?.port ?? 0)
  }

  enum Place {
    case v4, v6, unix(String)

    fileprivate func address(port: Int) throws -> Model.SocketAddress {
      let text =
        switch self {
        case .v4: "127.0.0.1:\(port)"
        case .v6: "[::1]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
      guard let address = Model.SocketAddress(text) else { throw TestFailure("no address: \(text)") }
      return address
    }
  }

  var counts: Counts { state.counts.withLock { $0 } }

  /// Does something with every connection that is open now.
  func forEachConnection(_ body: @escaping @Sendable (Connection) -> Void) {
    for channel in state.children.withLock({ Array($0.values) }) {
      channel.eventLoop.execute { body(Connection(channel: channel)) }
    }
  }

  func stop() async throws { try await die(reset: false) }

  /// The connections that are there stay.
  func stopListening() async throws { try await channel.close() }

  /// Stops listening, then ends all connections: as a process that is killed, for whoever has a connection.
  func die(reset: Bool) async throws {
    // Without a wait in between: on a busy machine it may be longer than the clients' next try.
    let closed = channel.eventLoop.makePromise(of: Void.self)
    channel.close(promise: closed)
    forEachConnection { if reset { $0.reset() } else { $0.close() } }
    try? await closed.futureResult.get()
    try await eventually("all connections of the server end") { self.counts.open == 0 }
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    let state: State
    let script: Script

    init(state: State, script: @escaping Script) {
      self.state = state
      self.script = script
    }

    func channelActive(context: ChannelHandlerContext) {
      let channel = context.channel
      state.children.withLock { $0[ObjectIdentifier(channel)] = channel }
      state.counts.withLock {
        $0.accepted += 1
        $0.open += 1
        $0.mostOpen = max($0.mostOpen, $0.open)
      }
      script(Connection(channel: channel), .accepted)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let bytes = Array(unwrapInboundIn(data).readableBytesView)
      state.counts.withLock { $0.received += bytes }
      script(Connection(channel: context.channel), .received(bytes))
    }

    func channelInactive(context: ChannelHandlerContext) {
      let channel = context.channel
      state.children.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(channel)) }
      state.counts.withLock { $0.open -= 1 }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      state.counts.withLock { $0.resets += 1 }
      context.close(promise: nil)
    }
  }
}
