import Glibc
import Model
import Synchronization

@testable import Discovery

/// A name server whose answers are a function, on UDP and TCP of one port of a loopback address.
final class FakeServer: Sendable {
  enum Transport: Hashable, Sendable { case udp, tcp }

  struct Query: Hashable, Sendable {
    let id: UInt16
    let name: String
    let type: RecordType
    let transport: Transport
    /// The source port.
    let port: UInt16
    let hasOptions: Bool
    let at: Instant
    let bytes: [UInt8]

    /// The answer to this question: addresses of the question's family, or none (NODATA with an SOA of 5 s).
    func answer(_ addresses: [[UInt8]] = [], ttl: UInt32 = 60, flags: UInt16 = 0x8180) -> [UInt8] {
      let ours = addresses.filter { $0.count == (type == .a ? 4 : 16) }
      var packet = PacketBuilder(id: id, flags: flags, answers: UInt16(ours.count), authority: ours.isEmpty ? 1 : 0)
      packet.question(name, type)
      for address in ours { packet.record([0xC0, 0x0C], type: type.rawValue, ttl: ttl, data: address) }
      if ours.isEmpty { packet.startOfAuthority("example", ttl: 5, minimum: 5) }
      return packet.bytes
    }

    /// A response without records: 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    func code(_ code: UInt16) -> [UInt8] {
      var packet = PacketBuilder(id: id, flags: 0x8180 | code)
      packet.question(name, type)
      return packet.bytes
    }
  }

  /// Zero or more packets in answer to a query.
  typealias Behaviour = @Sendable (Query) -> [[UInt8]]

  private struct State: Sendable {
    var behaviour: Behaviour
    var queries: [Query] = []
  }

  let address: SocketAddress
  private let udp: Int32
  private let tcp: Int32
  private let state: Mutex<State>

  init(_ host: String = "127.0.0.1", _ behaviour: @escaping Behaviour) throws {
    guard let ip = IPAddress(host) else { throw Failure("not an address: \(host)") }
    (udp, tcp) = try Self.bindPair(ip)
    let port = try Self.port(of: udp)
    listen(tcp, 16)
    address = .ip(ip, port: port)
    state = Mutex(State(behaviour: behaviour))
    for work in [serveUDP, serveTCP] as [@Sendable () -> Void] { Self.spawn(work) }
  }

  /// Frees the port. The threads end with their sockets.
  func stop() {
    shutdown(udp, Int32(SHUT_RDWR))
    shutdown(tcp, Int32(SHUT_RDWR))
  }

  var queries: [Query] { state.withLock { $0.queries } }

  func behave(_ behaviour: @escaping Behaviour) { state.withLock { $0.behaviour = behaviour } }

  /// A port of loopback where nobody listens, held by a bound UDP socket that was closed again.
  static func deadAddress() throws -> SocketAddress {
    let ip = IPAddress.v4(0x7F00_0001)
    let socket = try bind(ip, port: 0, SOCK_DGRAM)
    defer { close(socket) }
    return .ip(ip, port: try port(of: socket))
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }
}

extension FakeServer {
  private func respond(to bytes: [UInt8], _ transport: Transport, port: UInt16) -> [[UInt8]] {
    guard let query = Query(parsing: bytes, transport, port: port) else { return [] }
    let behaviour = state.withLock { state in
      state.queries.append(query)
      return state.behaviour
    }
    return behaviour(query)
  }

  private func serveUDP() {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      var peer = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let count = withUnsafeMutablePointer(to: &peer) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(udp, &buffer, buffer.count, 0, $0, &length) }
      }
      guard count > 0 else { break }
      let port = withUnsafeBytes(of: &peer) { UInt16(bigEndian: $0.load(fromByteOffset: 2, as: UInt16.self)) }
      for packet in respond(to: Array(buffer[..<count]), .udp, port: port) {
        withUnsafePointer(to: &peer) {
          _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(udp, packet, packet.count, 0, $0, length) }
        }
      }
    }
    close(udp)
  }

  /// One connection at a time, one query each, its answer in two pieces.
  private func serveTCP() {
    while case let connection = accept(tcp, nil, nil), connection >= 0 {
      defer { close(connection) }
      var head = [UInt8](repeating: 0, count: 2)
      guard recv(connection, &head, 2, Int32(MSG_WAITALL)) == 2 else { continue }
      var bytes = [UInt8](repeating: 0, count: Int(head[0]) << 8 | Int(head[1]))
      guard recv(connection, &bytes, bytes.count, Int32(MSG_WAITALL)) == bytes.count else { continue }
      for packet in respond(to: bytes, .tcp, port: 0) {
        let framed = [UInt8(packet.count >> 8), UInt8(packet.count & 0xFF)] + packet
        let half = framed.count / 2
        send(connection, Array(framed[..<half]), half, Int32(MSG_NOSIGNAL))
        send(connection, Array(framed[half...]), framed.count - half, Int32(MSG_NOSIGNAL))
      }
      // Until the client leaves.
      recv(connection, &head, 1, 0)
    }
    close(tcp)
  }

  /// The port UDP got may be taken for TCP; then another.
  private static func bindPair(_ ip: IPAddress) throws -> (udp: Int32, tcp: Int32) {
    for _ in 0..<20 {
      let udp = try bind(ip, port: 0, SOCK_DGRAM)
      if let tcp = try? bind(ip, port: try port(of: udp), SOCK_STREAM) { return (udp, tcp) }
      close(udp)
    }
    throw Failure("no port is free for both UDP and TCP")
  }

  private static func bind(_ ip: IPAddress, port: UInt16, _ type: __socket_type) throws -> Int32 {
    let family: Int32
    switch ip {
    case .v4: family = AF_INET
    case .v6: family = AF_INET6
    }
    let descriptor = socket(family, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Failure("socket: \(errno)") }
    var result: Int32
    switch ip {
    case .v4(let value):
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = value.bigEndian
      result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    case .v6(let value):
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &address.sin6_addr) { $0.storeBytes(of: value.bigEndian, as: UInt128.self) }
      result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
    }
    guard result == 0 else {
      defer { close(descriptor) }
      throw Failure("bind \(ip):\(port): \(errno)")
    }
    return descriptor
  }

  private static func port(of descriptor: Int32) throws -> UInt16 {
    var address = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    guard result == 0 else { throw Failure("getsockname: \(errno)") }
    // The port is at the same place for both families.
    return withUnsafeBytes(of: &address) { UInt16(bigEndian: $0.load(fromByteOffset: 2, as: UInt16.self)) }
  }

  private final class Work: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private static func spawn(_ run: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, Unmanaged.passRetained(Work(run)).toOpaque())
    pthread_detach(thread)
  }
}

extension FakeServer.Query {
  init?(parsing bytes: [UInt8], _ transport: FakeServer.Transport, port: UInt16) {
    guard bytes.count > 12 else { return nil }
    var labels: [String] = []
    var index = 12
    while index < bytes.count, bytes[index] != 0 {
      let end = index + 1 + Int(bytes[index])
      guard end < bytes.count else { return nil }
      labels.append(String(decoding: bytes[(index + 1)..<end], as: UTF8.self))
      index = end
    }
    guard index + 2 < bytes.count, let type = RecordType(rawValue: UInt16(bytes[index + 1]) << 8 | UInt16(bytes[index + 2])) else {
      return nil
    }
    self.init(
      id: UInt16(bytes[0]) << 8 | UInt16(bytes[1]), name: labels.joined(separator: "."), type: type, transport: transport,
      port: port,
      hasOptions: bytes[11] == 1, at: ResolverLoop.now(), bytes: bytes)
  }
}
