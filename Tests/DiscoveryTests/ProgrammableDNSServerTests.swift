import Foundation
import Model
import Testing

@testable import Discovery
@testable import TestSupport

/// The server that other tests trust, asked as a client would.
@Suite struct ProgrammableDNSServerTests {
  private static func query(_ name: String, _ type: DNSType = .a, id: UInt16 = 7) -> [UInt8] {
    var packet = PacketBuilder(id: id, flags: 0x0100, additional: 1)
    packet.question(name, type)
    packet.record([0], type: 41, recordClass: 1232, ttl: 0, data: [])
    return packet.bytes
  }

  /// A client's socket, and the first packet that answers it.
  private struct Client {
    let socket: UDPSocket
    let server: UDPSocket.Peer

    init(_ server: ProgrammableDNSServer) throws {
      socket = try UDPSocket(.ip("127.0.0.1", 0))
      self.server = try #require(RawAddress(server.endpoint)).withSockaddr { address, length in
        UnsafeRawBufferPointer(start: address, count: Int(length)).map { $0 }
      }
    }

    func ask(_ name: String, _ type: DNSType = .a) { socket.send(query(name, type), to: server) }

    func answer(_ name: String, _ type: DNSType = .a) throws -> [UInt8] {
      ask(name, type)
      return try #require(socket.receive()).bytes
    }

    func read(_ name: String, _ type: DNSType = .a) throws -> DNSAnswer {
      let bytes = try answer(name, type)
      return try DNSAnswer(
        parsing: bytes, name: try #require(WireName(name)), type: try #require(RecordType(rawValue: type.rawValue)))
    }
  }

  private let one = RecordData.address(.v4(0x7F00_0002))

  @Test func `the zone is served and changed`() throws {
    let server = try ProgrammableDNSServer(
      .a("web", "127.0.0.2", ttl: 9), .cname("www", "web", ttl: 3), .srv("_db._tcp", port: 80, target: "web"), .txt("web", "a=b"))
    let client = try Client(server)
    #expect(try client.read("web.example.test") == .records([one], timeToLive: 9))
    #expect(try client.read("WWW.example.test") == .records([one], timeToLive: 3))
    #expect(try client.read("web.example.test", .aaaa) == .empty(.noSuchRecord, timeToLive: 1))
    #expect(try client.read("no.example.test") == .empty(.noSuchName, timeToLive: 1))
    #expect(try client.read("_tcp.example.test") == .empty(.noSuchRecord, timeToLive: 1))
    #expect(try client.read("web.example.test", .txt) == .records([.text(["a=b"])], timeToLive: 1))
    #expect(throws: AnswerError.refused) { try client.read("web.other") }
    let web = try #require(WireName("web.example.test"))
    let service = RecordData.service(ServiceRecord(priority: 0, weight: 1, port: 80, target: web))
    #expect(
      try client.read("_db._tcp.example.test", .srv)
        == .records([service], timeToLive: 1, additional: [ResourceRecord(owner: web, timeToLive: 9, data: one)]))
    server.sendAdditional(false)
    #expect(try client.read("_db._tcp.example.test", .srv) == .records([service], timeToLive: 1))
    server.set()
    #expect(try client.read("web.example.test") == .empty(.noSuchName, timeToLive: 1))
    #expect(server.queries.first?.name == "web.example.test")
    #expect(server.queries.first?.payloadSize == 1232)
    #expect(server.queryCount(type: .srv) == 2)
  }

  @Test func `what does not fit over UDP comes over TCP`() throws {
    let server = try ProgrammableDNSServer()
    server.zone = (0..<200).map { .a("many", "127.0.1.\($0)") }
    #expect(throws: AnswerError.truncated) { try Client(server).read("many.example.test") }
    let message = try DNSMessage(parsing: try overTCP(server, "many.example.test"))
    #expect(message.answers.count == 200)
    #expect(server.queries.map(\.transport) == [.udp, .tcp])
  }

  @Test func `faults are what they say`() throws {
    let server = try ProgrammableDNSServer(.a("web", "127.0.0.2"))
    let client = try Client(server)
    server.behave { [$0.zoneAnswer.truncated()] }
    #expect(throws: AnswerError.truncated) { try client.read("web.example.test") }
    server.behave { [$0.zoneAnswer.counting(answers: 2)] }
    #expect(throws: AnswerError.malformed(.truncated)) { try client.read("web.example.test") }
    server.behave { [$0.zoneAnswer.cut(to: 40)] }
    #expect(throws: AnswerError.malformed(.truncated)) { try client.read("web.example.test") }
    server.behave { [$0.pointerLoop()] }
    #expect(throws: AnswerError.malformed(.pointerNotBackward)) { try client.read("web.example.test") }
    server.behave { [$0.named("other.example.test").zoneAnswer] }
    #expect(throws: AnswerError.mismatch) { try client.read("web.example.test") }
    server.behave { [$0.answer(.a("other.example.test", "127.0.0.66"))] }
    #expect(throws: AnswerError.mismatch) { try client.read("web.example.test") }
    server.behave { [$0.noSuchName(minimum: 3)] }
    #expect(try client.read("web.example.test") == .empty(.noSuchName, timeToLive: 3))
    server.behave { [$0.zoneAnswer.withID($0.id ^ 1)] }
    #expect(try client.answer("web.example.test").prefix(2) == [0, 6])
    server.behave { [$0.zoneAnswer.padded(to: 4000)] }
    #expect(try client.answer("web.example.test").count == 4000)
  }

  @Test func `a delayed answer holds no other up`() throws {
    let server = try ProgrammableDNSServer(.a("late", "127.0.0.2"), .a("soon", "127.0.0.3"))
    server.behave { [$0.name == "late.example.test" ? $0.zoneAnswer.delayed(.milliseconds(200)) : $0.zoneAnswer] }
    let client = try Client(server)
    client.ask("late.example.test")
    #expect(try client.answer("soon.example.test").suffix(1) == [3])
    #expect(try #require(client.socket.receive()).bytes.suffix(1) == [2])
  }

  @Test func `a spoofer has another port, and answers can come twice`() throws {
    let server = try ProgrammableDNSServer { [$0.answer([[192, 0, 2, 66]]).fromAnotherPort(), $0.zoneAnswer, $0.zoneAnswer] }
    let client = try Client(server)
    client.ask("web.example.test")
    let packets = try (0..<3).map { _ in try #require(client.socket.receive()) }
    #expect(packets.map { $0.peer == client.server } == [false, true, true])
    #expect(packets[1].bytes == packets[2].bytes)
  }

  // MARK: TCP

  private func overTCP(_ server: ProgrammableDNSServer, _ name: String) throws -> [UInt8] {
    let connection = try TCPConnection(to: server.endpoint)
    let query = Self.query(name)
    try connection.send(bytes: [0, UInt8(query.count)] + query)
    let head = try connection.receive(exactly: 2)
    return try connection.receive(exactly: Int(head[0]) << 8 | Int(head[1]))
  }

  @Test func `broken TCP is broken as it says`() throws {
    let server = try ProgrammableDNSServer(.a("web", "127.0.0.2"))
    let whole = try overTCP(server, "web.example.test")
    server.behave { [$0.zoneAnswer.framed(.byteByByte)] }
    #expect(try overTCP(server, "web.example.test") == whole)
    server.behave { [$0.zoneAnswer.framed(.lengthAlone)] }
    #expect(throws: SocketFailure.ended) { try overTCP(server, "web.example.test") }
    server.behave { [$0.zoneAnswer.framed(.cutOff(after: 20))] }
    #expect(throws: SocketFailure.ended) { try overTCP(server, "web.example.test") }
    server.behave { [$0.zoneAnswer.framed(.claiming(length: 20))] }
    #expect(try overTCP(server, "web.example.test") == Array(whole.prefix(20)))
  }

  @Test func `without TCP connections are refused`() throws {
    let server = try ProgrammableDNSServer(servesTCP: false) { [$0.zoneAnswer.truncated()] }
    #expect(throws: SocketFailure.refused) { try TCPConnection(to: server.endpoint) }
  }
}
