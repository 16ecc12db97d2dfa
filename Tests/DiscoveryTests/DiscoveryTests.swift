import Glibc
import Model
import Synchronization
import TestSupport
import Testing

@testable import Discovery

private let v4: [UInt8] = [192, 0, 2, 1]
private let v4b: [UInt8] = [192, 0, 2, 2]
private let v6: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
private let one = IPAddress.v4(0xC000_0201)
private let two = IPAddress.v4(0xC000_0202)
private let six = IPAddress.v6(IPv6Number(0x2001_0DB8 << 96 | 1))

/// The driver against real sockets.
@Suite struct DiscoveryTests {
  // MARK: Answers

  @Test func bothFamiliesAreAskedAndMerged() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4b, v4, v6])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one, two, six]))
    #expect(Set(server.queries.map(\.type)) == [.a, .aaaa])
    #expect(server.queries.count == 2)
    #expect(
      server.queries.allSatisfy { $0.hasOptions && $0.name == "a.example" && $0.bytes[2] & 1 == 1 }, "EDNS, recursion desired")
    let status = try watcher.status("a.example")
    #expect(status.part("A")?.server == server.socketAddress)
    #expect(status.lastOutcome == .answer)
    #expect(status.addresses == [one, two, six])
    #expect((status.nextLookup - ResolverLoop.now()) > .seconds(50))
  }

  @Test func anIPv6ServerIsAsked() throws {
    let server = try ProgrammableDNSServer("::1") { [$0.answer([v4])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
  }

  @Test func everyQuestionHasAPortAndAnIDOfItsOwn() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.discovery.watch((0..<20).map { DomainSpecification(domain: DomainName("\($0).example")) })
    try eventually("all answers") { watcher.lookups == 20 }
    #expect(Set(server.queries.map(\.port)).count > 30)
    #expect(Set(server.queries.map(\.id)).count > 30)
  }

  @Test func aTruncatedAnswerIsFetchedOverTCP() throws {
    let many = (0..<60).map { [10, 0, 0, UInt8($0)] as [UInt8] }
    let server = try ProgrammableDNSServer { query in
      query.transport == .tcp ? [query.answer(many)] : [query.answer([v4], flags: 0x8380)]
    }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses(many.map { .v4(0x0A00_0000 + UInt32($0[3])) }))
  }

  /// Several at once: before 1.20, c-ares breaks the second TCP query of a channel.
  @Test func truncatedAnswersOfManyNamesAreFetchedTogether() throws {
    let server = try ProgrammableDNSServer { query in
      query.transport == .tcp ? [query.answer([v4, v6])] : [query.answer([v4, v6], flags: 0x8380)]
    }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .seconds(2))
    defer { watcher.discovery.stop() }
    let names = (0..<8).map { DomainName("\($0).example") }
    watcher.discovery.watch(names.map { DomainSpecification(domain: $0, lookupTimeout: .seconds(20)) })
    for name in names { #expect(try watcher.outcome(name) == .addresses([one, six])) }
  }

  @Test func aServerWithoutEDNSIsAskedWithoutIt() throws {
    let server = try ProgrammableDNSServer { $0.hasOptions ? [$0.code(1)] : [$0.answer([v4, v6])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one, six]))
  }

  @Test func forgedAnswersAreNotBelieved() throws {
    let evil: [UInt8] = [192, 0, 2, 66]
    let server = try ProgrammableDNSServer { query in
      [
        query.answer([evil]).withID(query.id ^ 0x55), query.named("b.example").answer([evil]),
        query.answer([evil]).fromAnotherPort(), query.answer([v4]),
      ]
    }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
  }

  /// c-ares 1.18 waits on, later ones give up; both are right.
  @Test func noiseIsNoAnswer() throws {
    let server = try ProgrammableDNSServer { [[], [1, 2, 3], $0.answer([v4])] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    switch try watcher.outcome("a.example") {
    case .answer(let endpoints): #expect(endpoints.map(\.address) == [one])
    case .empty: Issue.record("noise denies nothing")
    case .failed: break
    }
  }

  // MARK: Denials and failures

  @Test func aNameThatDoesNotExistIsEmpty() throws {
    let server = try ProgrammableDNSServer { query in
      [query.noSuchName(ttl: 900, minimum: 3)]
    }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .empty)
    let status = try watcher.status("a.example")
    #expect(status.part("A")?.detail == "NXDOMAIN")
    let wait = status.nextLookup - (status.lastLookupEnded ?? .zero)
    #expect(wait >= .milliseconds(2700) && wait <= .milliseconds(3300), "the SOA's three seconds, \(wait)")
  }

  @Test func noDataIsEmpty() throws {
    let server = try ProgrammableDNSServer { [$0.answer()] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .empty)
    #expect(try watcher.status("a.example").part("A")?.detail == "NODATA")
  }

  @Test(arguments: [(2, .serverFailure), (5, .refused), (4, .other), (9, .other)] as [(UInt16, DNSFailure)])
  func codesStayApart(code: UInt16, failure: DNSFailure) throws {
    let server = try ProgrammableDNSServer { [$0.code(code)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .failed(failure))
    #expect(server.queries.count == 2, "an error is not asked for twice")
    #expect(try watcher.status("a.example").lookups == [.failed(failure): 1])
    #expect(watcher.notices.map(\.kind) == [.lookupFailed])
  }

  @Test func aMalformedAnswerIsAFailure() throws {
    let server = try ProgrammableDNSServer { query in
      let good = query.answer([v4, v6])
      return [good.cut(to: good.bytes.count - 3)]
    }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .failed(.malformed))
  }

  @Test func silenceIsATimeoutAndTheServersReturnIsNoticed() throws {
    let server = try ProgrammableDNSServer { _ in [] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .milliseconds(50))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .failed(.timedOut))
    #expect(server.queries.count == 6, "three tries of two families")
    #expect(Set(server.queries.map(\.port)).count == 6, "each from another port")
    server.behave { [$0.answer([v4])] }
    try eventually("an answer") { watcher.outcomes("a.example").last == .addresses([one]) }
    #expect(watcher.notices.map(\.kind) == [.lookupFailed, .lookupRecovered])
    #expect(try watcher.status("a.example").consecutiveFailures == 0)
  }

  @Test func theDeadlineOfTheLookupHoldsOverAllTries() throws {
    let server = try ProgrammableDNSServer { _ in [] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .seconds(30))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", lookupTimeout: .milliseconds(100))
    #expect(try watcher.outcome("a.example") == .failed(.timedOut))
    #expect(try watcher.status("a.example").lastLookupDuration.map { $0 >= .milliseconds(100) } ?? false)
  }

  @Test func whenNobodyListensThereIsNoServer() throws {
    let watcher = try Watcher(servers: [try deadAddress()])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .failed(.noServer))
  }

  @Test func theLastGoodAnswerOutlivesAFailure() throws {
    let server = try ProgrammableDNSServer { [$0.answer([v4], ttl: 0)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], minimumTTL: .milliseconds(100))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
    server.behave { [$0.code(2)] }
    try eventually("a failure") { watcher.outcomes("a.example").last == .failed(.serverFailure) }
    #expect(try watcher.status("a.example").addresses == [one])
  }

  @Test func oneFamilysFailureDoesNotHideTheOther() throws {
    let server = try ProgrammableDNSServer { $0.type == .a ? [$0.answer([v4])] : [$0.code(2)] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
    let status = try watcher.status("a.example")
    #expect(status.part("A")?.label == .answer)
    #expect(status.part("AAAA")?.label == .failed(.serverFailure))
  }

  /// Networks that swallow AAAA queries exist; the IPv4 backends need not wait for them.
  @Test func aSilentFamilyDoesNotHoldUpTheOther() throws {
    let server = try ProgrammableDNSServer { $0.type == .a ? [$0.answer([v4])] : [] }
    defer { server.stop() }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .seconds(60))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", lookupTimeout: .seconds(60))
    try eventually("the news") { watcher.outcomes("a.example") == [.addresses([one])] }
    #expect(watcher.lookups("a.example") == 0)
  }

  // MARK: Several servers

  @Test func aDeadFirstServerCostsOneTryAndNotOnePerLookup() throws {
    let silent = try ProgrammableDNSServer { _ in [] }
    defer { silent.stop() }
    let good = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { good.stop() }
    let watcher = try Watcher(servers: [silent.socketAddress, good.socketAddress], timeout: .milliseconds(100))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
    #expect(silent.queries.count == 2)
    #expect(try watcher.status("a.example").part("A")?.server == good.socketAddress)
    watcher.discovery.watch((0..<10).map { DomainSpecification(domain: DomainName("\($0).example")) })
    try eventually("ten more answers") { watcher.lookups == 10 }
    #expect(silent.queries.count == 2, "the ten went to the good one first")
  }

  @Test func aRefusedConnectionMovesOnAtOnce() throws {
    let good = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { good.stop() }
    let watcher = try Watcher(servers: [try deadAddress(), good.socketAddress], timeout: .seconds(60))
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", lookupTimeout: .seconds(120))
    #expect(try watcher.outcome("a.example") == .addresses([one]))
  }

  @Test func anErrorOfTheFirstServerIsNotTheLastWord() throws {
    let bad = try ProgrammableDNSServer { [$0.code(5)] }
    defer { bad.stop() }
    let good = try ProgrammableDNSServer { [$0.answer([v4])] }
    defer { good.stop() }
    let watcher = try Watcher(servers: [bad.socketAddress, good.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("a.example")
    #expect(try watcher.outcome("a.example") == .addresses([one]))
  }

  /// The answer comes after the second server was asked in vain.
  @Test func aSlowServersAnswerIsStillTaken() throws {
    let asked = Mutex(false)
    let slow = try ProgrammableDNSServer { query in
      while !asked.withLock({ $0 }) { usleep(1000) }
      return [query.answer([v4])]
    }
    defer { slow.stop() }
    let silent = try ProgrammableDNSServer { _ in
      asked.withLock { $0 = true }
      return []
    }
    defer { silent.stop() }
    let watcher = try Watcher(servers: [slow.socketAddress, silent.socketAddress], timeout: .milliseconds(100), retries: 8)
    defer { watcher.discovery.stop() }
    watcher.watch("a.example", lookupTimeout: .seconds(20))
    #expect(try watcher.outcome("a.example") == .addresses([one]))
    #expect(try watcher.status("a.example").part("A")?.server == slow.socketAddress)
  }
}
