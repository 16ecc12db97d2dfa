import Model

extension Format<String> {
  /// Text that stays text, whatever it looks like: `name: 1` is the name "1".
  static var string: Self {
    string(atMost: 1024)
  }
}

extension Format {
  static func string(atMost limit: Int) -> Self where Output == String {
    Format(expected: "text") { text throws(Complaint) in
      guard !text.value.isEmpty else { throw Complaint("\(text.shown) is empty", "write some text, or remove the key") }
      guard text.value.utf8.count <= limit else { throw Complaint("text of more than \(limit) bytes", "write less") }
      guard !text.value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
        throw Complaint("\(text.shown) contains a control character", "remove it")
      }
      return text.value
    }
  }
}

extension Format<Bool> {
  static var boolean: Self {
    Format(expected: "true or false") { text throws(Complaint) in
      switch text.value {
      case "true": return true
      case "false": return false
      default: throw Complaint("\(text.shown) is neither true nor false", "write true or false")
      }
    }
  }
}

extension Format {
  static func integer(_ range: ClosedRange<Int>) -> Self where Output == Int {
    let remedy = "write a whole number from \(range.lowerBound) to \(range.upperBound)"
    return Format(expected: "a whole number from \(range.lowerBound) to \(range.upperBound)") { text throws(Complaint) in
      guard let number = wholeNumber(text.value) else { throw Complaint("\(text.shown) is not a whole number", remedy) }
      guard range.contains(number) else { throw Complaint("\(text.shown) is out of range", remedy) }
      return number
    }
  }
}

extension Format<UInt16> {
  static var port: Self {
    Format(expected: "a port from 1 to 65535") { text throws(Complaint) in
      guard let port = portNumber(text.value) else {
        throw Complaint("\(text.shown) is not a port", "write a whole number from 1 to 65535")
      }
      return port
    }
  }
}

extension Format {
  static func duration(_ range: ClosedRange<Duration>) -> Self where Output == Duration {
    Format(expected: "a duration, for example 250ms, 5s or 1m30s") { text throws(Complaint) in
      let duration = try LebaConfiguration.duration(from: text)
      if duration < range.lowerBound {
        throw Complaint("\(text.shown) is too short", "write \(range.lowerBound.text) or more")
      }
      if duration > range.upperBound {
        throw Complaint("\(text.shown) is too long", "write \(range.upperBound.text) or less")
      }
      return duration
    }
  }

  /// One of a fixed set of words.
  static func choice(_ noun: String, among words: [Output] = Array(Output.allCases)) -> Self
  where Output: CaseIterable & RawRepresentable<String> {
    let known = words.map(\.rawValue)
    let list = known.count > 1 ? "\(known.dropLast().joined(separator: ", ")) or \(known[known.count - 1])" : known.joined()
    return Format(expected: list) { text throws(Complaint) in
      if let word = words.first(where: { $0.rawValue == text.value }) { return word }
      throw Complaint("\(text.shown) is not \(noun)", "use \(list)")
    }
  }

  /// The name of a thing of ours. It must fit into a URL path, a metric label and a table column without escapes, and not be
  /// mistaken for `address:port`.
  static func name() -> Self where Output: Name { Format<String>.wellFormedName.map { Output($0) } }

  static var wellFormedName: Format<String> {
    Format<String>(expected: "a name") { text throws(Complaint) in
      guard GroupName.isWellFormed(text.value) else {
        throw Complaint("\(text.shown) is not a name", "use up to 253 letters, digits, '-', '_' and '.'")
      }
      return text.value
    }
  }
}

extension Format<Secret> {
  static var secret: Self {
    Format(expected: "text") { text throws(Complaint) in
      // Never `text.shown`: here the file itself may hold the secret.
      guard !text.value.isEmpty else { throw Complaint("the secret is empty", "write it, or name a file that holds it") }
      return try checked(secret: text.value)
    }
  }
}

extension Format<Secret> {
  static var secretFile: Self {
    Format(expected: "the path of a file") { text throws(Complaint) in
      let bytes = try contents(ofFile: text.value, limit: 65536, forSecret: true)
      guard var value = String(validating: bytes, as: UTF8.self) else {
        throw Complaint("the secret file \(text.shown) is not UTF-8", "write the secret as text")
      }
      if value.last == "\n" || value.last == "\r\n" { value.removeLast() }
      guard !value.isEmpty else { throw Complaint("the secret file \(text.shown) is empty", "write the secret into it") }
      return try checked(secret: value)
    }
  }
}

extension Format {
  /// No protocol can carry a zero byte in a password, and C would cut the rest off without a word.
  private static func checked(secret: String) throws(Complaint) -> Secret {
    guard !secret.utf8.contains(0) else { throw Complaint("the secret contains a zero byte", "write it without one") }
    guard secret.utf8.count <= 4096 else { throw Complaint("the secret is longer than 4096 bytes", "use a shorter one") }
    return Secret(secret)
  }
}

/// Digits only: no sign, no underscore, no leading zero that YAML 1.1 would read as octal.
func wholeNumber(_ text: some StringProtocol) -> Int? {
  guard !text.isEmpty, text.allSatisfy(isDigit), text == "0" || text.first != "0" else { return nil }
  return Int(text)
}

func portNumber(_ text: some StringProtocol) -> UInt16? {
  guard let number = wholeNumber(text), number > 0 else { return nil }
  return UInt16(exactly: number)
}
