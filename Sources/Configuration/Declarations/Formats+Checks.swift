import Model

/// The mappings under `tls`, `postgres`, `mysql`, `redis` and `exec`. In `criteria` each may name another port, which `section` reads.
extension Format<TLSCheck> {
  static var tlsCheck: Self { .mapping(.other) { TLSCheck(readFrom: $0) } }
}

extension TLSCheck {
  init(readFrom map: Mapping) {
    let verify = map.value("verify", .boolean)
    let file = map.value("ca_file", .certificateFile)
    if let verify, !verify.value, map.has("ca_file") {
      map.reader.error("'ca_file' has no meaning with verify: false", "keep one of them", at: verify.position)
    }
    self.init(
      serverName: map.value("server_name", .domainName)?.value.rawValue, verifies: verify?.value ?? (file != nil),
      authorities: file?.value)
  }
}

extension Format<String> {
  /// The path of a file that holds certificates. Looked into now, because a probe that cannot verify takes every backend for dead.
  static var certificateFile: Self {
    Format(expected: "the path of a file") { text throws(Complaint) in
      let bytes = try contents(ofFile: text.value, limit: 1 << 20)
      guard String(decoding: bytes, as: UTF8.self).contains("-----BEGIN CERTIFICATE-----") else {
        throw Complaint("the file \(text.shown) holds no certificate", "name a file of certificates in PEM form")
      }
      return text.value
    }
  }
}

extension Format<PostgresCheck> {
  static var postgresCheck: Self { .mapping(.other) { PostgresCheck(readFrom: $0) } }
}

extension PostgresCheck {
  init(readFrom map: Mapping) {
    // The server keeps 63 bytes of either name.
    let user = map.value("user", .string(atMost: 63))
    let database = map.value("database", .string(atMost: 63))
    let password = map.secret("password")
    let stated: Located<Depth>? = map.value("depth", .choice("a depth"))
    let tls: Located<TLSMode>? = map.value("tls", .choice("a TLS mode"))
    let lag = map.value("maximum_lag", .replicaLag)
    if let stated, stated.value == .role, !map.has("user") {
      map.reader.error("'depth: role' needs a user that may log in", "add user and password_file", at: stated.position)
    }
    let depth = stated?.value ?? (map.has("user") ? .role : .startup)
    if let lag, depth != .role, stated != nil || !map.has("depth") {
      map.reader.error(
        "'maximum_lag' is asked for at depth role only", "add user, and password_file or leave out depth", at: lag.position)
    }
    if let stated, stated.value == .sslRequest, let tls, tls.value == .disable {
      map.reader.error("'depth: ssl_request' asks for TLS, which 'tls: disable' forbids", "remove one of them", at: tls.position)
    }
    let usual = PostgresCheck()
    self.init(
      user: user?.value ?? usual.user, password: password?.value, database: database?.value ?? usual.database, depth: depth,
      maximumLag: lag?.value, tls: tls?.value ?? usual.tls)
  }
}

extension Format<ReplicaLag> {
  /// A duration, or an amount of WAL with the units of Postgres: `10s`, `16MB`.
  static var replicaLag: Self {
    Format(expected: "a duration or an amount, for example 10s or 16MB") { text throws(Complaint) in
      let units: [(name: Substring, bytes: UInt64)] = [
        ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40), ("B", 1),
      ]
      if let unit = units.first(where: { text.value.hasSuffix($0.name) }) {
        // Nine digits of the largest unit still fit.
        let digits = text.value.dropLast(unit.name.count)
        guard digits.utf8.count <= 7, let number = wholeNumber(digits) else {
          throw Complaint("\(text.shown) is not an amount of data", "write for example 512kB, 16MB or 1GB")
        }
        return .bytes(UInt64(number) * unit.bytes)
      }
      let time = try LebaConfiguration.duration(from: text)
      guard time <= .days(1) else { throw Complaint("\(text.shown) is too long", "write \(Duration.days(1).text) or less") }
      return .time(time)
    }
  }
}

extension Format<MySQLCheck> {
  static var mysqlCheck: Self { .mapping(.other) { MySQLCheck(readFrom: $0) } }
}

extension MySQLCheck {
  init(readFrom map: Mapping) {
    // Names of users have at most 32 characters.
    let user = map.value("user", .string(atMost: 128))
    let password = map.secret("password")
    let tls: Located<TLSMode>? = map.value("tls", .choice("a TLS mode"))
    if let password, !map.has("user") {
      map.reader.error("a password without a user", "add user, or remove the password", at: password.position)
    }
    self.init(user: user?.value, password: password?.value, tls: tls?.value ?? MySQLCheck().tls)
  }
}

extension Format<RedisCheck> {
  static var redisCheck: Self { .mapping(.other) { RedisCheck(readFrom: $0) } }
}

extension RedisCheck {
  init(readFrom map: Mapping) {
    let user = map.value("user", .string(atMost: 128))
    let password = map.secret("password")
    if let user, !map.has("password"), !map.has("password_file") {
      map.reader.error("a user without a password", "add password_file, or remove user", at: user.position)
    }
    self.init(user: user?.value, password: password?.value)
  }
}

extension Format<ExecCheck> {
  static var execCheck: Self { .mapping(.other) { ExecCheck(readFrom: $0) } }
}

extension ExecCheck {
  private static let mostArguments = 64

  init?(readFrom map: Mapping) {
    let example = "[/usr/local/bin/check, \"{address}\", \"{port}\"]"
    guard let command = map.required("command", .list(of: .string), example: example) else { return nil }
    guard let program = command.value.first else {
      if map.listIsEmpty("command") { map.reader.error("'command' is empty", "write for example \(example)", at: command.position) }
      return nil
    }
    // No search: what runs must not depend on the PATH of whoever started us.
    if !program.value.hasPrefix("/") {
      map.reader.error("\(quoted(program.value)) is not the full path of a program", "begin it with '/'", at: program.position)
    }
    if let surplus = command.value.dropFirst(Self.mostArguments).first {
      map.reader.error(
        "'command' has more than \(Self.mostArguments) parts", "write a program that needs fewer", at: surplus.position)
    }
    self.init(command: command.value.map(\.value))
  }
}
