import CLinux
import Glibc
import Model
import Testing

@testable import Proxy

@Suite(.serialized) struct ListenerTests {
  private func specification(_ name: ListenerName, _ address: SocketAddress) -> ListenerSpecification {
    ListenerSpecification(name: name, address: address, group: "app", role: .any, clientSpeaksFirst: false)
  }

  private func error(_ rig: Rig, _ name: ListenerName, _ text: String) -> ListenError? {
    do {
      try rig.proxy.open(specification(name, SocketAddress(text)!))
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [1, 2]) func aTakenPortIsAClearError(workers: Int) throws {
    let server = TestServer.echo()
    let rig = try Rig { $0.workers = workers }
    let problem = try #require(error(rig, "web", server.address.description))
    #expect(problem.reason == .addressInUse)
    #expect(problem.description.contains("listener web: cannot listen on \(server.address): the address is in use"))
    // A proxy that shares its port among its workers does not share it with another proxy.
    let first = try rig.listen("first")
    let other = try Rig { $0.workers = 2 }
    #expect(error(other, "second", first.description)?.reason == .addressInUse)
    // The name is free after a failure.
    _ = try rig.listen("web")
  }

  @Test func otherProblemsAreToldApart() throws {
    let rig = try Rig()
    _ = try rig.listen("front")
    #expect(error(rig, "front", "127.0.0.1:0")?.reason == .nameInUse)
    #expect(error(rig, "a", "192.0.2.1:0")?.reason == .addressNotAvailable)
    #expect(error(rig, "b", "unix:/nonexistent-directory/x.sock")?.reason == .badPath)
    let long = SocketAddress.unix(path: "/tmp/" + String(repeating: "x", count: 120))
    #expect(throws: ListenError.self) { try rig.proxy.open(specification("c", long)) }
  }

  @Test func aStaleSocketFileIsReplacedAndNothingElseIs() throws {
    let directory = "/tmp/leba-listen-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    mkdir(directory, 0o700)
    defer { rmdir(directory) }
    let rig = try Rig()
    // A file that is no socket.
    let file = "\(directory)/file"
    close(creat(file, 0o600))
    #expect(error(rig, "a", "unix:\(file)")?.reason == .pathOccupied)
    unlink(file)
    // A socket somebody answers on.
    let path = "\(directory)/x.sock"
    let (listener, _) = TestServer.listen(on: "unix:\(path)", backlog: 4)
    #expect(error(rig, "a", "unix:\(path)")?.reason == .addressInUse)
    // The same socket after its owner died.
    close(listener)
    let server = TestServer.named("a")
    rig.publish(.init("a", server.address))
    let front = try rig.listen("a", on: "unix:\(path)")
    #expect(try #require(TestSocket(connectingTo: front)).receiveText(1) == "a")
    rig.proxy.close("a")
    #expect(access(path, F_OK) != 0)
    // Somebody else's socket at the path is left alone.
    _ = try rig.listen("a", on: "unix:\(path)")
    unlink(path)
    let (foreign, _) = TestServer.listen(on: "unix:\(path)", backlog: 4)
    rig.proxy.close("a")
    #expect(access(path, F_OK) == 0)
    close(foreign)
    unlink(path)
  }

  @Test func aClosedListenerFreesItsPortAndKeepsItsSessions() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let client = try #require(TestSocket(connectingTo: front))
    client.send("one")
    #expect(client.receiveText(3) == "one")
    for _ in 0..<5 {
      rig.proxy.close("front")
      #expect(TestSocket(connectingTo: front) == nil)
      #expect(try rig.listen(on: front.description) == front)
    }
    client.send("two")
    #expect(client.receiveText(3) == "two")
    let counts = rig.counts()
    #expect(counts.accepted == 1)
    #expect(counts.active == 1)
    // The same name with another route: the old session stays with the old one.
    rig.proxy.close("front")
    let replica = TestServer.named("replica")
    let replicaOnly = Standings(primary: .idle, replica: .serve, any: .idle)
    rig.publish(
      .init("a", server.address, Standings(primary: .serve, replica: .idle, any: .serve)),
      .init("b", replica.address, replicaOnly))
    let moved = try rig.listen(role: .replica)
    #expect(try #require(TestSocket(connectingTo: moved)).receiveText(7) == "replica")
    client.send("six")
    #expect(client.receiveText(3) == "six")
    client.close()
    #expect(rig.ends(as: .completed, count: 2))
  }

  @Test func theConnectionLimitPausesAcceptingAndResumes() throws {
    let server = TestServer.echo()
    let rig = try Rig { $0.connectionLimit = 3 }
    #expect(rig.proxy.connectionLimit == 3)
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    let clients = try (0..<6).map { _ in try #require(TestSocket(connectingTo: front)) }
    for client in clients { client.send("hello") }
    for client in clients.prefix(3) { #expect(client.receiveText(5) == "hello") }
    #expect(rig.counts().accepted == 3)
    #expect(rig.statistics.acceptPauses == 1)
    for client in clients.prefix(3) { client.close() }
    for client in clients.suffix(3) { #expect(client.receiveText(5) == "hello") }
    #expect(rig.counts().accepted == 6)
  }

  @Test func twoThousandConnectionsLeaveNoDescriptorBehind() throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let front = try rig.listen()
    rig.publish(.init("a", server.address))
    func openDescriptors() -> Int {
      guard let directory = opendir("/proc/self/fd") else { return -1 }
      defer { closedir(directory) }
      var count = 0
      while readdir(directory) != nil { count += 1 }
      return count
    }
    let before = openDescriptors()
    for _ in 0..<4 {
      let clients = try (0..<500).map { _ in try #require(TestSocket(connectingTo: front)) }
      for client in clients { client.send("x") }
      for client in clients { #expect(client.receiveText(1) == "x") }
      #expect(rig.counts().active == 500)
      for client in clients { client.close() }
      #expect(rig.reaches { $0.active == 0 })
    }
    #expect(rig.counts().ended == [.completed: 2000])
    // Other suites open and close descriptors meanwhile; ours would be two thousand.
    #expect(eventually { openDescriptors() < before + 200 })
  }
}
