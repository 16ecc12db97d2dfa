/// Nobody's hint is worth comparing with more names.
let mostNamesCompared = 1000

/// The known name that `text` most likely meant: the one with the fewest edits, the first of the alphabet among equals.
func nearestName(to text: some StringProtocol, among names: some Sequence<String>) -> String? {
  // Nobody mistypes a name of hundreds of bytes.
  let longest = 64
  let wanted = Array(text.lowercased().utf8.prefix(longest))
  return names.prefix(mostNamesCompared).map { (edits(wanted, Array($0.lowercased().utf8.prefix(longest))), $0) }.min { $0 < $1 }?.1
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment).
func edits(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforeLast: [Int] = []
  var last = Array(0...b.count)
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var best = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforeLast[j - 1] + 1) }
      row.append(best)
    }
    (beforeLast, last) = (last, row)
  }
  return last[b.count]
}
