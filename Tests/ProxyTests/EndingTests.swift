import CLinux
import Glibc
import Model
import Testing

@testable import Proxy

/// Either end of a session ends its stream or resets, at every stage of a session: what the other one sees, and what is counted.
@Suite(.serialized) struct EndingTests {
  enum Stage: CaseIterable {
    case beforeAByte
    /// Bytes are under way to an end that reads nothing, and every buffer between is full.
    case pendingToServer, pendingToClient
    case afterTheClientEnded, afterTheServerEnded
  }

  enum Actor: CaseIterable {
    case client, server

    var other: Actor { self == .client ? .server : .client }
  }

  // MARK: While relaying

  @Test(arguments: Stage.allCases, Actor.allCases)
  func `an end is passed on behind every byte, and the other direction goes on`(stage: Stage, actor: Actor) throws {
    var ends = try Ends()
    ends.reach(stage)
    ends[actor].endSending()
    // Whoever has ended already is not ended twice: the first end is what there is to see.
    var received = ends[actor.other].receiveToEnd()
    #expect(received.end == .clean)
    #expect(received.bytes.count == ends.unread(from: actor))
    ends[actor.other].endSending()
    received = ends[actor].receiveToEnd()
    #expect(received.end == .clean)
    #expect(received.bytes.count == ends.unread(from: actor.other))
    #expect(ends.rig.ends(as: .completed))
    #expect(ends.rig.counts().received == UInt64(ends.sent.client))
    #expect(ends.rig.counts().sent == UInt64(ends.sent.server))
  }

  /// A backend that resets before a byte is another story: the next one is asked (RoutingTests).
  @Test(arguments: Stage.allCases, Actor.allCases)
  func `a reset is passed on as a reset`(stage: Stage, actor: Actor) throws {
    if stage == .beforeAByte, actor == .server { return }
    var ends = try Ends()
    ends.reach(stage)
    ends[actor].reset()
    let seen = ends[actor.other].receiveToEnd().end
    let hadEnded = (stage == .afterTheClientEnded && actor == .client) || (stage == .afterTheServerEnded && actor == .server)
    if hadEnded {
      // The end came first, and reading tells of nothing behind it.
      #expect(seen == .clean)
      #expect(eventually { ends[actor.other].isBroken })
    } else {
      #expect(seen == .reset)
    }
    #expect(ends.rig.ends(as: actor == .client ? .resetByClient : .resetByBackend))
    #expect(ends.rig.signals.map(\.kind).contains(.reset) == (actor == .server))
  }

  @Test(arguments: Actor.allCases) func `a reset after both ends changes nothing`(actor: Actor) throws {
    let ends = try Ends()
    ends.client.endSending()
    ends.server.endSending()
    #expect(ends.client.receive().end == .clean)
    #expect(ends.server.receive().end == .clean)
    #expect(ends.rig.ends(as: .completed))
    ends[actor].reset()
    ends[actor.other].close()
    #expect(ends.rig.counts().ended == [.completed: 1])
  }

  // MARK: Before there is a backend

  private enum Act: CaseIterable { case endsItsStream, resets, closes }

  private func perform(_ act: Act, _ client: TestSocket) {
    switch act {
    case .endsItsStream: client.endSending()
    case .resets: client.reset()
    case .closes: client.close()
    }
  }

  @Test func `a client that leaves before it speaks is counted as silent, whichever way it leaves`() throws {
    let rig = try Rig()
    let front = try rig.listen(clientSpeaksFirst: true)
    rig.publish(.init("a", refusingAddress()))
    for (number, act) in Act.allCases.enumerated() {
      let client = try #require(TestSocket(connectingTo: front))
      #expect(rig.reaches { $0.active == 1 })
      perform(act, client)
      #expect(rig.ends(as: .clientSilent, count: UInt64(number + 1)))
      if act == .endsItsStream { #expect(client.receive().end == .clean) }
    }
    #expect(rig.counts().retries.isEmpty)
  }

  @Test(arguments: [false, true]) func `a client that leaves while it is held is forgotten at once, whichever way it leaves`(
    hasSpoken: Bool
  ) throws {
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(hold: .seconds(600))
    for (number, act) in Act.allCases.enumerated() {
      let client = try #require(TestSocket(connectingTo: front))
      if hasSpoken { client.send("hello") }
      #expect(rig.reaches { _ in rig.statistics.held["app"] == 1 })
      perform(act, client)
      #expect(rig.ends(as: .clientLeft, count: UInt64(number + 1)))
    }
    #expect(rig.statistics.held.isEmpty)
    #expect(rig.counts().received == 0, "what a held client says stays in the kernel")
  }

  @Test func `a client that ends its stream during a connect still gets its answer`() throws {
    let silent = Blackhole()
    let server = TestServer { socket in
      let (request, end) = socket.receiveToEnd()
      socket.send("\(request.count) bytes, \(end)")
    }
    let rig = try Rig { $0.connectTimeout = .seconds(300) }
    let front = try rig.listen()
    rig.publish(.init("a", silent.address), hold: .seconds(600))
    let client = try #require(TestSocket(connectingTo: front))
    client.send(noise(5000))
    client.endSending()
    #expect(rig.reaches { $0.activeByBackend == ["a": 1] })
    rig.publish(.init("b", server.address), hold: .seconds(600))
    #expect(client.receiveToEnd() == (Array("5000 bytes, clean".utf8), .clean))
    #expect(rig.ends(as: .completed))
    #expect(rig.counts().retries == [.fenced: 1])
  }
}

/// One session with both of its ends in the hands of the test.
private struct Ends {
  let rig: Rig
  let client: TestSocket
  let server: TestSocket
  private(set) var sent = (client: 0, server: 0)
  /// Of it, what was read on the way to the stage.
  private var read = (client: 0, server: 0)

  init() throws {
    let (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 16)
    defer { close(listener) }
    rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", address))
    client = try #require(TestSocket(connectingTo: front))
    server = try #require(TestSocket(acceptedFrom: listener))
    #expect(rig.reaches { $0.activeByBackend == ["a": 1] })
  }

  subscript(actor: EndingTests.Actor) -> TestSocket {
    switch actor {
    case .client: client
    case .server: server
    }
  }

  /// Bytes of one end that the other one has still to read.
  func unread(from actor: EndingTests.Actor) -> Int {
    switch actor {
    case .client: sent.client - read.client
    case .server: sent.server - read.server
    }
  }

  mutating func reach(_ stage: EndingTests.Stage) {
    switch stage {
    case .beforeAByte: break
    case .pendingToServer:
      sent.client = client.sendUntilStopped()
      #expect(sent.client > BufferPool.size)
    case .pendingToClient:
      sent.server = server.sendUntilStopped()
      #expect(sent.server > BufferPool.size)
    case .afterTheClientEnded:
      sent.client = client.send(noise(1000))
      client.endSending()
      read.client = server.receiveExactly(1000).count
      // The end has arrived too.
      #expect(eventually { server.peekedEnd })
    case .afterTheServerEnded:
      sent.server = server.send(noise(1000))
      server.endSending()
      read.server = client.receiveExactly(1000).count
      #expect(eventually { client.peekedEnd })
    }
  }
}

extension TestSocket {
  /// Whether the end of the stream is what would be read next.
  fileprivate var peekedEnd: Bool { leba_peek(descriptor) == 0 }

  /// Whether the kernel knows an error of it, read or not.
  fileprivate var isBroken: Bool {
    var state = pollfd(fd: descriptor, events: 0, revents: 0)
    return poll(&state, 1, 0) == 1 && state.revents & Int16(POLLERR) != 0
  }
}
