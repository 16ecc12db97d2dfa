/// A scalar of the file after `${NAME}` was replaced from the environment.
struct Text {
  /// A value of the environment can be long, and a file can name it a hundred thousand times.
  private static let limit = 1 << 16

  let value: String
  /// How messages show it: as the file has it. What came from the environment may be a secret and is never repeated.
  let shown: String

  /// Only scalars are substituted, after the YAML was parsed: a value can hold colons, quotes and line ends and stays a value.
  init(_ source: String, environment: [String: String]) throws(Complaint) {
    shown = quoted(source)
    guard source.contains("$") else {
      value = source
      return
    }
    var result = ""
    var rest = Substring(source)
    while let dollar = rest.firstIndex(of: "$") {
      result += rest[..<dollar]
      rest = rest[dollar...]
      if rest.hasPrefix("$${") {
        result += "${"
        rest = rest.dropFirst(3)
      } else if rest.hasPrefix("${") {
        let name = rest.dropFirst(2).prefix { $0 != "}" }
        guard isVariableName(name), name.endIndex < rest.endIndex else {
          throw Complaint(
            "\(shown) has a '${' that does not begin the name of a variable",
            "write ${NAME} with letters, digits and '_', or $${ for the two characters themselves")
        }
        guard let replacement = environment[String(name)] else {
          throw Complaint(
            "the environment variable \(quoted(name)) is not set", "set it, or write $${\(name)} if the text itself is meant")
        }
        result += replacement
        guard result.utf8.count <= Self.limit else {
          throw Complaint("\(shown) becomes longer than \(Self.limit / 1024) KiB", "use shorter variables, or fewer")
        }
        rest = rest[name.endIndex...].dropFirst()
      } else {
        result += "$"
        rest = rest.dropFirst()
      }
    }
    value = result + rest
  }

  /// A part of a text, which messages show whole.
  init(showing whole: Text, value: String) {
    shown = whole.shown
    self.value = value
  }
}

private func isVariableName(_ name: Substring) -> Bool {
  guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
  return name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
}
