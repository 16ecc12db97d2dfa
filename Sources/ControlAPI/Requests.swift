/// The bodies of requests, as they come: what they mean is for the one who carries them out to say.

/// The body of `POST /groups`.
package struct GroupRequest: Sendable, Decodable {
  package let name: String
  package let mode: String
  package let backends: [String]
  package let primary: String?
}

/// The body of `POST /groups/{name}/primary`.
package struct PrimaryRequest: Sendable, Decodable {
  package let backend: String
  package let force: Bool
  package let pin: Bool

  private enum CodingKeys: String, CodingKey {
    case backend = "backend_id"
    case force, pin
  }

  package init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    backend = try values.decode(String.self, forKey: .backend)
    force = try values.decodeIfPresent(Bool.self, forKey: .force) ?? false
    pin = try values.decodeIfPresent(Bool.self, forKey: .pin) ?? false
  }
}

/// The body of `POST /groups/{name}/backends`.
package struct MemberRequest: Sendable, Decodable {
  /// An id of `backends`, a domain, or `address:port`, as in `failover_groups`.
  package let backend: String
  package let isPrimary: Bool

  private enum CodingKeys: String, CodingKey {
    case backend = "backend_id"
    case isPrimary = "is_primary"
  }

  package init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    backend = try values.decode(String.self, forKey: .backend)
    isPrimary = try values.decodeIfPresent(Bool.self, forKey: .isPrimary) ?? false
  }
}

/// The body of `POST /backends`: an item of `backends`.
package struct BackendRequest: Sendable, Decodable {
  package let id: String
  package let address: String
  package let port: Int
  package let proto: String?
  package let weight: Int?
  package let zone: String?

  private enum CodingKeys: String, CodingKey {
    case id, address, port
    case proto = "protocol"
    case weight, zone
  }
}

/// The body of `POST /maintenance`: an item of `maintenance`, its times as the file writes them.
package struct MaintenanceRequest: Sendable, Decodable {
  /// Left out: one is made up.
  package let id: String?
  package let backend: String
  package let start: String
  package let duration: String
  package let repetition: String?
  package let preDrain: String?

  private enum CodingKeys: String, CodingKey {
    case id, backend, start, duration
    case repetition = "repeat"
    case preDrain = "pre_drain"
  }
}
