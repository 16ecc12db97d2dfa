import Model
import Testing

@testable import Discovery

/// Transcripts: what happened, what is to be done.
@Suite struct LookupTests {
  private static let one = SocketAddress.ip(.v4(1), port: 53)
  private static let two = SocketAddress.ip(.v4(2), port: 53)
  private let answer = DNSAnswer.records([.address(.v4(9))], timeToLive: 60)

  /// A lookup, its scores and a clock in milliseconds.
  private struct Script {
    var lookup: Lookup
    var scores: ServerScores

    init(_ servers: [SocketAddress], timeout: Int = 300, retries: Int = 2, deadline: Int = 5000) {
      let settings = ResolverSettings(timeout: .milliseconds(timeout), retryAttempts: retries)
      lookup = Lookup(servers: servers, plan: Lookup.Plan(settings), deadline: Self.at(deadline))
      scores = ServerScores(servers)
    }

    static func at(_ milliseconds: Int) -> Instant { Instant.zero + .milliseconds(milliseconds) }

    mutating func start() -> Lookup.Action { lookup.start(now: .zero) }
    mutating func tick(_ at: Int) -> Lookup.Action { lookup.tick(now: Self.at(at), scores: &scores) }
    mutating func received(_ reply: Lookup.Reply, _ tryNumber: Int, at: Int = 1) -> Lookup.Action {
      lookup.received(reply, tryNumber: tryNumber, now: Self.at(at), scores: &scores)
    }
    var nextTick: Int? { lookup.nextTick.map { Int($0.nanoseconds / 1_000_000) } }
    mutating func order(at: Int) -> [SocketAddress] { scores.order(now: Self.at(at)) }
  }

  @Test func theFirstAnswerEndsIt() {
    var script = Script([Self.one, Self.two])
    #expect(script.start() == .ask(Self.one, tryNumber: 0))
    #expect(script.received(.answer(answer), 0) == .finish(.answered(answer, server: Self.one)))
    #expect(script.nextTick == nil)
    #expect(script.tick(9999) == .wait)
    #expect(script.received(.answer(answer), 0) == .wait)
  }

  @Test func aSecondServerIsAskedAfterAShortDelayAndTheSilentOneGoesLast() {
    var script = Script([Self.one, Self.two])
    _ = script.start()
    #expect(script.nextTick == 100)
    #expect(script.tick(99) == .wait)
    #expect(script.tick(100) == .ask(Self.two, tryNumber: 1))
    #expect(script.nextTick == 300)
    #expect(script.received(.answer(answer), 1, at: 110) == .finish(.answered(answer, server: Self.two)))
    #expect(script.order(at: 110) == [Self.two, Self.one])
  }

  @Test func theRaceIsOfTwoAndTheRestTakesItsTime() {
    let three = SocketAddress.ip(.v4(3), port: 53)
    var script = Script([Self.one, Self.two, three])
    _ = script.start()
    #expect(script.tick(100) == .ask(Self.two, tryNumber: 1))
    #expect(script.tick(300) == .wait, "the first has lasted its time")
    #expect(script.nextTick == 400)
    #expect(script.order(at: 300) == [Self.two, three, Self.one])
    #expect(script.tick(400) == .ask(three, tryNumber: 2))
    #expect(script.nextTick == 700)
  }

  @Test func aSlowServerIsStillBelieved() {
    var script = Script([Self.one, Self.two])
    _ = script.start()
    _ = script.tick(100)
    #expect(script.tick(300) == .wait)
    #expect(script.received(.answer(answer), 0, at: 350) == .finish(.answered(answer, server: Self.one)))
    #expect(script.order(at: 350) == [Self.one, Self.two], "its answer clears its record")
  }

  @Test func triesDoubleWithEachRoundAndThenItFails() {
    var script = Script([Self.one])
    #expect(script.start() == .ask(Self.one, tryNumber: 0))
    #expect(script.tick(300) == .ask(Self.one, tryNumber: 1))
    #expect(script.nextTick == 900)
    #expect(script.tick(900) == .ask(Self.one, tryNumber: 2))
    #expect(script.nextTick == 2100)
    #expect(script.tick(2100) == .finish(.failed(.timedOut, detail: "", server: Self.one)))
  }

  @Test func theDeadlineEndsItWhateverIsLeft() {
    var script = Script([Self.one], deadline: 500)
    _ = script.start()
    #expect(script.tick(300) == .ask(Self.one, tryNumber: 1))
    #expect(script.nextTick == 500)
    #expect(script.tick(500) == .finish(.failed(.timedOut, detail: "", server: Self.one)))
  }

  @Test func anErrorMovesOnAtOnceAndIsNotAskedForTwice() {
    var script = Script([Self.one, Self.two])
    _ = script.start()
    #expect(script.received(.error(.serverFailure), 0) == .ask(Self.two, tryNumber: 1))
    #expect(script.received(.error(.refused), 1) == .finish(.failed(.serverFailure, detail: "SERVFAIL", server: Self.one)))
  }

  @Test func whatAServerSaidTellsMoreThanSilence() {
    var script = Script([Self.one, Self.two], retries: 0)
    _ = script.start()
    #expect(script.tick(100) == .ask(Self.two, tryNumber: 1))
    #expect(script.received(.error(.refused), 1, at: 101) == .wait, "the first may still answer")
    #expect(script.nextTick == 300)
    #expect(script.tick(300) == .finish(.failed(.refused, detail: "REFUSED", server: Self.two)))
  }

  @Test func aLateErrorOfAnOldTryChangesNothing() {
    var script = Script([Self.one, Self.two])
    _ = script.start()
    _ = script.tick(100)
    #expect(script.received(.error(.serverFailure), 0, at: 150) == .wait)
    #expect(script.tick(400) == .ask(Self.two, tryNumber: 2), "the first server is out of this lookup")
  }

  @Test func whenNobodyIsThereItFailsAtOnce() {
    var script = Script([Self.one, Self.two])
    _ = script.start()
    #expect(script.received(.unreachable, 0) == .ask(Self.two, tryNumber: 1))
    #expect(script.received(.unreachable, 1) == .finish(.failed(.noServer, detail: "nobody answers there", server: Self.one)))
  }

  @Test func withoutServersItFails() {
    var script = Script([])
    #expect(script.start() == .finish(.failed(.noServer, detail: "", server: nil)))
  }

  @Test func absurdSettingsAreBounded() {
    let settings = ResolverSettings(timeout: .seconds(-1), retryAttempts: .max)
    #expect(Lookup.Plan(settings).rounds == 10)
    #expect(Lookup.Plan(settings).tryTimeout == .milliseconds(10))
    #expect(Lookup.Plan(settings).raceDelay <= Lookup.Plan(settings).tryTimeout)
    #expect(Lookup.Plan(ResolverSettings(timeout: .seconds(Int64.max), retryAttempts: -3)).rounds == 1)
  }

  /// Every sequence of six events on two servers: it ends, within the deadline, with one last word.
  @Test func everySequenceEndsOnce() {
    let replies: [Lookup.Reply] = [.answer(answer), .error(.serverFailure), .unreachable, .timedOut]
    func explore(_ script: Script, _ now: Int, _ asked: Int, depth: Int, _ count: inout Int) {
      guard depth > 0 else { return }
      func follow(_ action: Lookup.Action, _ next: Script, _ now: Int) {
        count += 1
        switch action {
        case .finish:
          #expect(next.nextTick == nil)
          var after = next
          #expect(after.tick(now + 10_000) == .wait)
          for reply in replies { #expect(after.received(reply, 0, at: now) == .wait) }
        case .ask(_, let tryNumber):
          #expect(tryNumber == asked)
          explore(next, now, asked + 1, depth: depth - 1, &count)
        case .wait:
          #expect(next.nextTick.map { $0 <= 1000 } ?? false)
          explore(next, now, asked, depth: depth - 1, &count)
        }
      }
      var ticked = script
      let time = script.nextTick ?? now
      follow(ticked.tick(time), ticked, time)
      for tryNumber in 0..<asked {
        for reply in replies {
          var next = script
          follow(next.received(reply, tryNumber, at: now), next, now)
        }
      }
    }
    var script = Script([Self.one, Self.two], retries: 1, deadline: 1000)
    #expect(script.start() == .ask(Self.one, tryNumber: 0))
    var count = 0
    explore(script, 0, 1, depth: 6, &count)
    #expect(count > 1000)
  }
}
