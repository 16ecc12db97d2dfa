import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

@Suite struct PipePoolTests {
  /// The two ends of a connection that does not wait.
  private func ends() -> (Int32, Int32) {
    var ends: (Int32, Int32) = (-1, -1)
    let status = withUnsafeMutablePointer(to: &ends) { ends in
      ends.withMemoryRebound(to: Int32.self, capacity: 2) {
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, $0)
      }
    }
    #expect(status == 0)
    return ends
  }

  private func write(_ text: String, to descriptor: Int32) {
    #expect(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
  }

  private func read(_ descriptor: Int32) -> String {
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  @Test func `pipes are made when needed, bounded, and closed when a burst has passed`() {
    var pool = PipePool(capacity: 6)
    var open = pool.openCount
    #expect(open == 0)
    var taken: [Buffer] = []
    while let pipe = pool.take() { taken.append(pipe) }
    #expect(taken.count == 6 && taken.allSatisfy(\.isPipe))
    #expect(Set(taken.map(\.number)).count == 6)
    open = pool.openCount
    #expect(open == 6)
    for pipe in taken { pool.give(pipe) }
    let hot = pool.take()
    #expect(hot == taken.last, "the hot one first")
    pool.give(taken[5])
    let wasBloated = pool.isBloated
    #expect(wasBloated)
    pool.trim()
    // The first trim learns what is needed: all of it was.
    open = pool.openCount
    #expect(open == 6)
    pool.trim()
    open = pool.openCount
    #expect(open == 1)
    let isBloated = pool.isBloated
    #expect(!isBloated)
  }

  @Test func `bytes come out in order, and those left behind are never seen again`() throws {
    var pool = PipePool(capacity: 1)
    let (source, feed) = ends()
    let (destination, sink) = ends()
    defer { for descriptor in [source, feed, destination, sink] { close(descriptor) } }
    let first = pool.take()
    var pipe = try #require(first)
    var count = pool.fill(pipe, from: source)
    #expect(count == -Int(EAGAIN))
    write("hello", to: feed)
    count = pool.fill(pipe, from: source)
    #expect(count == 5)
    let drained = pool.drain(pipe, to: destination)
    #expect(drained == (5, 0))
    #expect(read(sink) == "hello")
    pool.give(pipe)
    var open = pool.openCount
    #expect(open == 1, "an empty pipe is used again")
    let second = pool.take()
    pipe = try #require(second)
    write("secret", to: feed)
    count = pool.fill(pipe, from: source)
    #expect(count == 6)
    pool.give(pipe)
    open = pool.openCount
    #expect(open == 0)
    let third = pool.take()
    pipe = try #require(third)
    write("new", to: feed)
    count = pool.fill(pipe, from: source)
    #expect(count == 3)
    _ = pool.drain(pipe, to: destination)
    #expect(read(sink) == "new")
    shutdown(feed, Int32(SHUT_WR))
    count = pool.fill(pipe, from: source)
    #expect(count == 0)
    // The last pipe closes with its pool.
    pool.give(pipe)
  }
}

/// A worker whose engine is a script: what it asks for once much has come, and what it does about bytes in a pipe.
@Suite struct PipedRelayTests {
  private struct Host: ~Copyable {
    var worker: Worker<ScriptedEngine>
    let client: Token
    let upstream: Token

    /// With one session, which relays.
    init() throws {
      let settings = WorkerSettings(
        sessionLimit: 4, bufferLimit: 4, heldLimit: 4, connectTimeout: .seconds(1), demotedDeadline: .seconds(1))
      var worker = try Worker<ScriptedEngine>(settings: settings, mailbox: Mailbox(), now: .zero, onSignal: { _ in })
      let address = SocketAddress.ip(.v4(0x7F00_0001), port: 1)
      let listener = ListenerSpecification(name: "front", address: address, group: "app", role: .any, clientSpeaksFirst: false)
      #expect(worker.addListener(listener, ListeningSocket(descriptor: leba_stream_socket(AF_INET))) == nil)
      Self.publish(.serve, to: &worker)
      worker.engine.completions.append(.accepted(worker.listenerToken(0), descriptor: leba_stream_socket(AF_INET)))
      worker.pass()
      let client = try #require(worker.engine.clients.first)
      let upstream = try #require(worker.engine.connects.first).token
      worker.engine.completions.append(.connected(upstream))
      worker.pass()
      self.worker = worker
      self.client = client
      self.upstream = upstream
    }

    static func publish(_ standing: Standing, to worker: inout Worker<ScriptedEngine>) {
      let member = MemberRoute(
        backend: "a", address: .ip(.v4(0x7F00_0001), port: 1), weight: 1, standing: Standings(all: standing))
      let group = GroupRoute(
        name: "app", balance: .roundRobin, holdTimeout: .seconds(10), drainTimeout: .seconds(10), members: [member])
      _ = worker.mailbox.post(.apply(RoutingChange(generation: 1, changed: [group])))
      worker.pass()
    }

    mutating func pass(at milliseconds: Int = 0, _ completions: Completion...) {
      worker.engine.time = .zero + .milliseconds(milliseconds)
      worker.engine.completions += completions
      worker.pass()
    }

    /// As much from the upstream as makes the next receive one into a pipe.
    mutating func startPiping() {
      for _ in 0..<Flow.largeReceivesBeforePipe {
        #expect(worker.engine.receivesIntoPipe.isEmpty)
        worker.engine.arrive(BufferPool.size, on: upstream)
        worker.pass()
      }
      #expect(worker.engine.receivesIntoPipe == [upstream])
    }
  }

  private let pipe = Buffer(pipe: 3)

  @Test func `once much came in a row the bytes go through pipes, until little comes`() throws {
    var host = try Host()
    host.startPiping()
    host.pass(.received(host.upstream, pipe, count: 200_000))
    #expect(host.worker.engine.sendsFromPipe == [host.client])
    host.pass(.sent(host.client, count: 150_000))
    #expect(host.worker.engine.sendsFromPipe == [host.client, host.client], "the rest is offered again")
    #expect(host.worker.engine.recycledPipes.isEmpty)
    host.pass(.sent(host.client, count: 50_000))
    #expect(host.worker.engine.recycledPipes == [pipe])
    #expect(host.worker.engine.receivesIntoPipe.count == 2)
    host.pass(.received(host.upstream, pipe, count: 100), .sent(host.client, count: 100))
    #expect(host.worker.engine.receivesIntoPipe.count == 2, "little came: the next is a plain receive")
    let counts = host.worker.statistics().listeners[0]
    #expect(counts.sent == UInt64(Flow.largeReceivesBeforePipe) * UInt64(BufferPool.size) + 200_100)
  }

  @Test func `bytes in a pipe keep a session from counting as quiet`() throws {
    var host = try Host()
    host.startPiping()
    host.pass(.received(host.upstream, pipe, count: 200_000))
    Host.publish(.demoted, to: &host.worker)
    host.pass(at: 500)
    #expect(host.worker.engine.clients.count == 1)
    // It has been silent for longer than quiet takes, but a close now would lose them. At the deadline it is a reset.
    host.pass(at: 1000)
    #expect(host.worker.engine.clients.isEmpty)
    #expect(host.worker.engine.recycledPipes == [pipe])
    #expect(host.worker.statistics().listeners[0].ended[Outcome.demoted.ordinal] == 1)
  }

  @Test func `a client that resets while bytes for it are in a pipe ends the session, and the pipe goes back once`() throws {
    var host = try Host()
    host.startPiping()
    host.pass(.received(host.upstream, pipe, count: 200_000), .sendFailed(host.client, errno: EPIPE))
    #expect(host.worker.engine.clients.isEmpty && host.worker.engine.connects.isEmpty)
    #expect(host.worker.engine.recycledPipes == [pipe])
    #expect(host.worker.statistics().listeners[0].ended[Outcome.resetByClient.ordinal] == 1)
  }

  @Test func `an upload that the upstream refuses gives its pipe back and leaves the early answer to be read`() throws {
    var host = try Host()
    host.worker.engine.arrive(100, on: host.upstream)
    host.worker.pass()
    for _ in 0..<Flow.largeReceivesBeforePipe {
      host.worker.engine.arrive(BufferPool.size, on: host.client)
      host.worker.pass()
    }
    #expect(host.worker.engine.receivesIntoPipe == [host.client])
    host.pass(.received(host.client, pipe, count: 100_000), .sendFailed(host.upstream, errno: ECONNRESET))
    #expect(host.worker.engine.recycledPipes == [pipe])
    #expect(host.worker.engine.clients.count == 1)
    host.pass(.ended(host.upstream))
    #expect(host.worker.engine.clients.isEmpty)
    #expect(host.worker.statistics().listeners[0].ended[Outcome.resetByBackend.ordinal] == 1)
    #expect(host.worker.engine.recycledPipes == [pipe], "not twice")
  }
}

/// Large flows through a running proxy. Small socket buffers and readers that dawdle keep bytes in pipes.
@Suite struct LargeFlowRelayTests {
  private static let everything = noise(4_000_000)
  private static let streamSize = 3_000_000

  /// Another one for each number.
  private static func stream(_ number: UInt64) -> [UInt8] {
    Array(everything.dropFirst(Int(number) * 7919).prefix(streamSize))
  }

  /// Reads in pieces of any size, some of them late: whether every byte is its stream's.
  private static func follows(_ socket: TestSocket, _ number: UInt64) -> Bool {
    let bytes = stream(number)
    var generator = SeededGenerator(seed: number)
    var place = 0
    while true {
      let (piece, end) = socket.receive(Int.random(in: 1...200_000, using: &generator))
      if let end { return end == .clean && place == bytes.count }
      let isRight = bytes.withUnsafeBytes { memcmp($0.baseAddress! + place, piece, min(piece.count, $0.count - place)) == 0 }
      guard isRight, place + piece.count <= bytes.count else { return false }
      place += piece.count
      if Int.random(in: 0..<16, using: &generator) == 0 { usleep(2000) }
    }
  }

  /// Both directions at once, many connections at once, every byte its own.
  private func streams(on front: String, to back: String, pipes: Int, count: Int) throws {
    let (right, done) = (Counter(), Counter())
    let server = TestServer(on: back) { socket in
      // The client says first which stream is its.
      guard let number = socket.receiveExactly(1).first.map(UInt64.init) else { return }
      Threads.start {
        socket.send(Self.stream(number + 64))
        socket.endSending()
      }
      if Self.follows(socket, number) { right.add(1) }
      done.add(1)
    }
    defer { server.stop() }
    let rig = try Rig { $0.pipeLimit = pipes }
    let front = try rig.listen(on: front)
    rig.publish(.init("a", server.address))
    for number in 0..<count {
      Threads.start {
        if let client = TestSocket(connectingTo: front, receiveBuffer: 100_000) {
          Threads.start {
            client.send([UInt8(number)] + Self.stream(UInt64(number)))
            client.endSending()
          }
          if Self.follows(client, UInt64(number) + 64) { right.add(1) }
        }
        done.add(1)
      }
    }
    #expect(eventually(within: 60) { done.value == 2 * count })
    #expect(right.value == 2 * count)
    #expect(rig.ends(as: .completed, count: UInt64(count)))
    #expect(rig.counts().received == UInt64(count * (Self.streamSize + 1)))
    #expect(rig.counts().sent == UInt64(count * Self.streamSize))
  }

  @Test(arguments: [0, 1, 3, 64]) func `every byte arrives, however few pipes there are`(pipes: Int) throws {
    try streams(on: "127.0.0.1:0", to: "127.0.0.1:0", pipes: pipes, count: 8)
  }

  @Test func `unix sockets can too`() throws {
    let directory = "/tmp/leba-pipes-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    mkdir(directory, 0o700)
    defer { rmdir(directory) }
    try streams(on: "unix:\(directory)/front.sock", to: "unix:\(directory)/back.sock", pipes: 4, count: 4)
  }

  /// Of a length that nothing else here is a multiple of, so that bytes from elsewhere are noticed.
  private static let block = noise(1_000_003)

  private static func body(_ count: Int) -> [UInt8] {
    var body: [UInt8] = []
    while body.count < count { body += block }
    return Array(body[..<count])
  }

  /// Sends the block again and again for as long as anybody takes it.
  private static func endless() -> TestServer {
    TestServer { socket in while socket.send(block) == block.count {} }
  }

  /// A download that its client stopped to read, with bytes everywhere on the way, the pipe among it.
  private func stalledDownload(_ rig: Rig, _ front: SocketAddress) throws -> TestSocket {
    let client = try #require(TestSocket(connectingTo: front, receiveBuffer: 50_000))
    _ = client.receiveExactly(5_000_000)
    return client
  }

  @Test func `a client that leaves in the middle ends its session, and nobody else sees its bytes`() throws {
    let server = Self.endless()
    let rig = try Rig { $0.pipeLimit = 1 }
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    for round in 1...5 {
      let client = try stalledDownload(rig, front)
      client.reset()
      #expect(rig.ends(as: .resetByClient, count: UInt64(round)))
    }
    let client = try #require(TestSocket(connectingTo: front))
    let isOwn = client.receiveExactly(20_000_000) == Self.body(20_000_000)
    #expect(isOwn)
  }

  @Test func `a backend that resets in the middle of a download is not taken for its end`() throws {
    let release = Counter()
    let server = TestServer { socket in
      _ = socket.sendUntilStopped()
      _ = eventually { release.value > 0 }
      socket.reset()
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try stalledDownload(rig, front)
    release.add(1)
    #expect(client.receiveToEnd().end == .reset)
    #expect(rig.ends(as: .resetByBackend))
  }

  @Test func `an end behind bytes in a pipe comes after them`() throws {
    let body = Self.body(30_000_000)
    let server = TestServer { socket in
      socket.send(body)
      socket.close()
    }
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front, receiveBuffer: 50_000))
    let start = client.receiveExactly(5_000_000)
    let (rest, end) = client.receiveToEnd()
    #expect(end == .clean)
    let isWhole = start + rest == body
    #expect(isWhole)
    client.close()
    #expect(rig.ends(as: .completed))
  }

  @Test func `a dead backend's stalled downloads are reset, and pipes serve those who come after`() throws {
    let (a, b) = (Self.endless(), Self.endless())
    let rig = try Rig { $0.pipeLimit = 2 }
    let front = try rig.listen()
    rig.publish(.init("a", a.address))
    let clients = try (0..<4).map { _ in try stalledDownload(rig, front) }
    rig.publish(.init("a", a.address, Standings(all: .dead)), .init("b", b.address))
    #expect(rig.ends(as: .backendLost, count: 4))
    for client in clients { #expect(client.receiveToEnd().end == .reset) }
    let client = try #require(TestSocket(connectingTo: front))
    let isOwn = client.receiveExactly(20_000_000) == Self.body(20_000_000)
    #expect(isOwn)
  }
}
