import Failover
import Model
import Testing

@Suite("Normal mode")
struct NormalModeTests {
  func ready(check: HealthCheck = .tcp, primary: BackendID? = nil) throws -> Script {
    var script = try Script(.fixed("a", "b", "c", mode: .normal, check: check, primary: primary))
    for id: BackendID in ["a", "b", "c"] { script.pass(id) }
    return script
  }

  @Test("every healthy member serves, each as soon as it has answered")
  func allServe() throws {
    var script = try Script(.fixed("a", "b", mode: .normal, primary: nil))
    #expect(script.pass("b") == [.routes(["b"]), .record(.healthChanged, "b")])
    #expect(script.pass("a") == [.routes(["a", "b"]), .record(.healthChanged, "a")])
    #expect(script.snapshot.state == .serving)
  }

  @Test("nobody named a primary: there is none")
  func noLabel() throws {
    var script = try ready()
    script.kill("a")
    #expect(script.primary == nil)
    #expect(script.changes.isEmpty)
    #expect(script.serving(.primary) == ["b", "c"])
  }

  @Test("somebody named one: it is tracked, and traffic is spread regardless")
  func label() throws {
    var script = try ready(primary: "a")
    #expect(script.primary == "a")
    #expect(script.serving(.any) == ["a", "b", "c"])
    #expect(script.serving(.primary) == ["a"])
    script.kill("a")
    #expect(script.primary == "b")
    #expect(script.serving(.any) == ["b", "c"])
  }

  @Test("regression: before the named primary is heard of, its listener does not lead elsewhere")
  func labelBeforeElection() throws {
    var script = try Script(.fixed("a", "b", mode: .normal))
    script.pass("b")
    #expect(script.serving(.any) == ["b"])
    #expect(script.serving(.primary) == [])
  }

  @Test("a dead member leaves, the others stay")
  func oneDies() throws {
    var script = try ready()
    #expect(script.kill("b").contains(.routes(["a", "c"])))
    #expect(script.standing("b", .any) == .dead)
  }

  @Test("all time out: the doubt is as large about this host, and traffic goes on")
  func failOpen() throws {
    var script = try ready()
    script.kill("a", .timedOut)
    script.kill("b", .timedOut)
    #expect(script.serving(.any) == ["c"])
    script.kill("c", .timedOut)
    #expect(script.serving(.any) == ["a", "b", "c"])
    #expect(!script.kinds.contains(.holdBegan))
    script.revive("b")
    #expect(script.serving(.any) == ["b"])
  }

  @Test("a refused connection is no doubt: those that refuse do not serve")
  func refusedIsNoDoubt() throws {
    var script = try ready()
    script.kill("a", .refused)
    script.kill("b", .timedOut)
    script.kill("c", .badResponse)
    #expect(script.serving(.any) == ["b"])
    #expect(script.standing("a", .any) == .dead)
  }

  @Test("all refuse: hold")
  func allRefuse() throws {
    var script = try ready()
    for id: BackendID in ["a", "b", "c"] { script.kill(id, .refused) }
    #expect(script.serving(.any) == [])
    #expect(script.snapshot.state == .holding)
  }

  @Test("regression: failing open never sends writes to a server that is not proved writable")
  func failOpenProvesRoles() throws {
    var script = try Script(.fixed("a", "b", mode: .normal, check: .role))
    script.pass("a", role: .primary)
    script.pass("b", role: .replica)
    #expect(script.serving(.primary) == ["a"])
    script.kill("b", .timedOut)
    script.kill("a", .timedOut)
    #expect(script.serving(.any) == ["a", "b"])
    #expect(script.serving(.primary) == ["a"])
    script.wait(.seconds(1))
    #expect(script.serving(.primary) == [])
    #expect(script.serving(.any) == ["a", "b"])
  }

  @Test("with roles, each listener leads to the members of its role")
  func roles() throws {
    var script = try Script(.fixed("a", "b", "c", mode: .normal, check: .role, primary: nil))
    script.pass("a", role: .primary)
    script.pass("b", role: .replica)
    script.pass("c", role: .replica)
    #expect(script.serving(.primary) == ["a"])
    #expect(script.serving(.replica) == ["b", "c"])
    #expect(script.serving(.any) == ["a", "b", "c"])
  }
}
