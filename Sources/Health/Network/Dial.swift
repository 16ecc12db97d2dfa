import Model
import NIOCore
import NIOPosix

/// Connects to an address, with the channel's handlers added before anything can happen on it.
///
/// `header`: what the member expects first.
///
/// There is no timeout here: whoever dials has a deadline for more than the connect, and closes the channel.
func dial(
  _ address: Model.SocketAddress, header: ProxyProtocol?, on loop: any EventLoop,
  initializer: @escaping @Sendable (any Channel) throws -> Void
) -> EventLoopFuture<any Channel> {
  do {
    return ClientBootstrap(group: loop)
      .connectTimeout(.hours(24))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let header { try channel.pipeline.syncOperations.addHandler(HeaderSender(header)) }
          try initializer(channel)
        }
      }
      .connect(to: try NIOCore.SocketAddress(address))
  } catch {
    return loop.makeFailedFuture(error)
  }
}

extension NIOCore.SocketAddress {
  fileprivate init(_ address: Model.SocketAddress) throws {
    switch address {
    case .ip(.v4(let value), let port): try self.init(packedIPAddress: ByteBuffer(integer: value), port: Int(port))
    case .ip(.v6(let value), let port): try self.init(packedIPAddress: ByteBuffer(integer: value.number), port: Int(port))
    case .unix(let path): try self.init(unixDomainSocketPath: path)
    }
  }
}

/// Sends the header of the PROXY protocol before anybody else hears that the connection is there. A probe is made for nobody, so the header
/// names no addresses, as HAProxy's `check-send-proxy` does.
private final class HeaderSender: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let header: ProxyProtocol

  init(_ header: ProxyProtocol) { self.header = header }

  func channelActive(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: header.headerWithoutAddresses)), promise: nil)
    context.fireChannelActive()
  }
}
