import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
package import Logging
package import Model
import NIOCore
import ServiceLifecycle

/// The REST API, the metrics and the health endpoints, on loopback or a unix socket.
package struct ControlServer: Sendable {
  static let bodyLimit = 1 << 20
  private static let headerLimit = 8 << 10
  /// Enough for operators, scrapers and orchestrators together; a flood waits in the backlog instead of taking descriptors from the data path.
  private static let connectionLimit = 128

  /// How long answers under way may take once the server is asked to stop.
  private static let farewell = Duration.seconds(2)

  private let services: ServiceGroup

  /// - Parameters:
  ///   - socket: a descriptor that listens there already, and is the server's from now on; nil: the server binds the address.
  ///   - onListening: called once, when the socket accepts connections.
  package init(
    address: Model.SocketAddress, socket: CInt? = nil, plane: any ControlPlane, logger: Logger, pace: StreamPace = StreamPace(),
    onListening: @escaping @Sendable () -> Void
  ) {
    let router = Router(context: Context.self)
    router.add(middleware: ProblemMiddleware(logger: logger))
    router.add(middleware: RequestGuard(address: address))
    router.add(middleware: HandoverGuard(plane: plane))
    Groups(plane: plane).register(on: router)
    DNS(plane: plane).register(on: router)
    Backends(plane: plane).register(on: router)
    Maintenance(plane: plane).register(on: router)
    Events(plane: plane, pace: pace).register(on: router)
    ConfigurationCalls(plane: plane).register(on: router)
    Status(plane: plane).register(on: router)
    Metrics(plane: plane).register(on: router)
    let decoder = HTTP1Channel.Configuration.DecoderConfiguration(
      maxHeaderFieldSize: Self.headerLimit, maxHeaderListSize: Self.headerLimit, maxHeaderFieldCount: 100)
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    let listener = HTTPListener(
      place: socket.map { .open($0) } ?? .address(address), responder: router.buildResponder(),
      channel: HTTP1Channel.Configuration(idleTimeout: .seconds(10), httpDecoderConfiguration: decoder),
      connectionLimit: Self.connectionLimit, logger: quiet, onListening: onListening)
    var lifecycle = ServiceGroupConfiguration(services: [.init(service: listener)], logger: quiet)
    lifecycle.maximumGracefulShutdownDuration = Self.farewell
    services = ServiceGroup(configuration: lifecycle)
  }

  /// Serves until `stop`; throws when the address cannot be bound.
  package func run() async throws {
    do {
      try await services.run()
    } catch let error as IOError {
      throw ServeError(description: String(cString: strerror(error.errnoCode)).lowercased())
    }
  }

  /// Why the API cannot be served, in the kernel's words.
  package struct ServeError: Error, CustomStringConvertible {
    package let description: String
  }

  /// Answers what has been asked and ends `run`.
  package func stop() async { await services.triggerGracefulShutdown() }
}
