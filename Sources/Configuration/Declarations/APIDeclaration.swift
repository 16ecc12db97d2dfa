import Model

let defaultAPIAddress = SocketAddress.ip(.v4(0x7F00_0001), port: 8080)

/// `api`, or its short form `api_port`.
func apiAddress(_ top: Mapping) -> Located<SocketAddress> {
  let short = top.value("api_port", .port)?.map { SocketAddress.ip(.v4(0x7F00_0001), port: $0) }
  let long = top.value("api", .api)?.value
  if let place = top.position(of: "api_port"), let long {
    top.reader.error("both 'api' and 'api_port' give the address (the other at \(long.position))", "keep one of them", at: place)
  }
  return long ?? short ?? Located(defaultAPIAddress, at: top.position)
}

extension Format<Located<SocketAddress>> {
  static var api: Self {
    .mapping(.other) { map in
      let address = map.value("address", .listenAddress(example: "127.0.0.1:8080"))
      let port = map.value("api_port", .port)?.map { SocketAddress.ip(.v4(0x7F00_0001), port: $0) }
      if let place = map.position(of: "api_port"), map.has("address") {
        map.reader.error("both 'address' and 'api_port' are given", "keep one of them", at: place)
      }
      if let address, case .ip(let ip, _) = address.value, !ip.isLoopback {
        map.reader.error(
          """
          the API on \(address.value) could be reached from other hosts, which needs authentication and TLS; \
          this version has neither yet
          """,
          "use a loopback address, for example 127.0.0.1:8080, or unix:/PATH",
          at: address.position)
      }
      return address ?? port
    }
  }
}

extension Format<Void> {
  /// Nothing of it has an effect yet. It is checked, so that a file that is right now stays right.
  static var apiSecurity: Self {
    .mapping(.apiSecurity) { map in
      for key in ["jwt_secret", "jwt_previous_secret"] {
        guard let secret = map.secret(key) else { continue }
        if secret.value.revealed.utf8.count < 32 {
          map.reader.error(
            "'\(key)' is shorter than 32 bytes", "use a longer one, for example from openssl rand -hex 32", at: secret.position)
        }
        if !map.has("auth_enabled") {
          map.reader.warning(
            "'\(key)' has no effect: authentication is not supported by this version yet", "remove it", at: secret.position)
        }
      }
      _ = map.value("requests_per_minute", .integer(1...1_000_000))
      _ = map.value("allowed_cidrs", .list(of: .addressRange))
    }
  }
}
