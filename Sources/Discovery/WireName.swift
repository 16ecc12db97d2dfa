/// A domain name as DNS messages carry it: labels with their lengths, in lower case, without the root's final zero.
///
/// Names out of messages may hold any byte, dots included, so they are compared in this form and never as text.
struct WireName: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// RFC 1035 section 2.3.4, with the root's zero.
  static let maximumLength = 255
  static let maximumLabel = 63

  private(set) var bytes: [UInt8] = []

  static let root = WireName()

  private init() {}

  /// Parses the text of a name that passed `NameSource`: labels of letters, digits, `-` and `_`.
  init?(_ text: String) {
    for label in text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      guard !label.isEmpty, append(label: label) else { return nil }
    }
  }

  /// Adds a label at the end; false when the name or the label would be too long.
  mutating func append(label: some Collection<UInt8>) -> Bool {
    let count = label.count
    guard count <= Self.maximumLabel, bytes.count + 1 + count + 1 <= Self.maximumLength else { return false }
    bytes.append(UInt8(count))
    for byte in label { bytes.append(byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte) }
    return true
  }

  static func < (a: WireName, b: WireName) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

  /// Whether its text is the name: no dots within labels, nothing that needs an escape. Others cannot be asked for.
  var isHostName: Bool {
    var index = 0
    while index < bytes.count {
      let end = index + 1 + Int(bytes[index])
      guard bytes[(index + 1)..<end].allSatisfy(NameSource.isAllowed) else { return false }
      index = end
    }
    return !bytes.isEmpty
  }

  /// For people: what is not printable ASCII is escaped as in zone files, so that a hostile name cannot forge a log line.
  var description: String {
    guard !bytes.isEmpty else { return "." }
    var text = ""
    var index = 0
    while index < bytes.count {
      let end = index + 1 + Int(bytes[index])
      if index > 0 { text += "." }
      for byte in bytes[(index + 1)..<end] {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
        case 0x21...0x7E: text.unicodeScalars.append(UnicodeScalar(byte))
        default:
          let digits = String(byte)
          text += "\\" + String(repeating: "0", count: 3 - digits.count) + digits
        }
      }
      index = end
    }
    return text
  }
}
