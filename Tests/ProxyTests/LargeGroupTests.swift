import CLinux
import Glibc
import Model
import Testing

@testable import Proxy

/// A change of a group of ten thousand backends is taken over in pieces. Counts steps, never time.
@Suite struct LargeGroupTests {
  private static let count = 10_000

  private func members(_ range: Range<Int> = 0..<count, _ standing: (Int) -> Standing = { _ in .serve }) -> [MemberRoute] {
    range.map {
      MemberRoute(
        backend: BackendID("backend-\($0).example.com"), address: .ip(.v4(0x7F00_0001), port: UInt16(1 + $0)), weight: 1 + $0 % 3,
        standing: Standings(all: standing($0)))
    }
  }

  @Test(arguments: Balance.allCases) func `no pass takes more than its share of the steps`(balance: Balance) throws {
    var host = try Host()
    // New, one lost, one that leaves in front of all others, turned round, and gone.
    let changes = [
      members(), members { $0 == 7 ? .dead : .serve }, members(1..<Self.count), members().reversed(), [],
    ]
    for members in changes {
      host.post(members, balance)
      var passes = 0
      repeat {
        let before = host.worker.stepsTaken
        host.pass()
        passes += 1
        #expect(host.worker.stepsTaken - before <= Worker<ScriptedEngine>.stepsPerPass)
      } while host.worker.isChanging
      #expect(passes > 10, "a piece at a time")
      let candidates = host.worker.routes[0].pointee.balancer.candidates.count
      #expect(candidates == members.count { $0.standing.any == .serve })
    }
    let left = host.worker.backends.numbers.count
    #expect(left == 0)
  }

  @Test func `the old table serves until the new one is complete, but for those who lost their place`() throws {
    var host = try Host()
    host.post(members())
    host.passAll()
    // Only the last one serves from now on.
    host.post(members { $0 == Self.count - 1 ? .serve : .idle })
    var ports: [UInt16] = []
    repeat {
      host.accept()
      if let connect = host.worker.engine.connects.last, let port = connect.address?.port { ports.append(port) }
      let last = host.worker.engine.connects.count
      #expect(last == ports.count, "nobody waits while somebody serves")
    } while host.worker.isChanging
    #expect(ports.last == UInt16(Self.count))
    host.passAll()
    // Whoever was on the way to one of the others was turned to it.
    #expect(host.worker.engine.connects.allSatisfy { $0.address?.port == UInt16(Self.count) })
    #expect(host.worker.heldCount == 0)
  }

  @Test func `a connect that succeeds before the change comes to it is fenced all the same`() throws {
    var host = try Host()
    host.post(members())
    host.passAll()
    host.accept()
    let connect = try #require(host.worker.engine.connects.first)
    host.post(members { _ in .dead })
    host.pass()
    host.pass(.connected(connect.token))
    let (index, phase) = (connect.token.slot >> 1, host.worker.sessions[connect.token.slot >> 1].pointee.phase)
    #expect(phase == .connecting || phase == .held)
    host.passAll()
    #expect(host.worker.sessions[index].pointee.phase == .held)
    #expect(host.worker.engine.connects.isEmpty)
    #expect(host.worker.listeners[0].pointee.retries[RetryReason.fenced.ordinal] > 0)
  }

  @Test func `ten thousand sessions of a lost backend are looked at a piece at a time, and each of them goes`() throws {
    var host = try Host(sessions: 3000)
    host.post(Array(members(0..<2)), .sourceHash)
    host.passAll()
    for _ in 0..<3000 {
      host.accept()
      if let connect = host.worker.engine.connects.last { host.pass(.connected(connect.token)) }
    }
    let passesBefore = host.worker.stepsTaken
    host.post(members(0..<2) { _ in .dead }, .sourceHash)
    repeat {
      let before = host.worker.stepsTaken
      host.pass()
      #expect(host.worker.stepsTaken - before <= Worker<ScriptedEngine>.stepsPerPass)
    } while host.worker.isChanging
    #expect(host.worker.stepsTaken - passesBefore >= 3000)
    for _ in 0..<20 { host.pass() }
    #expect(host.worker.sessions.count == 0)
    #expect(host.worker.listeners[0].pointee.ended[Outcome.backendLost.ordinal] == 3000)
  }

  @Test func `what was not begun is replaced by what comes later`() throws {
    let mailbox = try Mailbox()
    for round in 0..<100 {
      _ = mailbox.post(.apply(RoutingChange(generation: 1, changed: [Host.route(members(0..<round), .roundRobin)], removed: ["b"])))
    }
    let steps = mailbox.takeChanges()
    #expect(steps.count == 2)
    #expect(steps.last?.route?.members.count == 99)
    #expect(mailbox.takeChanges().isEmpty)
  }

  /// The times of one pass. Prints, and asserts nothing: `LEBA_MEASURE=1 swift test -c release --filter LargeGroupTests`.
  @Test(.enabled(if: getenv("LEBA_MEASURE") != nil), arguments: Balance.allCases) func `measure a swap`(balance: Balance) throws {
    var host = try Host()
    for (name, members) in [
      ("new", members()), ("one lost", members { $0 == 7 ? .dead : .serve }), ("first leaves", members(1..<Self.count)),
      ("turned round", members().reversed()), ("gone", []),
    ] {
      host.post(members, balance)
      var (longest, sum, passes): (Int64, Int64, Int) = (0, 0, 0)
      repeat {
        let begin = leba_monotonic_ns()
        host.pass()
        let took = leba_monotonic_ns() - begin
        (longest, sum, passes) = (max(longest, took), sum + took, passes + 1)
      } while host.worker.isChanging
      print("\(balance) \(name): \(passes) passes, longest \(longest / 1000) us, all \(sum / 1000) us")
    }
  }
}

/// A worker with one listener and the group `app`, without a thread or a kernel.
private struct Host: ~Copyable {
  var worker: Worker<ScriptedEngine>

  init(sessions: Int = 64) throws {
    let settings = WorkerSettings(
      sessionLimit: sessions, bufferLimit: 16, heldLimit: 64, connectTimeout: .seconds(1), demotedDeadline: .seconds(1))
    worker = try Worker(settings: settings, mailbox: Mailbox(), now: .zero, onSignal: { _ in })
    let listener = ListenerSpecification(
      name: "front", address: .ip(.v4(0x7F00_0001), port: 0), group: "app", role: .any, clientSpeaksFirst: false)
    #expect(worker.addListener(listener, ListeningSocket(descriptor: leba_stream_socket(AF_INET))) == nil)
  }

  static func route(_ members: [MemberRoute], _ balance: Balance) -> GroupRoute {
    GroupRoute(name: "app", balance: balance, holdTimeout: .seconds(600), drainTimeout: .seconds(600), members: members)
  }

  func post(_ members: [MemberRoute], _ balance: Balance = .roundRobin) {
    _ = worker.mailbox.post(.apply(RoutingChange(generation: 1, changed: [Self.route(members, balance)])))
  }

  mutating func pass(_ completions: Completion...) {
    worker.engine.completions += completions
    worker.pass()
  }

  mutating func passAll() { repeat { worker.pass() } while worker.isChanging }

  mutating func accept() { pass(.accepted(worker.listenerToken(0), descriptor: leba_stream_socket(AF_INET))) }
}
