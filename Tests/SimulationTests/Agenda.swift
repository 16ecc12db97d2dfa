import Model

/// What happens when, in a stable order: what was put in first comes first among what is due at the same instant.
struct Agenda<Element> {
  private struct Entry {
    let at: Instant
    let number: Int
    let element: Element

    func precedes(_ other: Entry) -> Bool { at == other.at ? number < other.number : at < other.at }
  }

  /// A binary heap.
  private var entries: [Entry] = []
  private var number = 0

  var earliest: Instant? { entries.first?.at }

  mutating func add(_ element: Element, at instant: Instant) {
    number += 1
    entries.append(Entry(at: instant, number: number, element: element))
    var place = entries.count - 1
    while place > 0, entries[place].precedes(entries[(place - 1) / 2]) {
      entries.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  mutating func removeEarliest() -> Element? {
    guard let first = entries.first else { return nil }
    entries.swapAt(0, entries.count - 1)
    entries.removeLast()
    var place = 0
    while true {
      var child = 2 * place + 1
      if child >= entries.count { break }
      if child + 1 < entries.count, entries[child + 1].precedes(entries[child]) { child += 1 }
      if entries[place].precedes(entries[child]) { break }
      entries.swapAt(place, child)
      place = child
    }
    return first.element
  }
}
