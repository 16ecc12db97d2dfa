import Failover
import Glibc
import Model
import Testing

/// A world per seed: half a minute of faults, then peace. Safety after every input, progress once the faults stop.
///
/// A failing seed is printed with the command that replays it and its log; `LEBA_SEEDS` sets how many are tried (a night's worth: 1000000).
@Suite("Simulation")
struct SimulationTests {
  static let seedsPerLane: UInt64 = {
    let seeds = environment("LEBA_SEEDS") ?? 10_000
    #if DEBUG
      return max(1, seeds / 250)
    #else
      return seeds / 2
    #endif
  }()

  static func environment(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  struct Failure: Error, CustomStringConvertible {
    let seed: UInt64
    let wrong: [String]
    let log: [String]
    var description: String {
      """
      \(wrong.joined(separator: "\n"))
      replay with: LEBA_SEED=\(seed) scripts/test --filter SimulationTests/replay
      \(log.suffix(60).joined(separator: "\n"))
      """
    }
  }

  @Test("no seed breaks a rule, and every world recovers", arguments: [0, 1] as [UInt64])
  func seeds(lane: UInt64) throws {
    guard Self.environment("LEBA_SEED") == nil else { return }
    var kinds: [Decision.Kind: Int] = [:]
    for number in 0..<Self.seedsPerLane {
      let world = try Self.live(seed: number * 2 + lane)
      for decision in world.decisions { kinds[decision.kind, default: 0] += 1 }
    }
    // Everything that can be decided was decided somewhere, or the worlds are too tame.
    let tame = Decision.Kind.allCases.filter { kinds[$0, default: 0] < Int(Self.seedsPerLane) / 100 }
    #expect(tame.isEmpty, "\(kinds)")
  }

  @Test("replay: one seed from LEBA_SEED, or the first, twice")
  func replay() throws {
    let seed = Self.environment("LEBA_SEED") ?? 0
    let first = try Self.live(seed: seed)
    let second = try Self.live(seed: seed)
    #expect(first.log == second.log)
    #expect(first.decisions == second.decisions)
    #expect(first.engine.table == second.engine.table)
  }

  @discardableResult
  static func live(seed: UInt64) throws -> World {
    var world = World(seed: seed)
    world.run(until: .zero + .seconds(25))
    try check(world, seed)
    world.heal()
    // Longer than any hold, detection and removal of `WorldPlan`.
    world.run(until: world.now + .seconds(10))
    world.liftOverrides()
    world.run(until: world.now + .seconds(8))
    let bound = world.now + .seconds(600)
    while world.isSafe, world.isUnsettled, world.now < bound { world.run(until: world.now + .seconds(4)) }
    // Until the last twenty probes are good ones again, and a slow start is over.
    if world.engine.groups.contains(where: { $0.specification.predictive != nil || $0.specification.slowStart > .zero }) {
      world.run(until: world.now + .seconds(10))
    }
    try check(world, seed)
    if world.isUnsettled { throw Failure(seed: seed, wrong: ["something waits forever"], log: world.log) }
    for group in world.engine.groups {
      let role: ListenerRole = group.specification.mode == .activePassive ? .primary : .any
      let serving = world.engine.table[group.name]?.serving(role) ?? []
      if serving.isEmpty || group.holding { throw Failure(seed: seed, wrong: ["\(group.name) did not recover"], log: world.log) }
    }
    let differing = world.auditor.membersDiffering(in: world.engine)
    if !differing.isEmpty { throw Failure(seed: seed, wrong: differing, log: world.log) }
    // Peace means that nothing changes any more.
    let publications = world.publications
    world.run(until: world.now + .seconds(6))
    try check(world, seed)
    if world.publications != publications { throw Failure(seed: seed, wrong: ["changes in times of peace"], log: world.log) }
    return world
  }

  private static func check(_ world: World, _ seed: UInt64) throws {
    if !world.isSafe { throw Failure(seed: seed, wrong: world.wrong, log: world.log) }
  }
}

/// The simulation is worth what it notices. Each of these engines is broken on purpose.
@Suite("Canaries")
struct CanaryTests {
  /// Runs seeds until the audit says `expected`.
  private func noticed(_ expected: String, in makeWorld: (UInt64) -> World) -> Bool {
    for seed in 0..<200 as Range<UInt64> {
      var world = makeWorld(seed)
      world.mostWrong = 300
      world.run(until: .zero + .seconds(30))
      if world.wrong.contains(where: { $0.contains(expected) }) { return true }
    }
    return false
  }

  @Test(
    "effects that were tampered with",
    arguments: [
      (Sabotage.losesRecords, "0 records of a change of primary"), (.recordsTwice, "2 records of a change of primary"),
      (.losesTables, "the published routes are not the engine's"), (.letsEverybodyServe, "members serve at once"),
      (.letsEverybodyServe, "not proved writable"), (.losesProbePlans, "is not probed as it should be"),
      (.sleepsThroughDeadlines, "not proved writable"), (.sleepsThroughDeadlines, "nobody serves although somebody could"),
      (.sleepsThroughDeadlines, "should be gone"), (.takesFailuresForEmpty, "was removed too early"),
      (.overlooksDrained, "is drained and serves"), (.overlooksMaintenance, "is in maintenance and serves"),
      (.liftsOverrides, "against an operator"), (.overlooksOrders, "is drained and serves"),
      (.overlooksWindows, "is due and does not run"), (.prolongsWindows, "is over and still runs"),
      (.neverCancels, "nobody else could serve"), (.starvesEverybody, "nobody takes anything"),
      (.losesMemories, "is not remembered"), (.forgetsAll, "led before the restart, and another one is elected"),
      (.forgetsTimes, "failover too soon"), (.forgetsTimes, "was cancelled, and runs"),
      (.explainsWrongly, "is no explanation"), (.takesSilenceForRefusal, "while this host's network is suspected"),
      (.overlooksReplication, "leads on an older timeline"), (.overlooksReplication, "too far behind"),
    ])
  func effects(sabotage: Sabotage, expected: String) {
    #expect(noticed(expected) { World(seed: $0, sabotage: sabotage) })
  }

  @Test("an honest engine says nothing of the kind")
  func honest() throws {
    for seed in 0..<200 as Range<UInt64> {
      var world = World(seed: seed)
      world.run(until: .zero + .seconds(30))
      if !world.isSafe { throw SimulationTests.Failure(seed: seed, wrong: world.wrong, log: world.log) }
    }
  }

  @Test("a shorter interval between changes than configured")
  func spacing() {
    #expect(noticed("failover too soon") { World(seed: $0, told: { with($0) { $0.minimumInterval = .seconds(60) } }) })
  }

  @Test("more changes than the limit allows")
  func limit() {
    let told: (GroupSpecification) -> GroupSpecification = {
      with($0) { $0.maximumFailovers = FailoverLimit(count: 1, within: .seconds(60)) }
    }
    #expect(noticed("maximum_failovers is reached") { World(seed: $0, told: told) })
  }

  @Test("a shadow that acts")
  func shadow() { #expect(noticed("in shadow mode moved") { World(seed: $0, told: { with($0) { $0.shadow = true } }) }) }

  @Test("traffic moves where it was only to be said")
  func saidOnly() { #expect(noticed("no shadow mode") { World(seed: $0, told: { with($0) { $0.shadow = false } }) }) }

  @Test("failback although it is manual")
  func failback() {
    #expect(noticed("it is manual") { World(seed: $0, told: { with($0) { $0.failback = .manual } }) })
  }

  @Test("failback earlier than configured")
  func earlyFailback() {
    #expect(noticed("failback too early") { World(seed: $0, told: { with($0) { $0.failback = .automatic(after: .seconds(60)) } }) })
  }

  @Test("members removed before the hold time is over", arguments: ["was removed too early", "went with its group too early"])
  func removal(expected: String) {
    #expect(noticed(expected) { World(seed: $0, holdRemovedTold: .seconds(60)) })
  }

  @Test("a world whose names were not true in the end is told from one where they were")
  func healing() {
    var world = World(seed: 0)
    world.run(until: .zero + .seconds(5))
    var other = world.engine
    for name in world.clusters.flatMap(\.names) {
      let stranger = DiscoveryUpdate(domain: name, outcome: .answer([DiscoveredEndpoint(.v4(0x0a00_00ff), port: 5432)]))
      _ = other.handle(.discoveryUpdated(stranger), now: world.now)
    }
    #expect(!world.auditor.membersDiffering(in: other).isEmpty)
  }

  private func with(_ value: GroupSpecification, _ change: (inout GroupSpecification) -> Void) -> GroupSpecification {
    var copy = value
    change(&copy)
    return copy
  }
}
