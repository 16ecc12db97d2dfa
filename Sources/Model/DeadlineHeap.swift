/// One deadline per id, earliest first. An indexed heap: setting, moving and removing are logarithmic in the number of deadlines that are set.
/// Four children to a parent: they lie side by side, and the way down is half as long as with two. Ids should be small: the memory goes by the
/// largest.
///
/// Rejected: a FIFO per timeout class. Per-request timers would want it, and a lazily moved deadline serves them here too; but hold
/// and drain timeouts differ by group, and change, and then a FIFO is out of order.
package struct DeadlineHeap: Sendable {
  private struct Entry: BitwiseCopyable, Sendable {
    var due: Instant
    var id: UInt32
  }

  private static let children = 4

  private var entries: [Entry] = []
  /// By id: where its entry is, plus one; zero for none. As long as the largest id seen.
  private var places: [UInt32] = []

  package init() {}

  package var earliest: Instant? { entries.first?.due }
  package var count: Int { entries.count }

  package func deadline(of id: UInt32) -> Instant? {
    guard Int(id) < places.count, places[Int(id)] > 0 else { return nil }
    return entries[Int(places[Int(id)]) - 1].due
  }

  package mutating func set(_ id: UInt32, at due: Instant) {
    while places.count <= Int(id) { places.append(0) }
    let entry = Entry(due: due, id: id)
    let place = Int(places[Int(id)]) - 1
    if place < 0 {
      entries.append(entry)
      rise(entry, from: entries.count - 1)
    } else if due < entries[place].due {
      rise(entry, from: place)
    } else {
      sink(entry, from: place)
    }
  }

  package mutating func remove(_ id: UInt32) {
    guard Int(id) < places.count, places[Int(id)] > 0 else { return }
    let place = Int(places[Int(id)]) - 1
    places[Int(id)] = 0
    let moved = entries.removeLast()
    guard place < entries.count else { return }
    if place > 0, moved.due < entries[Self.parent(of: place)].due { rise(moved, from: place) } else { sink(moved, from: place) }
  }

  /// Takes out the earliest deadline that has passed.
  package mutating func popExpired(at now: Instant) -> UInt32? {
    guard let first = entries.first, first.due <= now else { return nil }
    remove(first.id)
    return first.id
  }

  private mutating func rise(_ entry: Entry, from start: Int) {
    var place = start
    while place > 0 {
      let parent = Self.parent(of: place)
      if entries[parent].due <= entry.due { break }
      put(entries[parent], at: place)
      place = parent
    }
    put(entry, at: place)
  }

  private mutating func sink(_ entry: Entry, from start: Int) {
    var place = start
    while true {
      let first = Self.children * place + 1
      guard first < entries.count else { break }
      var earliest = first
      for child in first + 1..<min(first + Self.children, entries.count) where entries[child].due < entries[earliest].due {
        earliest = child
      }
      if entry.due <= entries[earliest].due { break }
      put(entries[earliest], at: place)
      place = earliest
    }
    put(entry, at: place)
  }

  private static func parent(of place: Int) -> Int { (place - 1) / children }

  private mutating func put(_ entry: Entry, at place: Int) {
    entries[place] = entry
    places[Int(entry.id)] = UInt32(place + 1)
  }
}
