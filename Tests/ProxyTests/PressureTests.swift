import Glibc
import Model
import Testing

@testable import Proxy

/// What peers that do not read may cost: one buffer a direction, whoever they are and however long it lasts.
@Suite(.serialized) struct PressureTests {
  /// The pool has exactly what the stuck ones may take, and one buffer more. That the count is exact shows where there is no one
  /// more: then the last session waits.
  @Test(arguments: [1, 0]) func `a session of which nobody reads takes two buffers and no more`(spare: Int) throws {
    let stuckCount = 3
    let (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 16)
    defer { close(listener) }
    let rig = try Rig {
      $0.bufferLimit = 2 * stuckCount + spare
      // Large flows would leave the buffers to others.
      $0.pipeLimit = 0
    }
    let front = try rig.listen()
    rig.publish(.init("a", address))
    func connect() throws -> (client: TestSocket, server: TestSocket) {
      (try #require(TestSocket(connectingTo: front, receiveBuffer: 8192)), try #require(TestSocket(acceptedFrom: listener)))
    }
    let stuck = try (0..<stuckCount).map { _ in
      let pair = try connect()
      return (pair, pair.client.sendUntilStopped(), pair.server.sendUntilStopped())
    }
    let last = try connect()
    let request = noise(300_000)
    Threads.start {
      last.client.send(request)
      last.client.endSending()
    }
    if spare == 0 {
      #expect(rig.counts().active == stuckCount + 1)
      let before = rig.counts().received
      // Nothing can be awaited where nothing happens: a while that is long for a relay.
      usleep(200_000)
      #expect(rig.counts().received == before)
    } else {
      #expect(last.server.receiveToEnd() == (request, .clean))
    }
    // Nothing of what was stuck is lost.
    for (pair, fromClient, fromServer) in stuck {
      pair.client.endSending()
      pair.server.endSending()
      #expect(pair.server.receiveToEnd().bytes.count == fromClient)
      #expect(pair.client.receiveToEnd().bytes.count == fromServer)
    }
    if spare == 0 { #expect(last.server.receiveToEnd() == (request, .clean)) }
    last.server.close()
    #expect(rig.ends(as: .completed, count: UInt64(stuckCount + 1)))
  }

  @Test func `a client that never reads stops its server, and its end frees what it held`() throws {
    let server = TestServer { socket in
      // Until the end of the session is felt: the server alone never stops.
      let chunk = noise(65536)
      while socket.send(chunk) == chunk.count {}
    }
    let rig = try Rig { $0.bufferLimit = 2 }
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    var sent: UInt64 = 0
    for round in 0..<3 {
      let client = try #require(TestSocket(connectingTo: front, receiveBuffer: 8192))
      let before = sent
      // Full once the count stands still.
      #expect(
        eventually {
          let now = rig.counts().sent
          defer { sent = now }
          usleep(100_000)
          return now > before && now == sent
        })
      #expect(sent - before < 50_000_000)
      client.reset()
      #expect(rig.ends(as: .resetByClient, count: UInt64(round + 1)))
    }
  }
}
