/// The bodies of requests, as they come: what they mean is for the one who carries them out to say.

/// The body of `POST /groups`.
package struct GroupRequest: Sendable, Hashable, Codable {
  package let name: String
  package let mode: String
  package let backends: [String]
  package let primary: String?

  package init(name: String, mode: String, backends: [String], primary: String?) {
    self.name = name
    self.mode = mode
    self.backends = backends
    self.primary = primary
  }
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
package struct MemberRequest: Sendable, Hashable, Codable {
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
