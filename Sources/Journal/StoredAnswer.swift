import Foundation
import Model

/// One endpoint as the database has it: address, port, tier and weight in an array, `["10.0.0.1",5432,10,60]`, null for what the
/// records did not say. Objects with keys take twice as long to read, and ten thousand names are read before anything is served.
struct StoredEndpoint: Codable {
  private let address: String
  private let port: UInt16?
  private let tier: UInt16
  private let weight: UInt16?

  init(_ endpoint: DiscoveredEndpoint) {
    address = endpoint.address.description
    port = endpoint.port
    tier = endpoint.tier
    weight = endpoint.weight
  }

  init(from decoder: any Decoder) throws {
    var fields = try decoder.unkeyedContainer()
    address = try fields.decode(String.self)
    port = try fields.decodeIfPresent(UInt16.self)
    tier = try fields.decode(UInt16.self)
    weight = try fields.decodeIfPresent(UInt16.self)
  }

  func encode(to encoder: any Encoder) throws {
    var fields = encoder.unkeyedContainer()
    try fields.encode(address)
    try fields.encode(port)
    try fields.encode(tier)
    try fields.encode(weight)
  }

  var endpoint: DiscoveredEndpoint? {
    // Not by `map`: Swift 6.3 without optimisation builds a closure around an `IPAddress` in a struct of this size that crashes.
    guard let address = IPAddress(address) else { return nil }
    return DiscoveredEndpoint(address, port: port, tier: tier, weight: weight)
  }
}

/// What the TXT strings said, under the names they have there.
struct StoredAttributes: Codable {
  private enum CodingKeys: String, CodingKey {
    case isPrimary = "is_primary"
    case group = "group_name"
    case weight, zone, mode, maintenance
  }

  var isPrimary: Bool?
  var group: String?
  var weight: UInt16?
  var zone: String?
  var mode: String?
  var maintenance: Bool?

  init(_ attributes: TextAttributes) {
    isPrimary = attributes.isPrimary
    group = attributes.group?.rawValue
    weight = attributes.weight.map { UInt16(clamping: $0) }
    zone = attributes.zone
    mode = attributes.mode?.rawValue
    maintenance = attributes.maintenance
  }

  /// Nil where the mode is none.
  var attributes: TextAttributes? {
    let mode = self.mode.flatMap(GroupMode.init(rawValue:))
    guard (mode == nil) == (self.mode == nil) else { return nil }
    return TextAttributes(
      isPrimary: isPrimary, group: group.map { GroupName($0) }, weight: weight.map { Int($0) }, zone: zone, mode: mode,
      maintenance: maintenance)
  }
}

/// Between the columns of a row and the values of the model.
struct AnswerCoder {
  private let encoder = JSONEncoder()
  private let decoder = JSONDecoder()

  init() { encoder.outputFormatting = .sortedKeys }

  func text(_ endpoints: [DiscoveredEndpoint]) throws -> String {
    String(decoding: try encoder.encode(endpoints.map { StoredEndpoint($0) }), as: UTF8.self)
  }

  func text(_ attributes: TextAttributes) throws -> String {
    String(decoding: try encoder.encode(StoredAttributes(attributes)), as: UTF8.self)
  }

  /// Nil for a row that a program of ours has not written.
  func answer(endpoints: String, attributes: String?, answeredAt: Double, now: Double) -> RememberedAnswer? {
    // Bounded above as well: a `Duration` does not hold every number.
    guard (0...1e11).contains(answeredAt), now.isFinite,
      let stored = try? decoder.decode([StoredEndpoint].self, from: Data(endpoints.utf8))
    else { return nil }
    var endpoints: [DiscoveredEndpoint] = []
    endpoints.reserveCapacity(stored.count)
    for endpoint in stored {
      guard let endpoint = endpoint.endpoint else { return nil }
      endpoints.append(endpoint)
    }
    var answer = RememberedAnswer(endpoints: endpoints, age: .seconds(min(max(0, now - answeredAt), 1e11)))
    guard let attributes else { return answer }
    guard let text = try? decoder.decode(StoredAttributes.self, from: Data(attributes.utf8)).attributes else { return nil }
    answer.attributes = text
    return answer
  }
}
