import Model
import NIOCore
import NIOPosix
import NIOTLS

/// One connection of a prober: bytes out, events in. Lives on one event loop.
final class Link: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  enum Event {
    case connected
    /// The TLS handshake that was asked for has succeeded.
    case secured
    case received(ByteBufferView)
    /// The last event. Not sent after `close`.
    case ended(ProbeFailure)
  }

  /// Nil once nobody is to be told anything any more.
  private var onEvent: ((Event) -> Void)?
  private var channel: (any Channel)?
  private var isEncrypted = false

  /// Connects on the loop's next turn: a unix socket may be connected, or refused, before a call returns, and whoever
  /// makes a link must hold it before hearing from it.
  init(
    to address: Model.SocketAddress, header: ProxyProtocol?, on loop: any EventLoop, onEvent: @escaping (Event) -> Void
  ) {
    self.onEvent = onEvent
    loop.assumeIsolated().execute { self.connect(to: address, header: header, on: loop) }
  }

  private func connect(to address: Model.SocketAddress, header: ProxyProtocol?, on loop: any EventLoop) {
    guard onEvent != nil else { return }
    let bound = NIOLoopBound(self, eventLoop: loop)
    dial(address, header: header, on: loop) { try $0.pipeline.syncOperations.addHandler(bound.value) }
      .assumeIsolated()
      .whenFailure { error in self.end(ProbeFailure(error)) }
  }

  func send(_ bytes: [UInt8]) {
    channel?.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
  }

  /// From here on everything is encrypted. Bytes that have been received are not given to TLS: whoever asks for it must have seen that
  /// there are none.
  func startTLS(_ client: TLSClient) {
    guard onEvent != nil, let channel else { return }
    isEncrypted = true
    do {
      try channel.pipeline.syncOperations.addHandler(try client.handler(), position: .first)
    } catch {
      end(ProbeFailure(error, certificate: nil))
      channel.closeAtOnce(isEncrypted: isEncrypted)
    }
  }

  /// Ends the connection in good order, with a last message if there is one. No events from now on.
  func close(after farewell: [UInt8]? = nil) {
    onEvent = nil
    if let farewell { send(farewell) }
    channel?.close(promise: nil)
  }

  /// Ends the connection as it is, for a peer that does not answer. No events from now on.
  func drop() {
    onEvent = nil
    channel?.closeAtOnce(isEncrypted: isEncrypted)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if onEvent == nil {
      context.close(promise: nil)
    } else {
      channel = context.channel
    }
  }

  func channelActive(context: ChannelHandlerContext) { onEvent?(.connected) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    onEvent?(.received(unwrapInboundIn(data).readableBytesView))
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case TLSUserEvent.handshakeCompleted = event { onEvent?(.secured) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(context.probeFailure(error))
    context.channel.closeAtOnce(isEncrypted: isEncrypted)
  }

  func channelInactive(context: ChannelHandlerContext) { end(.connectionClosed) }

  func handlerRemoved(context: ChannelHandlerContext) { channel = nil }

  private func end(_ failure: ProbeFailure) {
    guard let onEvent else { return }
    self.onEvent = nil
    onEvent(.ended(failure))
  }
}
