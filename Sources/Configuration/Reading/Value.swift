import Yams

/// A value and where the file has it, for what is checked later against the rest of the file.
struct Located<Wrapped: Sendable>: Sendable {
  var value: Wrapped
  let position: Position

  init(_ value: Wrapped, at position: Position) {
    self.value = value
    self.position = position
  }

  func map<Other: Sendable>(_ transform: (Wrapped) -> Other) -> Located<Other> { Located<Other>(transform(value), at: position) }
}

/// One node of the file together with what messages call it: its key in quotes.
struct Value {
  let node: Node
  let name: String
  let reader: Reader

  var position: Position { node.position }

  /// `key:` with nothing behind it, `~` and `null`.
  var isNull: Bool {
    guard case .scalar(let scalar) = node, scalar.style == .plain else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }

  /// Nil when it is not a list.
  var elements: [Value]? {
    guard case .sequence(let items) = node else { return nil }
    return items.map { Value(node: $0, name: name, reader: reader) }
  }

  /// The scalar with its `${NAME}` replaced, or nil and an error.
  func text(expected: String) -> Text? {
    switch node {
    case .scalar(let scalar) where !isNull:
      do {
        return try Text(scalar.string, environment: reader.environment)
      } catch {
        reader.error(error, at: position)
        return nil
      }
    case .scalar, .sequence, .mapping, .alias:
      wrongKind(expected: expected)
      return nil
    }
  }

  func wrongKind(expected: String) {
    let found =
      switch node {
      case .scalar, .alias: isNull ? "nothing" : "a single value"
      case .sequence: "a list"
      case .mapping: "a mapping"
      }
    reader.error("\(name) is \(found)", "it must be \(expected)", at: position)
  }
}

/// How one kind of value is read. A format records what is wrong and returns nil; the reading goes on.
struct Format<Output: Sendable> {
  let read: (Value) -> Output?

  init(_ read: @escaping (Value) -> Output?) { self.read = read }

  /// A single value: `expected` says what to write, `parse` what is wrong with what was written.
  init(expected: String, parse: @escaping (Text) throws(Complaint) -> Output) {
    self.init { value in
      guard let text = value.text(expected: expected) else { return nil }
      do throws(Complaint) {
        return try parse(text)
      } catch {
        value.reader.error(error, at: value.position)
        return nil
      }
    }
  }

  func map<Other: Sendable>(_ transform: @escaping (Output) -> Other) -> Format<Other> {
    Format<Other> { read($0).map(transform) }
  }

  /// A list of these. What cannot be read is reported and left out.
  static func list<Element: Sendable>(of element: Format<Element>) -> Format<[Located<Element>]> {
    Format<[Located<Element>]> { value in
      guard let elements = value.elements else {
        value.wrongKind(expected: "a list")
        return nil
      }
      return elements.compactMap { item in element.read(item).map { Located($0, at: item.position) } }
    }
  }

  /// A mapping whose keys are those that `body` asks for; any other key is an error.
  static func mapping(_ section: Section, _ body: @escaping (Mapping) -> Output?) -> Self {
    Format { value in
      guard let mapping = Mapping(value) else { return nil }
      let output = body(mapping)
      mapping.refuseWhatIsNotYet(in: section)
      mapping.refuseUnknownKeys()
      return output
    }
  }
}
