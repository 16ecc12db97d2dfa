import Glibc
import Model
import Synchronization
import TestSupport
import Testing

@testable import Discovery

private let v4: [UInt8] = [192, 0, 2, 1]
private let one = IPAddress.v4(0xC000_0201)

private final class SharedFlag: Sendable {
  private let flag = Mutex(false)
  var value: Bool { flag.withLock { $0 } }
  func set(_ value: Bool) { flag.withLock { $0 = value } }
}

/// The processor time of the thread that reads it.
private final class ThreadClock: Sendable {
  private let values = Mutex<[(at: Instant, cpu: Instant)]>([])
  var readings: [(at: Instant, cpu: Instant)] { values.withLock { $0 } }

  func read() {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    let cpu = Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    values.withLock { $0.append((ResolverLoop.now(), cpu)) }
  }
}

/// What happens over time, and what the host adds.
@Suite struct DiscoveryLifeTests {
  // MARK: When

  @Test func theTTLIsRespected() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: $0.name == "short.example" ? 1 : 60)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("short.example", "long.example")
    try eventually("four lookups") { watcher.lookups("short.example") >= 4 }
    let times = server.queries.filter { $0.name == "short.example" && $0.type == .a }.map(\.at)
    for (before, after) in zip(times, times.dropFirst()) { #expect(after - before >= .seconds(1)) }
    #expect(server.queries.filter { $0.name == "long.example" }.count == 2)
    #expect(watcher.lookups("long.example") == 1)
  }

  @Test func aTTLOfZeroIsHarmless() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 0)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    try eventually("three lookups") { watcher.lookups >= 3 }
    let times = server.queries.filter { $0.type == .a }.map(\.at)
    for (before, after) in zip(times, times.dropFirst()) { #expect(after - before >= .seconds(1)) }
  }

  @Test func aFloodOfWishesIsOneLookupASecond() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 3600)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", "b.example")
    try eventually("the first answers") { watcher.lookups == 2 }
    let started = server.queries[0].at
    try eventually("two more lookups") {
      for _ in 0..<1000 { watcher.discovery.refresh("a.example") }
      watcher.discovery.refresh("unknown.example")
      return watcher.lookups("a.example") >= 3
    }
    // Each began a second after the one before; the first may have begun a little before its query was seen.
    let lookups = watcher.lookups("a.example")
    #expect(started.duration(to: .now) >= .milliseconds(1000 * (lookups - 1) - 500))
    #expect(server.queries.filter { $0.name == "a.example" }.count <= 2 * (lookups + 1))
    #expect(watcher.lookups("b.example") == 1)
    watcher.discovery.refresh(nil)
    try eventually("the other name") { watcher.lookups("b.example") == 2 }
  }

  @Test func aThousandNamesAreSpread() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 3600)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.discovery.watch((0..<1000).map { DomainSpecification(domain: DomainName("n\($0).example")) })
    try eventually("three hundred answers") { watcher.lookups >= 300 }
    let queries = server.queries
    let first = try #require(queries.first?.at)
    // Two hundred at once, two hundred a second, and fifty for a machine that was slow to see the first.
    let tooEarly = queries.enumerated().filter { $1.at - first < .milliseconds(($0 - 250) * 5) }
    #expect(tooEarly.isEmpty)
  }

  /// More questions without an answer than may be open at once: if the ended ones stayed, the last names would never be asked.
  @Test func unansweredQuestionsDoNotPileUp() throws {
    let server = try ProgrammableDNSServer { _ in [] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .milliseconds(20))
    defer { watcher.discovery.stop() }
    let names = (0..<60).map { DomainName("n\($0).example") }
    #expect(names.count * 6 > ResolverLoop.maximumQuestions)
    watcher.discovery.watch(names.map { DomainSpecification(domain: $0) })
    try eventually("every name's lookup") { names.allSatisfy { watcher.lookups($0) > 0 } }
    #expect(watcher.notices.filter { $0.kind == .lookupFailed }.count == NoticeLimiter.perKind)
  }

  // MARK: Which

  @Test func removedNamesAreForgottenAndNewOnesAskedAtOnce() throws {
    let server = try ProgrammableDNSServer { $0.name == "silent.example" ? [] : [$0.answer([v4])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", "silent.example")
    _ = try watcher.outcome("a.example")
    watcher.watch("b.example")
    _ = try watcher.outcome("b.example")
    #expect(watcher.discovery.status().map(\.domain) == ["b.example"])
    #expect(watcher.outcomes("silent.example") == [])
    watcher.watch("a.example", "b.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
    #expect(watcher.lookups("b.example") == 1, "a name that stays is not asked for again")
  }

  @Test func aForgottenNamesLookupEnds() throws {
    let server = try ProgrammableDNSServer { _ in [] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .milliseconds(20), retries: 5)
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    try eventually("the first try") { server.queries.count >= 2 }
    watcher.discovery.watch([])
    try eventually("it is forgotten") { watcher.discovery.status() == [] }
    let before = server.queries.count
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .failed(.timedOut))
    // Six tries of two families, and a pair that was on its way; the tries of the first lookup would come on top.
    #expect(server.queries.count <= before + 12 + 2)
    #expect(watcher.outcomes("a.example").count == 1)
  }

  @Test func wrongNamesFailAndAreNamed() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("not a name", "10.0.0.256", "", "good.example")
    for name: DomainName in ["not a name", "10.0.0.256", ""] {
      #expect(try watcher.outcome(name) == .failed(.other))
      #expect(watcher.notices.contains { $0.kind == .badName && $0.domain == name })
    }
    #expect(try watcher.outcome("good.example") == .addresses([one]))
    #expect(Set(server.queries.map(\.name)) == ["good.example"])
  }

  @Test func literalsNeedNoServer() throws {
    let watcher = try Watcher(servers: [])
    defer { watcher.discovery.stop() }
    watcher.watch("192.0.2.1", "2001:db8::1", "127.0.0.1")
    #expect(try watcher.outcome("192.0.2.1") == .addresses([one]))
    #expect(try watcher.outcome("2001:db8::1") == .addresses([.v6(IPv6Number(0x2001_0DB8 << 96 | 1))]))
    #expect(try watcher.outcome("127.0.0.1") == .failed(.allRefused))
    #expect(try watcher.status("192.0.2.1").source == .literal)
  }

  // MARK: The filter

  @Test func refusedAddressesAreLeftOutCountedAndNamed() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4, [127, 0, 0, 1], [169, 254, 169, 254]])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
    let status = try watcher.status("a.example")
    #expect(status.refusedTotal == 2)
    #expect(status.refused.map(\.reason) == ["loopback", "link-local"])
    try eventually("the notice") { watcher.notices.contains { $0.kind == .addressesRefused } }
  }

  @Test func allRefusedIsAFailureThatKeepsTheLastSet() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 0)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], minimumTTL: .milliseconds(100))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    _ = try watcher.outcome("a.example")
    server.behave { $0.type == .a ? [$0.answer([[127, 0, 0, 1]])] : [$0.code(2)] }
    try eventually("the refusal") { watcher.outcomes("a.example").last == .failed(.allRefused) }
    #expect(try watcher.status("a.example").addresses == [one])
  }

  @Test func allowedRangesAndOwnListeners() throws {
    let server = try ProgrammableDNSServer { [$0.answer([[127, 0, 0, 1], [127, 0, 0, 2]])] }
    defer { server.stop() }
    let watcher = try Watcher(
      servers: [server.socketAddress], ownListeners: [try #require(SocketAddress("127.0.0.1:5432"))], allowed: ["127.0.0.0/8"])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", ports: [5432])
    #expect(try watcher.outcome("a.example") == .addresses([.v4(0x7F00_0002)]))
    watcher.watch("a.example", ports: [80])
    try eventually("the other port") { watcher.outcomes("a.example").last == .addresses([.v4(0x7F00_0001), .v4(0x7F00_0002)]) }
  }

  /// The address is looked up and refused, and never contacted.
  @Test func wildcardListenersOwnTheHostsAddresses() throws {
    let host = LocalAddresses.read()
    #expect(host.contains(.v4(0x7F00_0001)))
    // One that is not known by its range, where this host has one.
    var own: UInt32 = 0x7F00_0001
    for case .v4(let value) in host where value >> 24 != 127 { own = value }
    let bytes = withUnsafeBytes(of: own.bigEndian) { Array($0) }
    let server = try ProgrammableDNSServer { [$0.answer([bytes])] }
    defer { server.stop() }
    let watcher = try Watcher(
      servers: [server.socketAddress], ownListeners: [try #require(SocketAddress("0.0.0.0:5432"))], allowed: ["0.0.0.0/0"])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", ports: [5432])
    #expect(try watcher.outcome("a.example") == .failed(.allRefused))
    #expect(try watcher.status("a.example").refused.map(\.reason) == ["own listener"])
  }

  // MARK: The host's files

  private func write(_ text: String, to path: String) throws {
    // As the host's own tools do: a new file in the old one's place.
    guard let file = fopen(path + ".new", "w") else { throw TestFailure("fopen: \(errno)") }
    fputs(text, file)
    fclose(file)
    guard rename(path + ".new", path) == 0 else { throw TestFailure("rename: \(errno)") }
  }

  private func temporaryDirectory() throws -> String {
    var template = Array("/tmp/discovery-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure("mkdtemp: \(errno)") }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func remove(_ directory: String) {
    for name in ["r", "h", "r.new", "h.new", "link"] { unlink(directory + "/" + name) }
    rmdir(directory)
  }

  @Test func theHostsFileIsReadForPlainNamesAndWatched() throws {
    let directory = try temporaryDirectory()
    defer { remove(directory) }
    try write("192.0.2.1 db db.example\n127.0.0.1 localhost\n", to: directory + "/h")
    let server = try ProgrammableDNSServer { [$0.answer([[192, 0, 2, 99]])] }
    defer { server.stop() }
    let watcher = try Watcher(
      servers: [server.socketAddress], files: SystemFiles.Paths(resolverConfiguration: directory + "/r", hosts: directory + "/h"),
      allowed: ["127.0.0.0/8", "::1/128"])
    defer { watcher.discovery.stop() }
    watcher.watch("db", "db.example", "other", "localhost", "x.localhost")
    #expect(try watcher.outcome("db") == .addresses([one]))
    #expect(try watcher.outcome("db.example") == .addresses([.v4(0xC000_0263)]), "a full name is for DNS")
    #expect(try watcher.outcome("other") == .addresses([.v4(0xC000_0263)]))
    #expect(try watcher.outcome("localhost") == .addresses([.v4(0x7F00_0001)]))
    #expect(try watcher.outcome("x.localhost") == .addresses([.v4(0x7F00_0001), .v6(1)]))
    #expect(Set(server.queries.map(\.name)) == ["db.example", "other"])
    #expect(try watcher.status("db").source == .hostsFile)
    try write("192.0.2.7 db\n", to: directory + "/h")
    try eventually("the new address") { watcher.outcomes("db").last == .addresses([.v4(0xC000_0207)]) }
  }

  @Test func aHostsFileThatComesLaterIsSeen() throws {
    let directory = try temporaryDirectory()
    defer { remove(directory) }
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 3600)] }
    defer { server.stop() }
    let watcher = try Watcher(
      servers: [server.socketAddress], files: SystemFiles.Paths(resolverConfiguration: directory + "/r", hosts: directory + "/h"))
    defer { watcher.discovery.stop() }
    watcher.watch("db")
    #expect(try watcher.outcome("db") == .addresses([one]))
    try write("192.0.2.7 db\n", to: directory + "/h")
    try eventually("the new address") { watcher.outcomes("db").last == .addresses([.v4(0xC000_0207)]) }
  }

  /// The way of systemd-resolved: a link into another directory, where the file comes and goes.
  @Test func theTargetOfALinkIsWatched() throws {
    let (links, targets) = (try temporaryDirectory(), try temporaryDirectory())
    defer {
      remove(links)
      remove(targets)
    }
    try write("192.0.2.7 db\n", to: targets + "/h")
    #expect(symlink(targets + "/h", links + "/link") == 0)
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 3600)] }
    defer { server.stop() }
    let watcher = try Watcher(
      servers: [server.socketAddress], files: SystemFiles.Paths(resolverConfiguration: links + "/r", hosts: links + "/link"))
    defer { watcher.discovery.stop() }
    watcher.watch("db")
    #expect(try watcher.outcome("db") == .addresses([.v4(0xC000_0207)]))
    unlink(targets + "/h")
    try eventually("the answer of DNS") { watcher.outcomes("db").last == .addresses([one]) }
    try write("192.0.2.8 db\n", to: targets + "/h")
    try eventually("the new address") { watcher.outcomes("db").last == .addresses([.v4(0xC000_0208)]) }
  }

  /// A server of resolv.conf has no port of its own, so this test needs port 53 of an address nobody else uses.
  @Test func resolvConfIsReadAndWatched() throws {
    let directory = try temporaryDirectory()
    defer { remove(directory) }
    let files = SystemFiles.Paths(resolverConfiguration: directory + "/link", hosts: directory + "/h")
    #expect(symlink(directory + "/r", directory + "/link") == 0)
    let watcher = try Watcher(servers: [], files: files)
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .failed(.noServer))
    let notice = try #require(watcher.notices.first { $0.kind == .noServers })
    #expect(notice.severity == .error)
    #expect(notice.text.contains(directory + "/link"))
    #expect(try watcher.status("a.example").part("A")?.server == nil, "127.0.0.1 is not asked in its place")
    // TEST-NET-1 on loopback's port 53: refused or unreachable, but asked.
    try write("nameserver 127.99.98.97\n", to: directory + "/r")
    try eventually("the new server") { try watcher.status("a.example").part("A")?.server == SocketAddress("127.99.98.97:53") }
    // An empty file leaves the server in use.
    try write("# nothing\n", to: directory + "/r")
    try write("nameserver 127.99.98.96\n", to: directory + "/r")
    try eventually("the next server") { try watcher.status("a.example").part("A")?.server == SocketAddress("127.99.98.96:53") }
    #expect(watcher.notices.contains { $0.kind == .serversChanged })
  }

  // MARK: Beginning and end

  @Test func theThreadSleepsBetweenLookups() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 1)] }
    defer { server.stop() }
    let thread = ThreadClock()
    let discovery = try Discovery(
      settings: ResolverSettings(servers: [server.socketAddress]), ownListeners: [], seed: 1,
      onUpdate: { _ in thread.read() }, onNotice: { _ in })
    defer { discovery.stop() }
    try discovery.start()
    discovery.watch([DomainSpecification(domain: "a.example")])
    for _ in 0..<10 { discovery.refresh(nil) }
    try eventually("three lookups") { thread.readings.count >= 3 }
    let (first, last) = (thread.readings[0], thread.readings[2])
    // Two seconds with a few milliseconds of work; a thread that spins takes what it can get.
    #expect((last.cpu - first.cpu).seconds < (last.at - first.at).seconds / 10)
  }

  @Test func stopEndsTheThreadInTheMiddleOfLookups() throws {
    let server = try ProgrammableDNSServer { _ in [] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .seconds(60))
    watcher.discovery.watch((0..<20).map { DomainSpecification(domain: DomainName("\($0).example"), lookupTimeout: .seconds(60)) })
    try eventually("queries") { server.queries.count >= 10 }
    watcher.discovery.stop()
    watcher.discovery.stop()
    #expect(watcher.updates == [])
  }

  @Test func stopWaitsForARunningCallback() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { server.stop() }
    let isRunning = SharedFlag()
    let discovery = try Discovery(
      settings: ResolverSettings(servers: [server.socketAddress]), ownListeners: [], seed: 1,
      onUpdate: { _ in
        isRunning.set(true)
        usleep(100_000)
        isRunning.set(false)
      }, onNotice: { _ in })
    try discovery.start()
    discovery.watch([DomainSpecification(domain: "a.example")])
    try eventually("the callback") { isRunning.value }
    discovery.stop()
    #expect(!isRunning.value)
  }

  @Test func nothingHappensAfterStopOrBeforeStart() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { server.stop() }
    let discovery = try Discovery(
      settings: ResolverSettings(servers: [server.socketAddress]), ownListeners: [], seed: 1, onUpdate: { _ in }, onNotice: { _ in }
    )
    discovery.watch([DomainSpecification(domain: "a.example")])
    #expect(discovery.status() == [])
    discovery.stop()
    try discovery.start()
    discovery.refresh(nil)
    #expect(server.queries.isEmpty)
  }

  @Test func stopMayBeCalledFromACallback() throws {
    final class Holder: Sendable {
      let discovery = Mutex<Discovery?>(nil)
    }
    let server = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { server.stop() }
    let holder = Holder()
    let isStopped = SharedFlag()
    let discovery = try Discovery(
      settings: ResolverSettings(servers: [server.socketAddress]), ownListeners: [], seed: 1,
      onUpdate: { _ in
        // The last reference, too: it is dropped on the very thread that it would wait for.
        let discovery = holder.discovery.withLock { $0.take() }
        discovery?.stop()
        isStopped.set(true)
      }, onNotice: { _ in })
    try discovery.start()
    holder.discovery.withLock { $0 = discovery }
    discovery.watch([DomainSpecification(domain: "a.example")])
    try eventually("the callback") { isStopped.value }
  }

  /// Descriptors come back: of the discovery itself and of every question it asked.
  @Test func nothingIsLeftOpen() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { server.stop() }
    for _ in 0..<300 {
      let watcher = try Watcher(servers: [server.socketAddress])
      watcher.watch("a.example")
      _ = try watcher.outcome("a.example")
      watcher.discovery.stop()
    }
    // The lowest free number: three or more a turn would have made it nine hundred.
    let free = dup(0)
    close(free)
    #expect(free < 600)
  }
}
