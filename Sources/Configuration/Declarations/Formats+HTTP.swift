import Model

extension Format<String> {
  /// What goes into a request line as it is: a space or a line end would begin another request.
  static var requestPath: Self {
    Format(expected: "a path, for example /health") { text throws(Complaint) in
      guard text.value.hasPrefix("/") else { throw Complaint("\(text.shown) does not begin with '/'", "write for example /health") }
      guard text.value.utf8.count <= 1024 else { throw Complaint("\(text.shown) is longer than 1024 bytes", "use a shorter one") }
      guard text.value.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }) else {
        throw Complaint("\(text.shown) cannot stand in a request", "escape spaces and other letters than ASCII as %XX")
      }
      return text.value
    }
  }
}

extension Format<String> {
  static var hostField: Self {
    Format(expected: "a host, for example app.example.com") { text throws(Complaint) in
      let allowed = text.value.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
          true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"): true
        default: false
        }
      }
      guard allowed, (1...255).contains(text.value.utf8.count) else {
        throw Complaint("\(text.shown) is not a host", "write for example app.example.com or app.example.com:8080")
      }
      return text.value
    }
  }
}

extension Format<[ClosedRange<Int>]> {
  /// `200`, `200-299`, or a list of these.
  static var statusRanges: Self {
    Format { value in
      guard let elements = value.elements else { return Format<ClosedRange<Int>>.statusRange.read(value).map { [$0] } }
      if elements.isEmpty { value.reader.error("\(value.name) is empty", "write for example 200-299", at: value.position) }
      return elements.compactMap(Format<ClosedRange<Int>>.statusRange.read)
    }
  }
}

extension Format {
  private static var statusRange: Format<ClosedRange<Int>> {
    Format<ClosedRange<Int>>(expected: "a status or a range of them, for example 200-299") { text throws(Complaint) in
      let bounds = text.value.split(separator: "-", omittingEmptySubsequences: false).map { wholeNumber($0) }
      let complaint = Complaint(
        "\(text.shown) is not a range of statuses", "write for example 204 or 200-299, from 100 to 599")
      guard let first = bounds[0], bounds.count <= 2, let last = bounds[bounds.count - 1] else { throw complaint }
      guard first <= last, (100...599).contains(first), (100...599).contains(last) else { throw complaint }
      return first...last
    }
  }
}

extension Format<[HTTPHeader]> {
  private static var mostHeaders: Int { 32 }

  /// A mapping of names to values, in the order of the file.
  static var headers: Self {
    .mapping(.other) { map in
      var names: Set<String> = []
      var headers: [HTTPHeader] = []
      for (name, value) in map.pairs(.headerValue) {
        if let complaint = complaint(about: name.value) {
          map.reader.error(complaint, at: name.position)
        } else if !names.insert(name.value.lowercased()).inserted {
          map.reader.error("\(quoted(name.value)) is given twice", "keep one of them", at: name.position)
        } else if headers.count == mostHeaders {
          map.reader.error("more than \(mostHeaders) headers", "send fewer", at: name.position)
        }
        if let value { headers.append(HTTPHeader(name.value, value)) }
      }
      return headers
    }
  }

  private static func complaint(about name: String) -> Complaint? {
    // A token of RFC 9110.
    let isToken = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
    }
    guard isToken, (1...128).contains(name.utf8.count) else {
      return Complaint("\(quoted(name)) is not the name of a header", "write for example X-Probe")
    }
    switch name.lowercased() {
    case "host": return Complaint("'\(name)' has a key of its own", "write host: instead")
    case "connection", "content-length", "transfer-encoding":
      return Complaint("'\(name)' is ours: it says how the request is sent", "remove it")
    default: return nil
    }
  }
}

extension Format<String> {
  /// Nothing that could end the line. Never shown whole where it comes from the environment: it may be a token.
  static var headerValue: Self {
    Format(expected: "text") { text throws(Complaint) in
      guard text.value.utf8.count <= 4096 else { throw Complaint("text of more than 4096 bytes", "write less") }
      guard text.value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
        throw Complaint("\(text.shown) cannot stand in a header", "use printable ASCII on one line")
      }
      return text.value
    }
  }
}
