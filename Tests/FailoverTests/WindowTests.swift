import Failover
import Model
import Testing

@Suite("Maintenance windows")
struct WindowTests {
  static let noon = WallTime(milliseconds: 1_800_000_000_000)

  static func window(
    _ id: String = "w", _ backend: BackendID = "a", after: Duration = .seconds(3600), lasts: Duration = .seconds(600),
    repetition: MaintenanceWindow.Repetition? = nil, preDrain: Duration = .seconds(120)
  ) -> MaintenanceWindow {
    MaintenanceWindow(
      id: id, backend: backend, start: noon + after, duration: lasts, repetition: repetition, preDrain: preDrain)
  }

  func ready(_ windows: MaintenanceWindow..., mode: GroupMode = .normal) throws -> Script {
    var script = try Script(.fixed("a", "b", mode: mode, primary: mode == .normal ? nil : "a"))
    _ = script.feed(.wallClockRead(Self.noon))
    script.pass("a")
    script.pass("b")
    script.wait(.seconds(60))
    for window in windows { try script.ask { try $0.schedule(window, now: $1) } }
    return script
  }

  /// To this time after noon, by both clocks.
  func go(_ script: inout Script, to time: Duration) { script.wait(Instant.zero + time - script.now) }

  func state(_ script: Script, _ id: String = "w") -> WindowSnapshot.State? {
    script.engine.windows(at: script.now).first { $0.window.id == id }?.state
  }

  @Test("drained before, in maintenance during, in service after", arguments: [GroupMode.normal, .activePassive])
  func once(mode: GroupMode) throws {
    var script = try ready(Self.window(), mode: mode)
    #expect(script.rememberedWindows == [WindowMemory(Self.window())])
    #expect(state(script) == .waiting)
    go(&script, to: .seconds(3479))
    #expect(script.reason("a") != "drained: its maintenance begins soon")
    go(&script, to: .seconds(3480))
    #expect(script.reason("a") == "drained: its maintenance begins soon")
    #expect(state(script) == .draining)
    #expect(script.serving(mode == .normal ? .any : .primary) == ["b"])
    go(&script, to: .seconds(3600))
    #expect(script.reason("a") == "in maintenance")
    #expect(state(script) == .active)
    #expect(script.violations == [])
    go(&script, to: .seconds(4200))
    #expect(script.reason("a")?.hasPrefix("eligible") == true)
    #expect(script.rememberedWindows == [])
    #expect(script.engine.windows(at: script.now).isEmpty)
    let kinds = script.kinds.filter { [.drained, .maintenanceBegan, .maintenanceEnded].contains($0) }
    #expect(kinds == [.drained, .maintenanceBegan, .maintenanceEnded])
    #expect(script.engine.nextDeadline == nil)
  }

  @Test("a window that is over when it is asked for is not remembered")
  func overAtOnce() throws {
    let script = try ready(Self.window(after: .seconds(-1000), lasts: .seconds(600)))
    #expect(script.rememberedWindows == [])
    #expect(script.engine.windows(at: script.now).isEmpty)
  }

  @Test("nobody else could serve: this occurrence is cancelled, with the reason")
  func cancelled() throws {
    var script = try ready(Self.window(repetition: .daily))
    script.kill("b")
    go(&script, to: .seconds(3600))
    #expect(script.serving(.any) == ["a"])
    #expect(script.kinds.last == .maintenanceCancelled)
    #expect(script.decisions.last?.reason == .noAlternative(window: "w"))
    #expect(state(script) == .cancelled)
    script.revive("b")
    go(&script, to: .seconds(4000))
    #expect(script.serving(.any) == ["a", "b"])
    go(&script, to: .seconds(86_400 + 3600))
    #expect(state(script) == .active)
    #expect(script.serving(.any) == ["b"])
  }

  @Test("the alternative died during the drain: the backend comes back into service")
  func cancelledAtStart() throws {
    var script = try ready(Self.window())
    go(&script, to: .seconds(3500))
    #expect(state(script) == .draining)
    script.kill("b")
    go(&script, to: .seconds(3600))
    #expect(state(script) == .cancelled)
    #expect(script.serving(.any) == ["a"])
    go(&script, to: .seconds(4300))
    #expect(script.engine.windows(at: script.now).isEmpty)
  }

  @Test("two of one group at the same time: one of them waits for another day")
  func both() throws {
    var script = try ready(Self.window("w"), Self.window("v", "b"))
    go(&script, to: .seconds(3600))
    #expect(state(script, "w") == .active)
    #expect(state(script, "v") == .cancelled)
    #expect(script.serving(.any) == ["b"])
  }

  @Test("two windows of one backend overlap: it is back when both are over")
  func overlap() throws {
    var script = try ready(Self.window("w"), Self.window("v", after: .seconds(3900), lasts: .seconds(900), preDrain: .zero))
    go(&script, to: .seconds(4300))
    #expect(script.reason("a") == "in maintenance")
    #expect(script.violations == [])
    go(&script, to: .seconds(4800))
    #expect(script.serving(.any) == ["a", "b"])
  }

  @Test("weekly windows come again")
  func weekly() throws {
    var script = try ready(Self.window(repetition: .weekly))
    for week in 0..<3 {
      go(&script, to: .seconds(3600 + 604_800 * week))
      #expect(state(script) == .active)
      go(&script, to: .seconds(4200 + 604_800 * week))
      #expect(state(script) == .waiting)
    }
  }

  @Test("a restart in the middle: it goes on, before anybody has been heard")
  func restart() throws {
    var script = try Script(.fixed("a", "b", mode: .normal, primary: nil))
    _ = script.feed(.remembered(groups: [], windows: [WindowMemory(Self.window())]))
    _ = script.feed(.wallClockRead(Self.noon + .seconds(3700)))
    #expect(state(script) == .active)
    script.pass("a")
    script.pass("b")
    #expect(script.serving(.any) == ["b"])
    script.wait(.seconds(500))
    #expect(script.serving(.any) == ["a", "b"])
  }

  /// The next run, which finds what the last one asked to keep, a while later.
  func restarted(after script: Script, file: [MaintenanceWindow] = [], _ pause: Duration = .seconds(10)) -> Script {
    var next = Script(
      .fixed("a", "b", mode: .normal, primary: nil), remembering: script.memory, windows: script.rememberedWindows ?? [],
      file: file, wall: script.wall + pause)
    next.pass("a")
    next.pass("b")
    return next
  }

  @Test("an occurrence that was cancelled stays so over restarts, and the next one comes", arguments: [false, true])
  func cancelledBeforeRestart(isConfigured: Bool) throws {
    let window = Self.window(repetition: .daily)
    var script = try isConfigured ? ready() : ready(window)
    let file = isConfigured ? [window] : []
    _ = script.feed(.windowsConfigured(file))
    script.kill("b")
    go(&script, to: .seconds(3600))
    #expect(state(script) == .cancelled)
    #expect(script.rememberedWindows?.map(\.cancelled) == [window.start])
    for _ in 0..<2 {
      script = restarted(after: script, file: file)
      #expect(state(script) == .cancelled)
      #expect(script.engine.windows(at: script.now).first?.reason != nil)
      #expect(script.serving(.any) == ["a", "b"])
    }
    script.wait(.seconds(86_400))
    #expect(state(script) == .active)
    #expect(script.serving(.any) == ["b"])
    // Nothing is to be known of it any more, but that somebody asked for it.
    #expect(script.rememberedWindows == (isConfigured ? [] : [WindowMemory(window)]))
  }

  @Test("a window that the file does not have any more is forgotten with what was cancelled of it")
  func cancelledAndGone() throws {
    var script = try ready()
    _ = script.feed(.windowsConfigured([Self.window(repetition: .daily)]))
    script.kill("b")
    go(&script, to: .seconds(3600))
    let next = restarted(after: script)
    #expect(next.engine.windows(at: next.now).isEmpty)
    #expect(next.rememberedWindows == [])
    // Described otherwise, it is another one.
    let other = restarted(after: script, file: [Self.window(lasts: .seconds(900), repetition: .daily)])
    #expect(state(other) == .active)
    #expect(other.rememberedWindows == [])
  }

  @Test("what is remembered to be cancelled may be nonsense", arguments: [Int64.min, 0, .max])
  func cancelledNonsense(at milliseconds: Int64) throws {
    let memory = WindowMemory(Self.window(), cancelled: WallTime(milliseconds: milliseconds))
    var script = try ready()
    _ = script.feed(.remembered(groups: [], windows: [memory]))
    go(&script, to: .seconds(3700))
    #expect(state(script) == .active)
    #expect(script.violations == [])
  }

  @Test("who becomes a member during its maintenance is in maintenance")
  func newcomer() throws {
    var script = try ready(Self.window("w", "n"))
    go(&script, to: .seconds(3700))
    try script.ask { try $0.addMember(DrainTests.fixed("n", 0x0a00_0009), to: "g", now: $1) }
    script.pass("n")
    #expect(script.reason("n") == "in maintenance")
    go(&script, to: .seconds(4200))
    #expect(script.serving(.any).contains("n"))
    #expect(script.violations == [])
  }

  @Test("the clock is set back a little: what is over does not come again, what runs goes on")
  func backwards() throws {
    var script = try ready(Self.window())
    go(&script, to: .seconds(3601))
    _ = script.feed(.wallClockRead(Self.noon + .seconds(3590)))
    #expect(state(script) == .active)
    // By the monotonic clock it has lasted long enough.
    go(&script, to: .seconds(4200))
    #expect(script.serving(.any) == ["a", "b"])
    #expect(!script.kinds.dropLast().contains(.maintenanceEnded))
    script.wait(.seconds(60))
    #expect(script.kinds.filter { $0 == .maintenanceBegan }.count == 1)
  }

  @Test("the clock was wrong by days: what began by it is taken back, and comes at its time")
  func corrected() throws {
    var script = try ready(Self.window())
    _ = script.feed(.wallClockRead(Self.noon + .seconds(3700)))
    #expect(state(script) == .active)
    _ = script.feed(.wallClockRead(Self.noon))
    #expect(state(script) == .waiting)
    #expect(script.serving(.any) == ["a", "b"])
    script.wait(.seconds(3600))
    #expect(state(script) == .active)
  }

  @Test("the clock jumps over it: there is nothing left to do")
  func forwards() throws {
    var script = try ready(Self.window())
    _ = script.feed(.wallClockRead(Self.noon + .seconds(10_000)))
    #expect(script.serving(.any) == ["a", "b"])
    #expect(script.engine.windows(at: script.now).isEmpty)
    #expect(!script.kinds.contains(.maintenanceBegan))
  }

  @Test("cancelled by a person in the middle: back in service")
  func cancelRunning() throws {
    var script = try ready(Self.window())
    go(&script, to: .seconds(3700))
    try script.ask { try $0.cancelWindow("w", now: $1) }
    #expect(script.serving(.any) == ["a", "b"])
    #expect(script.rememberedWindows == [])
    #expect(throws: CommandError.unknownWindow("w")) { try script.ask { try $0.cancelWindow("w", now: $1) } }
  }

  @Test("windows of the file: changed there, and nowhere else")
  func configured() throws {
    var script = try ready()
    _ = script.feed(.windowsConfigured([Self.window()]))
    #expect(throws: CommandError.windowIsConfigured("w")) { try script.ask { try $0.cancelWindow("w", now: $1) } }
    #expect(throws: CommandError.windowExists("w")) { try script.ask { try $0.schedule(Self.window(), now: $1) } }
    go(&script, to: .seconds(3700))
    #expect(script.feed(.windowsConfigured([Self.window()])) == [])
    #expect(state(script) == .active)
    _ = script.feed(.windowsConfigured([]))
    #expect(script.serving(.any) == ["a", "b"])
    #expect(script.rememberedWindows == nil)
  }

  @Test("a pinned primary is not moved by a window")
  func pinned() throws {
    var script = try ready(Self.window(), mode: .activePassive)
    try script.choose("a", pin: true)
    go(&script, to: .seconds(3600))
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == ["a"])
    #expect(state(script) == .cancelled)
  }

  @Test("absurd times and lengths do no harm")
  func absurd() throws {
    var script = try ready()
    for (id, start) in [("x", Int64.min), ("y", Int64.max), ("z", 0)] {
      for repetition in [nil, MaintenanceWindow.Repetition.daily] {
        let window = MaintenanceWindow(
          id: "\(id)\(repetition?.rawValue ?? "")", backend: "a", start: WallTime(milliseconds: start),
          duration: .seconds(Int64.max), repetition: repetition, preDrain: .seconds(Int64.max / 2))
        try script.ask { try $0.schedule(window, now: $1) }
      }
    }
    script.wait(.seconds(200_000))
    #expect(script.violations == [])
  }
}
