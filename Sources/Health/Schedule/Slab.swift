/// Values by small numbers. Grows by a fixed piece, not by doubling, and a copy shares all pieces that are not written to
/// afterwards: a snapshot of tens of thousands costs its taker nothing and its writer one piece at a time.
struct Slab<Element: Sendable>: Sendable {
  private static var pieceSize: Int { 256 }

  private var pieces: [[Element]] = []
  private(set) var count = 0

  subscript(number: Int) -> Element {
    get { pieces[number / Self.pieceSize][number % Self.pieceSize] }
    _modify { yield &pieces[number / Self.pieceSize][number % Self.pieceSize] }
  }

  mutating func append(_ element: Element) {
    if count % Self.pieceSize == 0 {
      var piece: [Element] = []
      piece.reserveCapacity(Self.pieceSize)
      pieces.append(piece)
    }
    pieces[count / Self.pieceSize].append(element)
    count += 1
  }
}
