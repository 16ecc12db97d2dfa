import Foundation
import Health
import Model
import Testing
import TestSupport

/// One after the other: the number of programs that run at one time is one for the process.
@Suite(.serialized) struct ExecProbeTests {
  private let address = Model.SocketAddress.loopback(5432)

  private func shell(_ script: String) -> HealthCheck.Kind { .exec(ExecCheck(command: ["/bin/sh", "-c", script])) }

  private func outcome(_ kind: HealthCheck.Kind, timeout: Duration = .seconds(30)) async throws -> ProbeOutcome {
    try await Checking.firstOutcomes([kind], at: address, timeout: timeout)[0]
  }

  /// Processes whose command line contains a word.
  private func processes(_ word: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { entry in
      Int32(entry) != nil && readFile("/proc/\(entry)/cmdline").contains(word)
    }
  }

  @Test func theExitStatusDecides() async throws {
    #expect(try await outcome(.exec(ExecCheck(command: ["true"]))).isPass)
    #expect(try await outcome(.exec(ExecCheck(command: ["/bin/false"]))).failure?.description == "bad_response: exit status 1")
    #expect(try await outcome(shell("kill -9 $$")).failure?.description == "bad_response: ended by signal 9")
  }

  @Test func theFirstLineIsTheDetail() async throws {
    let both = try await outcome(shell("echo result; echo >&2; echo 'replica is late' >&2; echo more >&2; exit 2"))
    #expect(both.failure?.description == "bad_response: exit status 2: replica is late")
    #expect(try await outcome(shell("echo result; exit 3")).failure?.description == "bad_response: exit status 3: result")
  }

  @Test func addressAndPortAreReplaced() async throws {
    let command = ["/bin/sh", "-c", "echo $0-$1 >&2; exit 1", "{address}", "{port}/{port}"]
    let v4 = try await outcome(.exec(ExecCheck(command: command)))
    #expect(v4.failure?.detail == "exit status 1: 127.0.0.1-5432/5432")
    let v6 = Model.SocketAddress.ip(try #require(IPAddress("::1")), port: 80)
    let other = try await Checking.firstOutcomes([.exec(ExecCheck(command: command))], at: v6)
    #expect(other[0].failure?.detail == "exit status 1: ::1-80/80")
  }

  @Test func whatCannotBeRun() async throws {
    let absent = try await outcome(.exec(ExecCheck(command: ["/absent/program"])))
    #expect(absent.failure?.description == "bad_response: cannot run /absent/program: no such file or directory")
    #expect(try await outcome(.exec(ExecCheck(command: ["/etc/passwd"]))).failure?.detail.contains("permission denied") == true)
    #expect(try await outcome(.exec(ExecCheck(command: []))).failure?.description == "bad_response: no program to run")
  }

  /// Nothing of ours: three descriptors, two variables, no signal ignored or blocked, a process group of its own.
  @Test func theProgramInheritsNothing() async throws {
    let descriptors = try await outcome(shell("ls /proc/self/fd | tr '\\n' ' '; exit 1"))
    // The fourth is that of the folder which `ls` reads.
    #expect(descriptors.failure?.detail == "exit status 1: 0 1 2 3 ")
    let environment = try await outcome(shell("tr '\\0' ' ' < /proc/$$/environ; exit 1"))
    #expect(
      environment.failure?.detail
        == "exit status 1: PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 ")
    let signals = try await outcome(
      .exec(ExecCheck(command: ["grep", "-L", "-E", "Sig(Blk|Ign):.*[1-9a-f]", "/proc/self/status"])))
    #expect(signals.isPass, "\(signals)")
    let input = try await outcome(
      shell("test \"$(readlink /proc/self/fd/0)\" = /dev/null && test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$"))
    #expect(input.isPass)
  }

  @Test func aProgramThatPrintsWithoutEndIsReadAndBounded() async throws {
    let outcome = try await outcome(shell("head -c 20000000 /dev/zero | tr '\\0' x; exit 1"))
    #expect(outcome.failure?.description.hasPrefix("bad_response: exit status 1: xxx") == true)
    #expect((outcome.failure?.detail.count ?? 1000) < 400)
    let endless = try await self.outcome(shell("yes"), timeout: .milliseconds(200))
    #expect(endless.failure?.description == "timed_out: no end of /bin/sh within 200ms")
  }

  @Test func aTimeoutKillsTheWholeGroup() async throws {
    let word = "31415\(UInt32.random(in: 100_000...999_999))"
    let outcome = try await outcome(shell("sleep \(word) & sleep \(word); echo"), timeout: .milliseconds(300))
    #expect(outcome.failure?.kind == .timedOut)
    try await eventually("the processes are gone") { try processes(word).isEmpty }
  }

  /// Also when the program itself has ended well, and what it has started holds its output.
  @Test func nothingIsLeftBehindByAPass() async throws {
    let word = "27182\(UInt32.random(in: 100_000...999_999))"
    #expect(try await outcome(shell("sleep \(word) & exit 0")).isPass)
    try await eventually("the processes are gone") { try processes(word).isEmpty }
  }

  @Test func aCheckerThatStopsKillsWhatRuns() async throws {
    let word = "14142\(UInt32.random(in: 100_000...999_999))"
    try await Checking.run { checking in
      checking.replace((0..<4).map { ProbeTarget(shell("sleep \(word); echo"), at: address, member: .test($0)) })
      try await eventually("they run") { try processes(word).count >= 8 }
    }
    try await eventually("the processes are gone") { try processes(word).isEmpty }
  }

  /// In a process of its own, where nobody else has children.
  @Test func noZombiesAndNoDescriptorsAreLeft() async throws {
    await #expect(processExitsWith: .success) {
      func descriptors() -> Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }
      try await Task.sleep(for: .milliseconds(1))
      try await Checking.run { checking in
        let address = Model.SocketAddress.loopback(1)
        checking.replace([ProbeTarget(.exec(ExecCheck(command: ["true"])), at: address, interval: .milliseconds(5))])
        try await checking.outcomes(atLeast: 5)
        let before = descriptors()
        try await checking.outcomes(atLeast: 60)
        #expect(descriptors() <= before + 8)
        checking.replace([
          ProbeTarget(
            .exec(ExecCheck(command: ["sleep", "1000"])), at: address, interval: .milliseconds(5), timeout: .milliseconds(20))
        ])
        try await checking.outcomes(until: "timeouts") { $0.failure?.kind == .timedOut }
      }
      try await eventually("no children, living or dead") {
        var status: Int32 = 0
        return waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD
      }
    }
  }

  /// The others wait for their turn.
  @Test func sixteenRunAtOneTime() async throws {
    let word = "17320\(UInt32.random(in: 100_000...999_999))"
    try await Checking.run { checking in
      let kind = HealthCheck.Kind.exec(ExecCheck(command: ["sleep", "0.3\(word)"]))
      checking.replace((0..<40).map { ProbeTarget(kind, at: address, member: .test($0), interval: .seconds(3600)) })
      var most = 0
      try await eventually("all have run", every: .milliseconds(5)) {
        most = max(most, try processes(word).count)
        return (0..<40).allSatisfy { !checking.outcomes(of: .test($0)).isEmpty }
      }
      #expect((1...16).contains(most))
      #expect((0..<40).allSatisfy { checking.outcomes(of: .test($0))[0].isPass })
    }
  }
}
