import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// What goes through, byte for byte, and what it costs.
  @Suite(.serialized) struct RelayTests {
    private static func start(backend: Endpoint) async throws -> (leba: LebaProcess, listener: Endpoint) {
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      guard case .ip(let host, let port) = backend else { throw TestFailure("a backend has an address") }
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: raw, address: "\(listener)", group: raw}]
        backends: [{id: only, address: "\(host)", port: \(port), protocol: tcp}]
        failover_groups: [{name: raw, mode: active-passive, backends: [only], primary: only}]
        """)
      try await leba.untilPrimary(of: "raw", is: "only")
      return (leba, listener)
    }

    @Test func `each direction ends by itself, and the other one goes on`() async throws {
      let server = try TCPServer { connection in
        // Speaks only after the client has ended its direction.
        let count = try connection.receiveToEnd().count
        try connection.send("\(count) bytes, ")
        try connection.send(String(repeating: "z", count: 12_000_000))
        try connection.send("the last words")
        connection.finishSending()
      }
      let (leba, listener) = try await Self.start(backend: server.endpoint)
      let client = try await TCPConnection.open(listener)
      try await client.sending(String(repeating: "a", count: 12_000_000))
      client.finishSending()
      let answer = try await client.receivedTextToEnd()
      #expect(answer.hasPrefix("12000000 bytes, zzz"))
      #expect(answer.hasSuffix("zzzthe last words"))
      #expect(answer.utf8.count == "12000000 bytes, ".utf8.count + 12_000_000 + "the last words".utf8.count)
      try await eventually("the connection is counted as completed") {
        try await leba.metrics().value("leba_connections_total", ["listener": "raw", "outcome": "completed"]) == 1
      }
    }

    @Test(arguments: [Direction.toClient, .toBackend])
    func `a gigabyte goes through unchanged and memory does not grow`(direction: Direction) async throws {
      let total = 1 << 30
      let server = try TCPServer { connection in
        switch direction {
        case .toClient:
          // One byte asks for it: health probes of a tcp backend connect and say nothing.
          _ = try connection.receive(exactly: 1)
          try Pattern.send(total, on: connection)
          connection.finishSending()
        case .toBackend:
          if try connection.receive(exactly: 1).isEmpty { return }
          try connection.send(Pattern.isWhole(try Pattern.check(on: connection), total) ? "whole" : "broken")
          connection.finishSending()
        }
      }
      let (leba, listener) = try await Self.start(backend: server.endpoint)
      let client = try await TCPConnection.open(listener)
      try await client.sending("!")
      let before = leba.residentMemory
      // The memory is looked at while the bytes are under way.
      let watching = Task {
        var highest = 0
        while !Task.isCancelled {
          highest = max(highest, leba.residentMemory)
          try? await Task.sleep(for: .milliseconds(20))
        }
        return highest
      }
      switch direction {
      case .toClient:
        let received = try await onOwnThread { try Pattern.check(on: client) }
        #expect(Pattern.isWhole(received, total))
      case .toBackend:
        try await onOwnThread { try Pattern.send(total, on: client) }
        client.finishSending()
        #expect(try await client.receivedTextToEnd() == "whole")
      }
      watching.cancel()
      let growth = await watching.value - before
      #expect(growth < 16 << 20, "grew by \(growth >> 20) MiB")
    }

    enum Direction: Sendable { case toClient, toBackend }

    /// Blocks that differ, so that a lost, repeated or swapped one shows.
    private enum Pattern {
      static let block = 65536

      static func send(_ total: Int, on connection: TCPConnection) throws {
        var bytes = [UInt8](repeating: 0x5a, count: block)
        for number in 0..<(total / block) {
          bytes.withUnsafeMutableBytes { $0.storeBytes(of: UInt64(number), as: UInt64.self) }
          try bytes.withUnsafeBytes { try connection.send($0) }
        }
      }

      /// Reads to the end. The count of bytes is negative when a block is not what was sent.
      static func check(on connection: TCPConnection) throws -> Int {
        var expected = [UInt8](repeating: 0x5a, count: block)
        var buffer = [UInt8](repeating: 0, count: block)
        var total = 0
        var filled = 0
        while true {
          let count = try buffer.withUnsafeMutableBytes {
            try connection.receive(into: UnsafeMutableRawBufferPointer(rebasing: $0[filled...]))
          }
          if count == 0 { return filled == 0 ? total : -1 }
          filled += count
          if filled < block { continue }
          expected.withUnsafeMutableBytes { $0.storeBytes(of: UInt64(total / block), as: UInt64.self) }
          if buffer != expected { return -1 }
          total += block
          filled = 0
        }
      }

      static func isWhole(_ received: Int, _ total: Int) -> Bool { received == total }
    }

    @Test func `five thousand idle connections stay open, cost little, and leave nothing behind`() async throws {
      let count = 5000
      try Self.allowDescriptors(count * 2 + 1000)
      let server = try await NginxServer("one", host: "127.0.0.2")
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """)
      try await leba.untilPrimary(of: "web", is: "one")
      let descriptors = leba.descriptorCount
      let memory = leba.residentMemory

      // Each has asked once, so that each has its connection to the server too.
      let clients = try await onOwnThread {
        try (0..<count).map { _ in
          let client = try TCPConnection(to: listener)
          _ = try HTTP.exchange("GET", "/", on: client, listener)
          return client
        }
      }
      #expect(leba.descriptorCount >= 2 * count)
      let growth = leba.residentMemory - memory
      #expect(growth < count * 8192, "\(growth / count) bytes a connection")
      #expect(try await leba.metrics().value("leba_connections_active", ["listener": "web"]) == Double(count))

      let answers = try await onOwnThread { try clients.map { try HTTP.exchange("GET", "/", on: $0, listener).body } }
      #expect(answers.allSatisfy { $0 == "one" })

      for client in clients { client.close() }
      try await eventually("the descriptors are given back") { leba.descriptorCount <= descriptors + 20 }
      #expect(try await HTTP.get("/", from: listener).body == "one")
    }

    /// The binary inherits the limit that the test process has.
    private static func allowDescriptors(_ wanted: Int) throws {
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      if limit.rlim_cur >= wanted { return }
      limit.rlim_cur = min(limit.rlim_max, rlim_t(wanted * 2))
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      if limit.rlim_cur < wanted { throw TestFailure("\(wanted) descriptors are needed, the hard limit is \(limit.rlim_max)") }
    }
  }
}
