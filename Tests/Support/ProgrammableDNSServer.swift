import Foundation
import Synchronization

/// A name server whose answers are a function of the query, on UDP and TCP of one port, for what no real server does on demand.
///
/// Without a function it serves its zone: `ProgrammableDNSServer(.a("web", "127.0.0.2"))` reads as `KnotServer` does, and
/// `behave` adds what goes wrong: `server.behave { [$0.zoneAnswer.truncated()] }`.
package final class ProgrammableDNSServer: Sendable {
  /// Zero or more packets in answer to a query.
  package typealias Behaviour = @Sendable (Query) -> [Reply]

  package static let mainZone = KnotServer.mainZone

  package let endpoint: Endpoint
  private let core: Core
  private let udp: UDPSocket
  private let tcp: TCPServer?

  /// - Parameter servesTCP: without it, connections are refused.
  package init(
    _ host: String = "127.0.0.1", port: UInt16? = nil, servesTCP: Bool = true, zone: String = mainZone, negativeTTL: UInt32 = 1,
    _ behaviour: @escaping Behaviour
  ) throws {
    let port = try port ?? FreePorts.next()
    endpoint = .ip(host, port)
    let udp = try UDPSocket(endpoint)
    let core = Core(
      DNSZone(zone, negativeTTL: negativeTTL), behaviour, udp: udp, stranger: try UDPSocket(.ip(host, 0)))
    // The threads hold the core and not the server, whose end ends them.
    tcp = servesTCP ? try TCPServer(host: host, port: port) { try core.serve($0) } : nil
    self.udp = udp
    self.core = core
    Thread { core.serveUDP() }.start()
  }

  /// Serves a zone.
  package convenience init(_ records: DNSRecord..., zone: String = mainZone, negativeTTL: UInt32 = 1) throws {
    try self.init(zone: zone, negativeTTL: negativeTTL) { [$0.zoneAnswer] }
    core.change { $0.zone.set(records) }
  }

  deinit { stop() }

  /// Frees the port.
  package func stop() {
    tcp?.stop()
    udp.shutDown()
  }

  package var port: UInt16 { endpoint.port }

  /// All there were so far, answered or not, in their order.
  package var queries: [Query] { core.change { $0.queries } }

  package func queryCount(type: DNSType) -> Int { queries.count { $0.type == type } }

  package func behave(_ behaviour: @escaping Behaviour) { core.change { $0.behaviour = behaviour } }

  /// Replaces the whole zone. The next query is answered from the new one.
  package func set(_ records: DNSRecord...) { zone = records }

  /// The records of the zone. They are read back with absolute names.
  package var zone: [DNSRecord] {
    get { core.change { $0.zone.records } }
    set { core.change { $0.zone.set(newValue) } }
  }

  /// Whether the zone's answers to SRV questions bring the addresses of the targets along.
  package func sendAdditional(_ whether: Bool) { core.change { $0.zone.sendsAdditional = whether } }
}

extension ProgrammableDNSServer {
  private final class Core: Sendable {
    struct State: Sendable {
      var zone: DNSZone
      var behaviour: Behaviour
      var queries: [Query] = []
    }

    private let state: Mutex<State>
    private let udp: UDPSocket
    /// Whoever sends from here is not the server that was asked.
    private let stranger: UDPSocket
    private let delayed = DispatchQueue(label: "delayed DNS answers")

    init(_ zone: DNSZone, _ behaviour: @escaping Behaviour, udp: UDPSocket, stranger: UDPSocket) {
      state = Mutex(State(zone: zone, behaviour: behaviour))
      self.udp = udp
      self.stranger = stranger
    }

    @discardableResult
    func change<T: Sendable>(_ body: (inout sending State) -> T) -> T { state.withLock { body(&$0) } }

    private func replies(to bytes: [UInt8], _ transport: Transport, port: UInt16) -> [Reply] {
      guard let query = Query(parsing: bytes, transport, port: port, zone: change { $0.zone }) else { return [] }
      let behaviour = change { state in
        state.queries.append(query)
        return state.behaviour
      }
      return behaviour(query)
    }

    func serveUDP() {
      while let (bytes, peer) = udp.receive() {
        // The port is at the same place for both families.
        let port = UInt16(peer[2]) << 8 | UInt16(peer[3])
        for reply in replies(to: bytes, .udp, port: port) {
          let socket = reply.isFromAnotherPort ? stranger : udp
          if reply.delay == .zero {
            socket.send(reply.bytes, to: peer)
          } else {
            delayed.asyncAfter(deadline: .now() + reply.delay.timeInterval) { socket.send(reply.bytes, to: peer) }
          }
        }
      }
      udp.close()
    }

    /// One connection: query after query, until the client leaves. No replies at all leave it waiting.
    func serve(_ connection: TCPConnection) throws {
      while true {
        let head = try connection.receive(exactly: 2)
        let bytes = try connection.receive(exactly: Int(head[0]) << 8 | Int(head[1]))
        for reply in replies(to: bytes, .tcp, port: 0) {
          if reply.delay > .zero { Thread.sleep(forTimeInterval: reply.delay.timeInterval) }
          guard try send(reply, on: connection) else { return }
        }
      }
    }

    /// False when the stream is to end here.
    private func send(_ reply: Reply, on connection: TCPConnection) throws -> Bool {
      func framed(_ length: Int) -> [UInt8] { [UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF)] + reply.bytes }
      let right = framed(reply.bytes.count)
      switch reply.framing {
      case .whole:
        try connection.send(bytes: Array(right[..<(right.count / 2)]))
        try connection.send(bytes: Array(right[(right.count / 2)...]))
      case .byteByByte:
        for byte in right {
          try connection.send(bytes: [byte])
          // Or the kernel hands the reader several at once.
          usleep(1000)
        }
      case .lengthAlone:
        try connection.send(bytes: Array(right.prefix(2)))
        return false
      case .cutOff(let count):
        try connection.send(bytes: Array(right.prefix(2 + count)))
        return false
      case .claiming(let length):
        try connection.send(bytes: framed(Int(length)))
      }
      return true
    }
  }
}

extension Duration {
  fileprivate var timeInterval: TimeInterval { self / .seconds(1) }
}
