import Yams

/// The text of a configuration file as a tree of nodes that know their place.
///
/// Yams stops at the first mistake in the YAML itself (syntax, a key given twice), so such a file yields one error.
/// Everything after that is read through `Value` and reported together.
enum Document {
  /// A configuration of ten thousand backends fits.
  static let maximumSize = 4 << 20
  /// The contract needs seven.
  static let maximumDepth = 32
  /// Where aliases are used at all.
  static let maximumAnchors = 8
  /// After aliases are followed.
  static let maximumNodes = 500_000

  /// Without the byte order mark that some editors write.
  static func text(ofFile path: String) throws(PlacedComplaint) -> String {
    let bytes: [UInt8]
    do {
      bytes = try contents(ofFile: path, limit: maximumSize)
    } catch {
      throw PlacedComplaint(.start, error.problem, error.remedy)
    }
    if let text = String(validating: bytes, as: UTF8.self) {
      return text.first == "\u{FEFF}" ? String(text.dropFirst()) : text
    }
    // Repairing changes the first byte that is not UTF-8, and none before it.
    let valid = zip(bytes, String(decoding: bytes, as: UTF8.self).utf8).prefix { $0 == $1 }.map(\.0)
    let line = valid.count { $0 == UInt8(ascii: "\n") } + 1
    let column =
      String(decoding: valid.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).last ?? [], as: UTF8.self)
      .unicodeScalars.count + 1
    throw PlacedComplaint(Position(line: line, column: column), "a byte that is not UTF-8", "save the file as UTF-8")
  }

  static func parse(_ text: String) throws(PlacedComplaint) -> Node {
    try checkCharacters(text)
    try checkAliases(text)
    // A tree that is too deep is found and freed in there: what comes out is safe to recurse over.
    return try DeepStack.run { Result<Node, PlacedComplaint> { () throws(PlacedComplaint) in try tree(of: text) } }.get()
  }

  private static func tree(of text: String) throws(PlacedComplaint) -> Node {
    let root: Node?
    do {
      // The basic resolver does not guess types: `Value` decides what a scalar is where it is used.
      root = try compose(yaml: text, .basic, .default, .utf8)
    } catch let error as YamlError {
      throw placed(error)
    } catch {
      throw PlacedComplaint(.start, "not valid YAML", "check the indentation, the colons and the quotes")
    }
    guard let root else { throw PlacedComplaint(.start, "the file is empty", "begin with examples/minimal.yaml") }
    var budget = maximumNodes
    try checkShape(root, depth: 1, budget: &budget)
    return root
  }

  /// libYAML refuses control characters too, but does not say where.
  private static func checkCharacters(_ text: String) throws(PlacedComplaint) {
    var (line, column) = (1, 1)
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x0A: (line, column) = (line + 1, 0)
      case 0x09, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xFFFD, 0x10000...: break
      default:
        let code = String(scalar.value, radix: 16, uppercase: true)
        throw PlacedComplaint(
          Position(line: line, column: column), "the control character U+\(code) is not allowed in YAML",
          "remove it, or write it as an escape in double quotes")
      }
      column += 1
    }
  }

  /// Bounds what aliases can make of a file, before Yams hashes the keys of mappings, which follows every alias, by recursion.
  ///
  /// Each anchored node can be a thousand levels deep (libYAML's bound) and end in an alias of the one before it.
  ///
  /// With `anchors` anchors and `aliases` aliases in all, the longest chain multiplies the number of aliases in each
  /// anchored node, and their sum is fixed: (aliases / anchors + 1) ^ anchors nodes at the most. Text that only looks like
  /// an anchor or an alias is counted too, which errs on the safe side.
  private static func checkAliases(_ text: String) throws(PlacedComplaint) {
    var (anchors, aliases) = (0, 0)
    var previous = UInt8(ascii: "\n")
    var sign: UInt8?
    for byte in text.utf8 {
      if isNameByte(byte), let sign {
        if sign == UInt8(ascii: "&") { anchors += 1 } else { aliases += 1 }
      }
      sign = (byte == UInt8(ascii: "&") || byte == UInt8(ascii: "*")) && !isNameByte(previous) ? byte : nil
      previous = byte
    }
    guard anchors > 0, aliases > 0 else { return }
    guard anchors <= maximumAnchors else {
      throw PlacedComplaint(.start, "\(anchors) anchors (&name); at most \(maximumAnchors) can be used", "write some values out")
    }
    let factor = Double(aliases) / Double(anchors) + 1
    var expansion = 1.0
    for _ in 0..<anchors { expansion *= factor }
    guard expansion > Double(maximumNodes) else { return }
    throw PlacedComplaint(
      .start, "\(anchors) anchors (&name) and \(aliases) aliases (*name) could expand without end", "write the values out")
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  private static func checkShape(_ node: Node, depth: Int, budget: inout Int) throws(PlacedComplaint) {
    budget -= 1
    guard budget > 0 else {
      throw PlacedComplaint(node.position, "the file holds more than \(maximumNodes) values", "make it smaller")
    }
    guard depth <= maximumDepth else {
      throw PlacedComplaint(node.position, "nested more than \(maximumDepth) levels deep", "check the indentation and brackets")
    }
    switch node {
    case .scalar, .alias: break
    case .sequence(let items):
      for item in items { try checkShape(item, depth: depth + 1, budget: &budget) }
    case .mapping(let pairs):
      for (key, value) in pairs {
        try checkShape(key, depth: depth + 1, budget: &budget)
        try checkShape(value, depth: depth + 1, budget: &budget)
      }
    }
  }

  private static func placed(_ error: YamlError) -> PlacedComplaint {
    let remedy = "check the indentation, the colons and the quotes here"
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
      if problem.hasPrefix("Maximum nesting level") {
        return PlacedComplaint(
          Position(mark), "nested more than \(maximumDepth) levels deep", "check the indentation and brackets")
      }
      let whileDoing = context.map { " \($0.text) that begins at \(Position($0.mark))" } ?? ""
      return PlacedComplaint(Position(mark), "not valid YAML: \(problem)\(whileDoing)", remedy)
    case .composer(_, let problem, let mark, _):
      if problem.contains("another document") {
        return PlacedComplaint(Position(mark), "a second document begins here", "keep one; a file is one configuration")
      }
      return PlacedComplaint(Position(mark), "not valid YAML: \(problem)", "define the anchor before it is used")
    case .duplicatedKeysInMapping(let keys, let context):
      let names = keys.map(quoted).joined(separator: ", ")
      return PlacedComplaint(Position(context.mark), "\(names) is given more than once in this mapping", "keep one of them")
    case .no, .memory, .reader, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
      return PlacedComplaint(.start, "not valid YAML", remedy)
    }
  }
}

/// A complaint and where it applies, for what ends the reading of a file.
struct PlacedComplaint: Error, Equatable {
  let position: Position
  let complaint: Complaint

  init(_ position: Position, _ problem: String, _ remedy: String) {
    self.position = position
    complaint = Complaint(problem, remedy)
  }
}

extension Position {
  init(_ mark: Mark) { self.init(line: mark.line, column: mark.column) }
}

extension Node {
  var position: Position { mark.map(Position.init) ?? .start }
}
