import CLinux
import Glibc

typealias SessionIndex = UInt32

/// Both neighbours in a list that is threaded through the slab. `none` ends it.
struct Links: BitwiseCopyable {
  static let none = SessionIndex.max
  var previous = Links.none
  var next = Links.none
}

/// All sessions of a worker in one stretch of memory that never moves. Reserved for the connection limit; pages that no session
/// has used cost nothing, and freed slots are used again before fresh ones.
struct SessionSlab: ~Copyable {
  let capacity: Int
  private(set) var count = 0
  private let base: UnsafeMutablePointer<Session>
  /// Slots from here on were never used and hold no initialised session.
  private var fresh: SessionIndex = 0
  private var free = Links.none

  init(capacity: Int) throws(EngineError) {
    let size = capacity * MemoryLayout<Session>.stride
    guard let memory = leba_reserve(size) else { throw EngineError(operation: "reserving sessions", errno: errno) }
    base = memory.bindMemory(to: Session.self, capacity: capacity)
    self.capacity = capacity
  }

  deinit { leba_unreserve(base, capacity * MemoryLayout<Session>.stride) }

  var isFull: Bool { count == capacity }

  /// Every slot that is in use has an index below this.
  var used: SessionIndex { fresh }

  subscript(index: SessionIndex) -> UnsafeMutablePointer<Session> {
    assert(index < fresh)
    return base + Int(index)
  }

  /// A session in its first state. Its generations go on from the slot's last ones, so that late news of those matches nothing.
  mutating func take() -> SessionIndex? {
    guard !isFull else { return nil }
    count += 1
    guard free != Links.none else {
      defer { fresh += 1 }
      (base + Int(fresh)).initialize(to: Session())
      return fresh
    }
    let index = free
    let session = base + Int(index)
    free = session.pointee.holdLinks.next
    var renewed = Session()
    renewed.clientGeneration = session.pointee.clientGeneration &+ 1
    renewed.upstreamGeneration = session.pointee.upstreamGeneration
    session.pointee = renewed
    return index
  }

  mutating func give(_ index: SessionIndex) {
    let session = base + Int(index)
    assert(session.pointee.phase != .free, "a session was freed twice")
    session.pointee.phase = .free
    session.pointee.holdLinks.next = free
    free = index
    count -= 1
  }
}

/// A doubly linked list threaded through sessions: the sessions of a backend, or those a route holds.
struct SessionList: BitwiseCopyable {
  enum Kind: UInt8, BitwiseCopyable { case backend, hold }

  private let kind: Kind
  private(set) var first = Links.none
  private(set) var last = Links.none
  private(set) var count = 0

  init(_ kind: Kind) { self.kind = kind }

  var isEmpty: Bool { count == 0 }

  func next(after index: SessionIndex, in slab: borrowing SessionSlab) -> SessionIndex { slab[index].pointee[kind].next }

  mutating func append(_ index: SessionIndex, in slab: borrowing SessionSlab) { insert(index, after: last, in: slab) }

  /// After `Links.none` means first.
  mutating func insert(_ index: SessionIndex, after previous: SessionIndex, in slab: borrowing SessionSlab) {
    let next = previous == Links.none ? first : slab[previous].pointee[kind].next
    slab[index].pointee[kind] = Links(previous: previous, next: next)
    if previous == Links.none { first = index } else { slab[previous].pointee[kind].next = index }
    if next == Links.none { last = index } else { slab[next].pointee[kind].previous = index }
    count += 1
  }

  mutating func remove(_ index: SessionIndex, in slab: borrowing SessionSlab) {
    let own = slab[index].pointee[kind]
    if own.previous == Links.none { first = own.next } else { slab[own.previous].pointee[kind].next = own.next }
    if own.next == Links.none { last = own.previous } else { slab[own.next].pointee[kind].previous = own.previous }
    slab[index].pointee[kind] = Links()
    count -= 1
  }
}
