import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// What a restart remembers while DNS is down, and what becomes of state files that are not ours.
  @Suite(.serialized) struct WarmStartTests {
    private struct Rig {
      let server: NginxServer
      let dns: KnotServer
      let listener: Endpoint
      let text: String
      let id: String
      /// Outlives the processes.
      let home: TemporaryDirectory
      var state: String { home.file("state") }

      init() async throws {
        home = try TemporaryDirectory()
        server = try await NginxServer("one", host: "127.0.0.2")
        dns = try await KnotServer(.a("web", "127.0.0.2", ttl: 1))
        listener = .ip("127.0.0.1", try FreePorts.next())
        id = "web.example.test:\(server.endpoint)"
        text = """
          listeners: [{name: web, address: "\(listener)", group: web}]
          \(EndToEnd.resolver(dns))
          dns_backends:
            - {domain: web.example.test, protocol: http, port: \(server.endpoint.port), group_name: web}
          """
      }

      /// A sidecar that has resolved the name and whose journal has the answer. It ends by SIGKILL.
      func runOnce() async throws {
        let leba = try await LebaProcess.start(text, state: state)
        try await leba.untilEligible(in: "web", [id])
        try await eventually("the answer is on the disk") {
          try await run("grep", ["-c", "-a", "web.example.test", "-r", state]).status == .exited(0)
        }
        leba.signal(SIGKILL)
        try await leba.ended()
      }
    }

    @Test func `with DNS down at the start the sidecar serves what it last knew, and says how old that is`() async throws {
      let rig = try await Rig()
      try await rig.runOnce()
      try await rig.dns.stop()

      let leba = try await LebaProcess.start(rig.text, state: rig.state, untilReady: false)
      // A connection made at once is served, not held until DNS is back.
      #expect(try await HTTP.get("/", from: rig.listener).body == "one")
      let domain = try await leba.domain("web.example.test")
      #expect(domain["source"].string == "memory")
      #expect(domain["age_seconds"].number ?? 0 > 0)
      #expect(leba.log.contains("served from the answer of an earlier run"))
      #expect(try await leba.metrics().value("leba_dns_answer_age_seconds", ["domain": "web.example.test"]) ?? 0 > 0)

      // DNS comes back and says otherwise.
      let two = try await NginxServer("two", host: "127.0.0.3", port: rig.server.endpoint.port)
      try await rig.dns.start()
      try await rig.dns.set(.a("web", "127.0.0.3"))
      try await leba.untilEligible(in: "web", ["web.example.test:\(two.endpoint)"])
      #expect(try await leba.domain("web.example.test")["source"].string == "dns")
    }

    @Test func `what DNS denied is not remembered`() async throws {
      let rig = try await Rig()
      let first = try await LebaProcess.start(rig.text, state: rig.state)
      try await first.untilEligible(in: "web", [rig.id])
      try await rig.dns.set(.a("unrelated", "127.0.0.9"))
      try await eventually("the backend is gone") { try await first.group("web").backends.isEmpty }
      try await first.stop()
      try await rig.dns.stop()
      let second = try await LebaProcess.start(rig.text, state: rig.state, untilReady: false)
      try await eventually("a lookup failed") { try await second.domain("web.example.test")["consecutive_failures"].int ?? 0 >= 1 }
      #expect(try await second.group("web").backends.isEmpty)
    }

    @Test(arguments: ["damaged", "newer"])
    func `a state file that cannot be used is set aside, and nothing else happens`(kind: String) async throws {
      let rig = try await Rig()
      try await rig.runOnce()
      let file = rig.state + "/leba.sqlite"
      switch kind {
      case "newer":
        let program = "import sqlite3; c = sqlite3.connect('\(file)'); c.execute('pragma user_version = 99'); c.commit()"
        try await mustRun("python3", ["-c", program])
      default:
        // The log of a killed process would make the file whole again.
        for suffix in ["-wal", "-shm"] { try FileManager.default.removeItem(atPath: file + suffix) }
        try Data(repeating: 0x55, count: 5000).write(to: URL(filePath: file))
      }
      let leba = try await LebaProcess.start(rig.text, state: rig.state)
      try await leba.untilEligible(in: "web", [rig.id])
      let names = try FileManager.default.contentsOfDirectory(atPath: rig.state)
      #expect(names.contains { $0.hasPrefix("leba.sqlite.\(kind)-") }, "\(names)")
      #expect(leba.log.contains(kind))
      #expect(try await leba.get("/api/v1/status").json["journal"]["path"].string == file)
    }

    @Test func `without a place for state the sidecar runs, and says so`() async throws {
      let rig = try await Rig()
      // A file where the directory should be: not even root can make one there.
      let file = try TemporaryDirectory()
      try file.write("", to: "state")
      let leba = try await LebaProcess.start(rig.text, state: file.file("state"))
      try await leba.untilEligible(in: "web", [rig.id])
      #expect(try await HTTP.get("/", from: rig.listener).body == "one")
      let journal = try await leba.get("/api/v1/status").json["journal"]
      #expect(journal["path"].string == nil)
      #expect(journal["problem"].string?.isEmpty == false)
      #expect(leba.log.contains("the journal does not work"))
    }

    @Test func `a DNS backend made through the API survives a kill`() async throws {
      let rig = try await Rig()
      let base = EndToEnd.resolver(rig.dns)
      let first = try await LebaProcess.start(base, state: rig.state)
      let made = try await first.post(
        "/api/v1/dns/backends",
        #"{"domain": "web.example.test", "protocol": "http", "port": \#(rig.server.endpoint.port), "group_name": "made"}"#)
      #expect(made.status == 201)
      try await first.untilEligible(in: "made", [rig.id])
      try await eventually("it is on the disk") {
        try await run("grep", ["-c", "-a", "group_name", "-r", rig.state]).status == .exited(0)
      }
      first.signal(SIGKILL)
      try await first.ended()
      let second = try await LebaProcess.start(base, state: rig.state)
      try await second.untilEligible(in: "made", [rig.id])
      #expect(try await second.delete("/api/v1/dns/backends/web.example.test").status == 200)
      try await eventually("its group goes at once") { try await second.get("/api/v1/groups/made").status == 404 }
    }
  }
}
