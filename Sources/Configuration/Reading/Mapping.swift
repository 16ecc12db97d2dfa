import Model
import Yams

/// A mapping of the file while it is being read. It learns its keys from what is asked of it, so that the list of known keys
/// and the code that reads them cannot differ.
final class Mapping {
  let position: Position
  let reader: Reader
  private var entries: [(key: Located<String>, value: Value)] = []
  private var indices: [String: Int] = [:]
  private var known: Set<String> = []

  /// Nil and an error when the value is something else.
  init?(_ value: Value) {
    position = value.position
    reader = value.reader
    guard case .mapping(let pairs) = value.node else {
      value.wrongKind(expected: "a mapping of keys to values")
      return nil
    }
    add(pairs)
  }

  /// Own keys first, then those of a merged mapping (`<<: *base`) that are not there yet.
  private func add(_ pairs: Node.Mapping) {
    var merged: [Node] = []
    for (key, node) in pairs {
      guard case .scalar(let scalar) = key else {
        reader.error("a key that is a list or a mapping", "write a plain name before the colon", at: key.position)
        continue
      }
      if scalar.string == "<<", scalar.style == .plain {
        merged.append(node)
      } else if indices[scalar.string] == nil {
        indices[scalar.string] = entries.count
        let value = Value(node: node, name: quoted(scalar.string), reader: reader)
        entries.append((Located(scalar.string, at: key.position), value))
      }
    }
    for node in merged {
      let sources = if case .sequence(let list) = node { Array(list) } else { [node] }
      for source in sources {
        guard case .mapping(let more) = source else {
          reader.error("'<<' merges something that is not a mapping", "name the anchor of a mapping", at: source.position)
          continue
        }
        add(more)
      }
    }
  }

  func has(_ key: String) -> Bool { indices[key] != nil }

  var isEmpty: Bool { entries.isEmpty }

  func position(of key: String) -> Position? { indices[key].map { entries[$0].value.position } }

  /// Whether the file has an empty list there, rather than a list whose items were all wrong.
  func listIsEmpty(_ key: String) -> Bool {
    indices[key].flatMap { entries[$0].value.elements }?.isEmpty ?? false
  }

  /// The value of a key; nil when the key is absent, or when its value was wrong and is reported.
  func value<Output: Sendable>(_ key: String, _ format: Format<Output>) -> Located<Output>? {
    known.insert(key)
    guard let index = indices[key] else { return nil }
    let value = entries[index].value
    guard !value.isNull else {
      reader.error("'\(key)' has no value", "give it one, or remove the key", at: value.position)
      return nil
    }
    return format.read(value).map { Located($0, at: value.position) }
  }

  /// All keys and their values, for a mapping whose keys are the user's own. A value that was wrong is nil, and reported.
  func pairs<Output: Sendable>(_ format: Format<Output>) -> [(key: Located<String>, value: Output?)] {
    entries.map { ($0.key, value($0.key.value, format)?.value) }
  }

  /// As `value`, with an error when the key is absent.
  func required<Output: Sendable>(_ key: String, _ format: Format<Output>, example: String) -> Located<Output>? {
    if !has(key) { reader.error("'\(key)' is missing", "add it, for example \(key): \(example)", at: position) }
    return value(key, format)
  }

  /// A secret under `key`, or in the file that `key_file` names.
  func secret(_ key: String) -> Located<Secret>? {
    let inline = value(key, .secret)
    let inFile = value(key + "_file", .secretFile)
    if let place = position(of: key + "_file"), has(key) {
      reader.error("both '\(key)' and '\(key)_file' are given", "keep one of them", at: place)
    }
    return inline ?? inFile
  }

  func refuseWhatIsNotYet(in section: Section) {
    for (key, isNeutral) in NotYet.keys(in: section) {
      guard let neutral = value(key, isNeutral), !neutral.value else { continue }
      reader.error("'\(key)' is not supported by this version yet", "remove it", at: neutral.position)
    }
  }

  func refuseUnknownKeys() {
    for (key, _) in entries where !known.contains(key.value) {
      // `known` is a set: sorted, so that equal files give equal messages.
      let nearest = reader.hasRoom ? nearestName(to: key.value, among: known.sorted()) : nil
      let remedy = nearest.map { "the nearest known key is '\($0)'" } ?? "remove it"
      reader.error("unknown key \(quoted(key.value))", remedy, at: key.position)
    }
  }
}
