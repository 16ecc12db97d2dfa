import Model
import NIOCore
import NIOPosix

/// Connects to an address, with the channel's handlers added before anything can happen on it.
///
/// There is no timeout here: whoever dials has a deadline for more than the connect, and closes the channel.
func dial(
  _ address: Model.SocketAddress, on loop: any EventLoop, initializer: @escaping @Sendable (any Channel) throws -> Void
) -> EventLoopFuture<any Channel> {
  do {
    return ClientBootstrap(group: loop)
      .connectTimeout(.hours(24))
      .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try initializer(channel) } }
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
