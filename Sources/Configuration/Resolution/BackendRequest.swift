package import Model
import Yams

/// The body of `POST /backends`: an item of `backends`.
///
/// `Codable`, so that the journal can keep it over a restart as it came.
package struct BackendRequest: Codable, Hashable, Sendable {
  package var id: String
  package var address: String
  package var port: Int
  package var proto: String?
  package var weight: Int?
  package var zone: String?

  package enum CodingKeys: String, CodingKey, CaseIterable {
    case id, address, port
    case proto = "protocol"
    case weight, zone
  }

  package init(id: String, address: String, port: Int, proto: String? = nil, weight: Int? = nil, zone: String? = nil) {
    self.id = id
    self.address = address
    self.port = port
    self.proto = proto
    self.weight = weight
    self.zone = zone
  }

  /// As the file would have it, under the rules of the file.
  func declaration(reader: Reader) -> BackendDeclaration? {
    let values: [(CodingKeys, String?)] = [
      (.id, id), (.address, address), (.port, String(port)), (.proto, proto), (.weight, weight.map(String.init)), (.zone, zone),
    ]
    let pairs = values.compactMap { key, value in value.map { (Node(key.rawValue), Node($0)) } }
    return Format<BackendDeclaration>.backend.read(Value(node: Node(pairs), name: "the backend", reader: reader))
  }
}

/// Why a backend that somebody asked for, or wanted gone, while we run cannot be.
package enum BackendRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  case exists(BackendID)
  /// It is the file's, which only a person changes.
  case declared(BackendID, file: String)
  case unknown(BackendID)
  /// A group has it as a member.
  case inUse(BackendID)
  case invalid(reasons: [String])

  package var description: String {
    switch self {
    case .exists(let id): "there is a backend \(quoted(id.rawValue)) already"
    case .declared(let id, let file): "\(quoted(id.rawValue)) is declared in \(file); remove it there"
    case .unknown(let id): "there is no backend \(quoted(id.rawValue)) under backends"
    case .inUse(let id): "\(quoted(id.rawValue)) is a member of a group; remove it there first"
    case .invalid(let reasons): reasons.joined(separator: "; ")
    }
  }
}
