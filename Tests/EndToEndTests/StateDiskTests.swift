import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// A state directory on a disk that fills up, or turns read-only. The disks are mounted where only the sidecar sees them, and go with it.
  @Suite(.serialized, .enabled(if: Capabilities.allowNamespaces, "mounting needs root")) struct StateDiskTests {
    @Test func `a full disk stops nothing but the journal, and what was learned is written when there is room`() async throws {
      let disk = try await StateDisk("mount -t tmpfs -o size=256k leba-test")
      try await disk.run("cat /dev/zero > \(disk.state)/filler || true")
      try await failsOver(disk)
      let problem = try await disk.untilJournalFails()
      #expect(problem.contains("full"), "\(problem)")
      #expect(disk.leba.log.contains("free space on the disk"))

      try await disk.run("rm \(disk.state)/filler")
      try await disk.untilJournalWorks()
      try await disk.leba.untilPrimaryIsWritten(of: "web", "two")
    }

    @Test func `a disk that turns read-only under the open journal stops nothing but the journal`() async throws {
      let disk = try await StateDisk(
        "truncate -s 4M {image} && mkfs.ext4 -q {image} && mount -o loop,errors=remount-ro {image}")
      // What ext4 does when it meets a bad block.
      try await disk.run("echo test > /sys/fs/ext4/$(basename $(findmnt -n -o SOURCE \(disk.state)))/trigger_fs_error")
      try await failsOver(disk)
      let problem = try await disk.untilJournalFails()
      #expect(disk.leba.log.contains("the journal does not work"), "\(problem)")
      try await eventually("it is known to be read-only") {
        try await disk.problem()?.contains("Read-only file system") == true
      }

      // An empty disk in place of the broken one: what is known goes there.
      try await disk.run("umount -l \(disk.state) && mount -t tmpfs -o size=1m leba-test \(disk.state)")
      try await disk.untilJournalWorks()
      try await disk.leba.untilPrimaryIsWritten(of: "web", "two")
    }

    @Test func `a disk that is read-only from the start is used as soon as it is not`() async throws {
      let disk = try await StateDisk("mount -t tmpfs -o size=1m,ro leba-test")
      let problem = try await disk.untilJournalFails()
      #expect(problem.contains("Read-only file system"), "\(problem)")
      try await failsOver(disk)
      // Somebody makes it writable.
      try await disk.run("mount -o remount,rw \(disk.state)")
      try await disk.untilJournalWorks()
      try await disk.leba.untilPrimaryIsWritten(of: "web", "two")
    }

    /// Traffic, a failover and what people ask for, all without a disk.
    private func failsOver(_ disk: StateDisk) async throws {
      let load = Load.timedRequests(to: disk.listener)
      try await load.more(20)
      try await disk.one.kill()
      try await disk.leba.untilPrimary(of: "web", is: "two")
      try await load.more(50)
      #expect(try await load.stop().successions == ["one", "two"])
      #expect(try await disk.leba.changes(of: "web").count == 1)
    }
  }

  /// A pair of web servers, and a sidecar whose state directory is a mount of its own.
  struct StateDisk {
    let one: NginxServer
    let two: NginxServer
    let listener: Endpoint
    let leba: LebaProcess
    var state: String { leba.state }
    private let home: TemporaryDirectory

    /// - Parameter mount: a command that wants the mount point at its end; `{image}` is a file for a file system in it.
    init(_ mount: String) async throws {
      home = try TemporaryDirectory()
      let state = home.file("state")
      try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: false)
      let pair = try await WebPair()
      (one, two, listener) = (pair.one, pair.two, pair.listener)
      try await pair.leba.stop()
      let command = mount.replacingOccurrences(of: "{image}", with: home.file("image"))
      leba = try await LebaProcess.start(
        pair.leba.configuration, state: state,
        launcher: ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\(command) \(state); exec \"$@\"", "sh"])
      try await leba.untilEligible(in: "web", ["one", "two"])
    }

    /// Where the sidecar sees what it sees.
    func run(_ command: String) async throws {
      try await mustRun("nsenter", ["--mount", "--target", "\(leba.pid)", "sh", "-ec", command])
    }

    func problem() async throws -> String? { try await leba.get("/api/v1/status").json["journal"]["problem"].string }

    /// Waits until everybody is told, and gives what the status says.
    func untilJournalFails() async throws -> String {
      let told = try await eventually("the status tells") { try await problem() }
      #expect(try await leba.metrics().value("leba_journal_up") == 0)
      return told
    }

    func untilJournalWorks() async throws {
      try await eventually("the journal works again", within: .seconds(60)) { try await problem() == nil }
      #expect(try await leba.metrics().value("leba_journal_up") == 1)
      try await eventually("the log tells") { leba.log.contains("works again") }
    }
  }
}
