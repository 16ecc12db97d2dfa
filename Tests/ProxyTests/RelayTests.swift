import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

@Suite struct RelayTests {
  @Test func bytesArriveUnchangedOnManyConnectionsAtOnce() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let (done, wrong) = (Counter(), Counter())
    for number in 0..<8 {
      Threads.start {
        guard let client = TestSocket(connectingTo: front) else { return wrong.add(1) }
        let sent = noise(700_000, seed: UInt64(number))
        Threads.start {
          var generator = SeededGenerator(seed: UInt64(number) &+ 99)
          var rest = sent[...]
          while !rest.isEmpty {
            let chunk = rest.prefix(Int.random(in: 1...90_000, using: &generator))
            client.send(chunk)
            rest = rest.dropFirst(chunk.count)
          }
          client.endSending()
        }
        let (received, end) = client.receiveToEnd(chunk: 30_000)
        if received != sent || end != .clean { wrong.add(1) }
        done.add(1)
      }
    }
    #expect(eventually { done.value == 8 })
    #expect(wrong.value == 0)
    #expect(rig.ends(as: .completed, count: 8))
    #expect(rig.counts().received == 8 * 700_000)
    #expect(rig.counts().sent == 8 * 700_000)
  }

  @Test(arguments: ["upload", "download"]) func lastWordsAfterTwelveMegabytesAreDelivered(direction: String) throws {
    let body = noise(12_000_000)
    let lastWords = Array("and these are the last words".utf8)
    let collected = Mutex<([UInt8], TestSocket.End)?>(nil)
    let server = TestServer { socket in
      if direction == "download" {
        socket.send(body)
        socket.send(lastWords)
        // Not even a shutdown: the close alone must not cost a byte.
        socket.close()
      } else {
        let result = socket.receiveToEnd()
        collected.withLock { $0 = result }
      }
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    if direction == "download" {
      let result = client.receiveToEnd()
      collected.withLock { $0 = result }
      client.close()
    } else {
      client.send(body)
      client.send(lastWords)
      client.close()
    }
    #expect(eventually { collected.withLock { $0 != nil } })
    let (bytes, end) = try #require(collected.withLock { $0 })
    #expect(end == .clean)
    #expect(bytes.count == body.count + lastWords.count)
    #expect(bytes == body + lastWords)
    #expect(rig.ends(as: .completed))
  }

  @Test func aClientThatStopsSendingStillReceives() throws {
    let server = TestServer { socket in
      let (request, end) = socket.receiveToEnd()
      socket.send("got \(request.count) and \(end)")
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    client.send(noise(100_000))
    client.endSending()
    let (answer, end) = client.receiveToEnd()
    #expect(String(decoding: answer, as: UTF8.self) == "got 100000 and clean")
    #expect(end == .clean)
    #expect(rig.ends(as: .completed))
  }

  @Test func aServerThatStopsSendingStillReceives() throws {
    let collected = Mutex<[UInt8]?>(nil)
    let server = TestServer { socket in
      socket.send("that is all from me")
      socket.endSending()
      let (bytes, _) = socket.receiveToEnd()
      collected.withLock { $0 = bytes }
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    let (greeting, end) = client.receiveToEnd()
    #expect(String(decoding: greeting, as: UTF8.self) == "that is all from me")
    #expect(end == .clean)
    let late = noise(300_000)
    client.send(late)
    client.close()
    #expect(eventually { collected.withLock { $0 != nil } })
    #expect(collected.withLock { $0 } == late)
    #expect(rig.ends(as: .completed))
    #expect(rig.signals.map(\.kind) == [.closed])
  }

  @Test func aResetByTheServerReachesTheClientAfterTheBytesBeforeIt() throws {
    let server = TestServer { socket in
      _ = socket.receiveExactly(4)
      socket.send("partial")
      _ = socket.receiveExactly(4)
      socket.reset()
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("ping")
    #expect(client.receiveText(7) == "partial")
    client.send("ping")
    #expect(client.receive().end == .reset)
    #expect(rig.ends(as: .resetByBackend))
    #expect(rig.signals == [DataPathSignal(member: MemberKey(group: "app", backend: "a"), kind: .reset)])
  }

  @Test func aResetByTheClientReachesTheServer() throws {
    let end = Mutex<TestSocket.End?>(nil)
    let server = TestServer { socket in
      let result = socket.receiveToEnd()
      end.withLock { $0 = result.end }
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("hello")
    #expect(rig.reaches { $0.received == 5 })
    client.reset()
    #expect(eventually { end.withLock { $0 != nil } })
    #expect(end.withLock { $0 } == .reset)
    #expect(rig.ends(as: .resetByClient))
    #expect(rig.signals.isEmpty)
  }

  /// A server that refuses an upload answers and closes with our bytes unread, which resets the connection behind the answer.
  @Test func anEarlyAnswerIsDeliveredBeforeTheResetBehindIt() throws {
    let server = TestServer { socket in
      _ = socket.receiveExactly(1000)
      socket.send("413 too much")
      socket.close()
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    for _ in 0..<20 {
      let client = try #require(TestSocket(connectingTo: front))
      let upload = noise(1_000_000)
      Threads.start { client.send(upload) }
      let (answer, _) = client.receiveToEnd()
      #expect(String(decoding: answer, as: UTF8.self) == "413 too much")
    }
  }

  /// The error of a broken connection is reported once. When a send gets it, the receive after it reads an end of stream.
  @Test func aResetThatASendNoticesDoesNotLookLikeAnEnd() throws {
    let release = Counter()
    let server = TestServer { socket in
      socket.send("half of an ans")
      _ = eventually { release.value > 0 }
      socket.reset()
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    #expect(client.receiveText(14) == "half of an ans")
    #expect(client.sendUntilStopped() > 0)
    release.add(1)
    #expect(client.receive().end == .reset)
    #expect(rig.ends(as: .resetByBackend))
  }

  @Test func oneByteSlicesArriveInOrder() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    let text = noise(3000)
    Threads.start {
      for byte in text { client.send(CollectionOfOne(byte)) }
      client.endSending()
    }
    var received: [UInt8] = []
    while case (let bytes, nil) = client.receive(1) { received += bytes }
    #expect(received == text)
  }

  /// The sender must be stopped by a receiver that does not read, with memory bounded by one buffer a direction.
  @Test func aReceiverThatDoesNotReadStopsTheSender() throws {
    let release = Counter()
    let collected = Counter()
    let server = TestServer { socket in
      _ = eventually { release.value > 0 }
      collected.add(socket.receiveToEnd().bytes.count)
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    let offered = client.sendUntilStopped()
    let inside = rig.counts()
    // What the proxy took from the client is what fits into the server's receive buffer and our send buffer, and one buffer of ours.
    #expect(inside.received < UInt64(offered))
    #expect(offered < 100_000_000, "the sender was never stopped")
    release.add(1)
    client.endSending()
    #expect(eventually { collected.value == offered })
    #expect(rig.ends(as: .completed))
  }

  @Test func aPoolOfTwoBuffersServesManyConnections() throws {
    let server = TestServer.echo()
    let rig = try Rig { $0.bufferLimit = 2 }
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let (done, right) = (Counter(), Counter())
    for number in 0..<12 {
      Threads.start {
        let sent = noise(400_000, seed: UInt64(number))
        if let client = TestSocket(connectingTo: front) {
          Threads.start {
            client.send(sent)
            client.endSending()
          }
          if client.receiveToEnd().bytes == sent { right.add(1) }
        }
        done.add(1)
      }
    }
    #expect(eventually { done.value == 12 })
    #expect(right.value == 12)
  }

  @Test func aUnixListenerAndAUnixBackendRelay() throws {
    let directory = "/tmp/leba-proxy-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    mkdir(directory, 0o700)
    defer { rmdir(directory) }
    let server = TestServer.echo(on: "unix:\(directory)/back.sock")
    let rig = try Rig()
    let front = try rig.listen(on: "unix:\(directory)/front.sock")
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    let bytes = noise(500_000)
    Threads.start {
      client.send(bytes)
      client.endSending()
    }
    let (received, end) = client.receiveToEnd()
    #expect(received == bytes)
    #expect(end == .clean)
    rig.proxy.close("front")
    #expect(access("\(directory)/front.sock", F_OK) != 0)
    server.stop()
  }

  @Test func anIPv6ListenerAndBackendRelay() throws {
    let server = TestServer.echo(on: "[::1]:0")
    let rig = try Rig()
    let front = try rig.listen(on: "[::1]:0")
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("over six")
    #expect(client.receiveText(8) == "over six")
  }

  @Test func severalWorkersShareOneListener() throws {
    let server = TestServer.echo()
    let rig = try Rig { $0.workers = 3 }
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let clients = try (0..<40).map { _ in try #require(TestSocket(connectingTo: front)) }
    for client in clients {
      client.send("hello")
      #expect(client.receiveText(5) == "hello")
    }
    #expect(rig.counts().accepted == 40)
    #expect(rig.counts().activeByBackend == ["a": 40])
    for client in clients { client.close() }
    #expect(rig.ends(as: .completed, count: 40))
  }
}
