import Foundation
package import Model

/// Times as the API and the command line write and read them.
extension WallTime {
  /// RFC 3339 in UTC, with milliseconds.
  package var text: String {
    Date(timeIntervalSince1970: Double(milliseconds) / 1000).formatted(
      Date.ISO8601FormatStyle(includingFractionalSeconds: true, timeZone: .gmt))
  }

  /// RFC 3339 with any offset, with or without a fraction of a second; a duration means so long ago.
  package init?(_ text: String, now: WallTime) {
    if let duration = Duration(text: text) {
      self = now - duration
      return
    }
    let date =
      (try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
      ?? (try? Date(text, strategy: .iso8601))
    guard let date, abs(date.timeIntervalSince1970) < 1e12 else { return nil }
    self.init(milliseconds: Int64((date.timeIntervalSince1970 * 1000).rounded()))
  }
}

extension Duration {
  /// What `text` gives: whole numbers, each with its unit, the larger units first (`1h30m`). Nil for anything else.
  package init?(text: String) {
    var units: [(name: String, milliseconds: Int64)] = [
      ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]
    var total: Int64 = 0
    var rest = Substring(text)
    repeat {
      let digits = rest.prefix { $0.isASCII && $0.isWholeNumber }
      rest = rest[digits.endIndex...]
      let name = rest.prefix { $0.isASCII && $0.isLetter }
      rest = rest[name.endIndex...]
      // Nine digits of the largest unit, and of all of them together, fit.
      guard (1...9).contains(digits.count), let number = Int64(digits), let index = units.firstIndex(where: { $0.name == name })
      else { return nil }
      total += number * units[index].milliseconds
      units.removeSubrange(...index)
    } while !rest.isEmpty
    self = .milliseconds(total)
  }
}
