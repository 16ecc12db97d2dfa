import Glibc
import Model
import Proxy

/// Connections through a proxy with both their ends in our hands, and what is sent over them: the sizes of a small HTTP exchange.
struct Round {
  private static let request = [UInt8](repeating: 0x71, count: 128)
  private static let answer = [UInt8](repeating: 0x61, count: 512)

  private let clients: [Int32]
  private let upstreams: [Int32]

  init(through proxy: Proxy, connections: Int) throws {
    let (listener, backend) = try Self.listen()
    let member = MemberRoute(backend: "backend", address: backend, weight: 1, standing: Standings(all: .serve))
    let group = GroupRoute(
      name: "app", balance: .roundRobin, holdTimeout: .seconds(10), drainTimeout: .seconds(10), members: [member])
    Self.publish(RoutingChange(generation: 1, changed: [group]), to: proxy)
    let loopback = SocketAddress.ip(.v4(0x7F00_0001), port: 0)
    let front = try proxy.open(
      ListenerSpecification(name: "front", address: loopback, group: "app", role: .any, clientSpeaksFirst: false))
    var (clients, upstreams): ([Int32], [Int32]) = ([], [])
    for _ in 0..<connections {
      clients.append(try Self.connect(to: front))
      upstreams.append(try checked("accept", accept(listener, nil, nil)))
    }
    self.clients = clients
    self.upstreams = upstreams
  }

  /// Every client sends its request before the first one is answered: the more connections, the more a pass of the worker has to do.
  func run() throws {
    for client in clients { try send(Self.request, client) }
    for upstream in upstreams {
      try receive(Self.request.count, upstream)
      try send(Self.answer, upstream)
    }
    for client in clients { try receive(Self.answer.count, client) }
  }

  /// Returns once the worker has taken the change over. Callgrind writes down what it counted whenever a worker applies a change: an
  /// empty one is a mark between what comes before and after it.
  static func publish(_ change: RoutingChange, to proxy: Proxy) {
    proxy.publish(change)
    // Answered in order.
    _ = proxy.statistics()
  }

  private func send(_ bytes: [UInt8], _ socket: Int32) throws {
    _ = try checked("send", Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)))
  }

  private func receive(_ count: Int, _ socket: Int32) throws {
    try withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { bytes in
      let received = try checked("receive", recv(socket, bytes.baseAddress, count, Int32(MSG_WAITALL)))
      if received < count { throw Failure(operation: "receive", errno: 0) }
    }
  }

  // MARK: Sockets

  private static func listen() throws -> (Int32, SocketAddress) {
    let descriptor = try checked("socket", socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    var address = loopback(port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    try withUnsafeMutablePointer(to: &address) {
      try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = try checked("bind", bind(descriptor, $0, length))
        _ = try checked("listen", Glibc.listen(descriptor, 512))
        _ = try checked("getsockname", getsockname(descriptor, $0, &length))
      }
    }
    return (descriptor, .ip(.v4(0x7F00_0001), port: UInt16(bigEndian: address.sin_port)))
  }

  private static func connect(to target: SocketAddress) throws -> Int32 {
    guard case .ip(_, let port) = target else { throw Failure(operation: "connect", errno: EAFNOSUPPORT) }
    let descriptor = try checked("socket", socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    var address = loopback(port: port)
    try withUnsafePointer(to: &address) {
      try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = try checked("connect", Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)))
      }
    }
    return descriptor
  }

  private static func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }
}

/// A call of the kernel that failed; errno 0: the stream ended.
struct Failure: Error {
  let operation: String
  let errno: Int32
}

private func checked<Result: SignedInteger>(_ operation: String, _ result: Result) throws -> Result {
  if result < 0 { throw Failure(operation: operation, errno: errno) }
  return result
}
