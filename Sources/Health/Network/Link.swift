import Model
import NIOCore
import NIOPosix

/// One connection of a prober: bytes out, events in. Lives on one event loop.
final class Link: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  enum Event {
    case connected
    case received(ByteBufferView)
    /// The last event. Not sent after `close`.
    case ended(ProbeFailure)
  }

  /// Nil once nobody is to be told anything any more.
  private var onEvent: ((Event) -> Void)?
  private var channel: (any Channel)?
  private var error: (any Error)?

  /// Connects on the loop's next turn: a unix socket may be connected, or refused, before a call returns, and whoever
  /// makes a link must hold it before hearing from it.
  init(to address: Model.SocketAddress, on loop: any EventLoop, onEvent: @escaping (Event) -> Void) {
    self.onEvent = onEvent
    loop.assumeIsolated().execute { self.connect(to: address, on: loop) }
  }

  private func connect(to address: Model.SocketAddress, on loop: any EventLoop) {
    guard onEvent != nil else { return }
    let bound = NIOLoopBound(self, eventLoop: loop)
    dial(address, on: loop) { try $0.pipeline.syncOperations.addHandler(bound.value) }
      .assumeIsolated()
      .whenFailure { error in self.end(error) }
  }

  func send(_ bytes: [UInt8]) {
    channel?.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
  }

  /// Ends the connection in good order, with a last message if there is one. No events from now on.
  func close(after farewell: [UInt8]? = nil) {
    onEvent = nil
    if let farewell { send(farewell) }
    channel?.close(promise: nil)
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

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    self.error = self.error ?? error
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) { end(error) }

  func handlerRemoved(context: ChannelHandlerContext) { channel = nil }

  private func end(_ error: (any Error)?) {
    guard let onEvent else { return }
    self.onEvent = nil
    onEvent(.ended(error.map { ProbeFailure($0) } ?? .connectionClosed))
  }
}
