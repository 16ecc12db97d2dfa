import Model
import Testing

@testable import Proxy

@Suite struct HoldPacingTests {
  private let start = Instant(nanoseconds: 1_000_000_000)

  /// When each batch goes and how large it is, for so many waiters.
  private func batches(_ waiting: Int) -> [(Duration, Int)] {
    var pacing = HoldPacing()
    pacing.candidateAppeared(now: start)
    var (left, result): (Int, [(Duration, Int)]) = (waiting, [])
    while left > 0, let at = pacing.nextBatchAt {
      let batch = pacing.takeBatch(now: at)
      result.append((at - start, min(batch, left)))
      left -= batch
    }
    return result
  }

  @Test func aFewGoAtOnceAndManyAtAGrowingPace() {
    #expect(batches(16).map(\.1) == [16])
    #expect(batches(16).map(\.0) == [.zero])
    #expect(batches(1000).map(\.1) == [16, 32, 64, 128, 256, 504])
    #expect(batches(1000).map(\.0) == (0..<6).map { .milliseconds(10 * $0) })
  }

  @Test func failuresPauseLongerAndLongerAndASuccessEndsThat() {
    var pacing = HoldPacing()
    var now = start
    var pauses: [Duration] = []
    for _ in 0..<5 {
      pacing.mustWait(.allFailed, now: now)
      // Its companions of the same batch say nothing new.
      pacing.mustWait(.allFailed, now: now + .milliseconds(1))
      guard let next = pacing.nextBatchAt else { break }
      pauses.append(next - now)
      now = next
      #expect(pacing.takeBatch(now: now) == HoldPacing.firstBatch)
    }
    #expect(pauses == [50, 100, 200, 250, 250].map { .milliseconds($0) })
    pacing.mustWait(.allFailed, now: now)
    pacing.connectSucceeded(now: now)
    #expect(pacing.nextBatchAt == now + HoldPacing.step)
    #expect(pacing.takeBatch(now: now) == 16)
    #expect(pacing.takeBatch(now: now) == 32)
  }

  @Test func thoseBehindOthersAreServedSoon() {
    var pacing = HoldPacing()
    pacing.mustWait(.behindOthers, now: start)
    #expect(pacing.nextBatchAt == start + HoldPacing.step)
    pacing.rest()
    #expect(pacing.nextBatchAt == nil)
  }
}

extension HoldPacingTests {
  @Test func `while everybody is full nothing is tried, and a place that is freed is taken at once`() {
    var pacing = HoldPacing()
    pacing.mustWait(.noPlace, now: start)
    pacing.mustWait(.behindOthers, now: start)
    #expect(pacing.nextBatchAt == nil)
    pacing.placeFreed(now: start + .seconds(3))
    #expect(pacing.nextBatchAt == start + .seconds(3))
    // A pause after failures is none of its business.
    pacing.mustWait(.allFailed, now: start + .seconds(4))
    pacing.placeFreed(now: start + .seconds(4))
    #expect(pacing.nextBatchAt == start + .seconds(4) + HoldPacing.firstPause)
  }
}

@Suite struct SignalTests {
  @Test func aSignalOfAKindIsSentOncePerInterval() {
    let start = Instant(nanoseconds: 5)
    let route = MemberRoute(backend: "a", address: .unix(path: "/x"), weight: 1, standing: Standings(all: .serve))
    var slot = BackendSlot(route, group: 0)
    func sends(_ kind: DataPathSignal.Kind, after delay: Duration) -> Bool { slot.maySignal(kind, now: start + delay) }
    for kind in DataPathSignal.Kind.allCases {
      #expect(sends(kind, after: .zero))
      #expect(!sends(kind, after: .milliseconds(9)))
    }
    for kind in DataPathSignal.Kind.allCases { #expect(sends(kind, after: .milliseconds(10))) }
  }
}

@Suite struct FlowTests {
  @Test func bytesGoOutBeforeMoreComeIn() {
    var flow = Flow()
    let buffer = Buffer(number: 7)
    #expect(flow.start() == .receive)
    #expect(flow.received(buffer, count: 100) == .send)
    #expect(flow.pending?.offset == 0)
    var (step, recycled) = flow.sent(60)
    #expect(step == .send && recycled == nil)
    #expect(flow.pending?.offset == 60 && flow.pending?.count == 40)
    (step, recycled) = flow.sent(40)
    #expect(step == .receive && recycled == buffer)
    #expect(flow.pending == nil)
    #expect(flow.sourceEnded() == .passEndOn)
    #expect(flow.state == .ended)
    #expect(flow.drop() == nil)
  }

  @Test func whatIsPendingCanBeDropped() {
    var flow = Flow()
    _ = flow.start()
    _ = flow.received(Buffer(number: 3), count: 5)
    #expect(flow.drop() == Buffer(number: 3))
    #expect(flow.drop() == nil, "not twice")
  }

  @Test func anEngineThatSaysItSentTooMuchIsNotBelieved() {
    var flow = Flow()
    _ = flow.start()
    _ = flow.received(Buffer(number: 3), count: 5)
    let (step, recycled) = flow.sent(9)
    #expect(step == .receive && recycled == Buffer(number: 3))
  }
}

@Suite struct LargeFlowTests {
  /// What the flow asks for after it received so much and sent all of it.
  private func step(_ flow: inout Flow, after buffer: Buffer, _ count: Int) -> Flow.Step {
    #expect(flow.received(buffer, count: count) == .send)
    let (step, recycled) = flow.sent(count)
    #expect(recycled == buffer)
    return step
  }

  @Test func `pipes come after much in a row and go after little`() {
    var flow = Flow()
    let (memory, pipe) = (Buffer(number: 1), Buffer(pipe: 1))
    _ = flow.start()
    for _ in 1..<Flow.largeReceivesBeforePipe { #expect(step(&flow, after: memory, BufferPool.size) == .receive) }
    #expect(step(&flow, after: memory, 5) == .receive, "the row is broken")
    for _ in 1..<Flow.largeReceivesBeforePipe { #expect(step(&flow, after: memory, Flow.leastLarge) == .receive) }
    #expect(step(&flow, after: memory, Flow.leastLarge) == .receiveIntoPipe)
    #expect(step(&flow, after: pipe, PipePool.size) == .receiveIntoPipe)
    #expect(step(&flow, after: pipe, Flow.leastFromPipe) == .receiveIntoPipe)
    #expect(step(&flow, after: memory, BufferPool.size) == .receiveIntoPipe, "no pipe was free; the next may be")
    #expect(step(&flow, after: pipe, Flow.leastFromPipe - 1) == .receive)
    #expect(step(&flow, after: memory, BufferPool.size) == .receive)
  }

  @Test func `a pipe is dropped like memory`() {
    var flow = Flow()
    _ = flow.start()
    _ = flow.received(Buffer(pipe: 2), count: 100_000)
    #expect(flow.drop() == Buffer(pipe: 2))
    #expect(flow.drop() == nil, "not twice")
  }
}

@Suite struct ContainerTests {
  @Test func `slots keep their place, freed numbers are used again, and what is freed is let go`() {
    final class Value {
      let number: Int
      init(_ number: Int) { self.number = number }
    }
    var generator = SeededGenerator(seed: 3)
    var table = SlotTable<Value>()
    var truth: [Int32: Int] = [:]
    weak var watched: Value?
    for step in 0..<5000 {
      if truth.count < 300, Bool.random(using: &generator) {
        let value = Value(step)
        let number = table.insert(value)
        #expect(truth.updateValue(step, forKey: number) == nil, "a number in use was given again")
        #expect(number < 300)
        watched = value
      } else if let number = truth.keys.sorted().randomElement(using: &generator) {
        table.remove(number)
        table.remove(number)
        truth[number] = nil
      }
      #expect(truth.allSatisfy { table[$0].pointee.number == $1 })
    }
    #expect(table.numbers == truth.keys.sorted())
    for number in table.numbers { table.remove(number) }
    #expect(table.numbers.isEmpty && watched == nil)
  }

  @Test func deadlinesExpireInOrderWhateverHappensToThem() {
    var generator = SeededGenerator(seed: 42)
    var heap = DeadlineHeap()
    var truth: [UInt32: Int64] = [:]
    for step in 0..<20_000 {
      let id = UInt32.random(in: 0..<300, using: &generator)
      switch Int.random(in: 0..<4, using: &generator) {
      case 0, 1:
        let due = Int64(step) + Int64.random(in: 0..<500, using: &generator)
        heap.set(id, at: Instant(nanoseconds: due))
        truth[id] = due
      case 2:
        heap.remove(id)
        truth[id] = nil
      default:
        let now = Int64(step)
        while let expired = heap.popExpired(at: Instant(nanoseconds: now)) {
          let due = truth.removeValue(forKey: expired)
          #expect(due != nil && due! <= now)
        }
        #expect(truth.values.allSatisfy { $0 > now })
      }
      #expect(heap.count == truth.count)
      #expect(heap.earliest?.nanoseconds == truth.values.min())
    }
  }

  @Test func listsOfSessionsKeepTheirOrder() throws {
    var generator = SeededGenerator(seed: 7)
    var slab = try SessionSlab(capacity: 64)
    var list = SessionList(.hold)
    var other = SessionList(.backend)
    var truth: [SessionIndex] = []
    for _ in 0..<5000 {
      if truth.count < 40, Bool.random(using: &generator), let index = slab.take() {
        slab[index].pointee.phase = .held
        let place = Int.random(in: 0...truth.count, using: &generator)
        list.insert(index, after: place == 0 ? Links.none : truth[place - 1], in: slab)
        other.append(index, in: slab)
        truth.insert(index, at: place)
      } else if let index = truth.randomElement(using: &generator) {
        list.remove(index, in: slab)
        other.remove(index, in: slab)
        slab.give(index)
        truth.removeAll { $0 == index }
      }
      var walked: [SessionIndex] = []
      var index = list.first
      while index != Links.none {
        walked.append(index)
        index = list.next(after: index, in: slab)
      }
      #expect(walked == truth)
      #expect(list.count == truth.count && other.count == truth.count && slab.count == truth.count)
      #expect(list.last == truth.last ?? Links.none)
    }
  }

  @Test func aReusedSlotHasANewGeneration() throws {
    var slab = try SessionSlab(capacity: 1)
    let first = slab.take() ?? Links.none
    slab[first].pointee.phase = .held
    let generation = slab[first].pointee.clientGeneration
    let none = slab.take()
    #expect(none == nil)
    slab.give(first)
    let second = slab.take() ?? Links.none
    #expect(second == first)
    #expect(slab[second].pointee.clientGeneration != generation)
    #expect(slab[second].pointee.phase == .free, "nothing of the earlier session is left")
  }

  @Test func buffersAreBoundedAndReused() throws {
    var pool = try BufferPool(capacity: 100)
    var taken: [Buffer] = []
    while let buffer = pool.take() {
      pool.bytes(of: buffer).storeBytes(of: UInt8(taken.count), as: UInt8.self)
      taken.append(buffer)
    }
    #expect(taken.count == 100)
    #expect(Set(taken.map(\.number)).count == 100)
    for buffer in taken { pool.give(buffer) }
    let hot = pool.take()
    #expect(hot == taken.last, "the hot one first")
    pool.give(taken[99])
    let wasBloated = pool.isBloated
    #expect(wasBloated)
    pool.trim()
    // The first trim learns what is needed: all of it was.
    pool.trim()
    let isBloated = pool.isBloated
    #expect(!isBloated)
    #expect(pool.bytes(of: taken[0]).load(as: UInt8.self) == 0, "its page was given back")
    #expect(pool.bytes(of: taken[99]).load(as: UInt8.self) == 99, "the hot ones keep theirs")
  }
}
