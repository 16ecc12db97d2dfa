import Foundation

/// A JSON document to look into: `answer["groups"][0]["name"].string`. What is not there is `.null`.
package enum JSON: Sendable, Equatable, Decodable, CustomStringConvertible {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  package init(text: String) throws { self = try JSONDecoder().decode(JSON.self, from: Data(text.utf8)) }

  package init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let bool = try? value.decode(Bool.self) {
      self = .bool(bool)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let string = try? value.decode(String.self) {
      self = .string(string)
    } else if let array = try? value.decode([JSON].self) {
      self = .array(array)
    } else {
      self = .object(try value.decode([String: JSON].self))
    }
  }

  package subscript(key: String) -> JSON { if case .object(let object) = self { object[key] ?? .null } else { .null } }
  package subscript(index: Int) -> JSON { array.indices.contains(index) ? array[index] : .null }

  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var number: Double? { if case .number(let value) = self { value } else { nil } }
  package var int: Int? { number.map { Int($0) } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [JSON] { if case .array(let value) = self { value } else { [] } }
  package var keys: Set<String> { if case .object(let value) = self { Set(value.keys) } else { [] } }

  package var description: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let value): value == value.rounded() ? "\(Int(value))" : "\(value)"
    case .string(let value): "\"\(value)\""
    case .array(let values): "[\(values.map(\.description).joined(separator: ", "))]"
    case .object(let fields):
      "{\(fields.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", "))}"
    }
  }
}
