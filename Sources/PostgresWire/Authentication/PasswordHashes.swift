/// The hashes authentication is made of, from whatever library the caller links: this target imports none.
package protocol PasswordHashes: Sendable {
  /// 16 bytes.
  func md5(_ data: [UInt8]) -> [UInt8]
  /// 32 bytes.
  func sha256(_ data: [UInt8]) -> [UInt8]
  /// 32 bytes.
  func hmacSHA256(key: [UInt8], _ data: [UInt8]) -> [UInt8]
}

/// A password that does not show in logs, whatever formats it.
package struct Password: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
  package let utf8: [UInt8]

  package init(_ text: String) { utf8 = Array(text.utf8) }

  package var description: String { "<password>" }
  package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Everything authentication needs to know.
package struct Credentials: Hashable, Sendable {
  package let user: String
  package let password: Password?
  /// Nobody who merely listens can read the connection: a unix socket, or TLS once there is TLS.
  package internal(set) var linkIsPrivate: Bool

  package init(user: String, password: Password?, linkIsPrivate: Bool) {
    self.user = user
    self.password = password
    self.linkIsPrivate = linkIsPrivate
  }
}

/// Why we do not go on, although the server would. What the server says is a `ServerError`.
package enum AuthenticationFailure: Error, Hashable, Sendable, CustomStringConvertible {
  case passwordRequired
  /// Sent in the clear, the password would be anybody's who listens.
  case cleartextPasswordRefused
  /// GSSAPI, SSPI, Kerberos.
  case unsupportedMethod(code: Int32)
  case unsupportedMechanisms([String])
  case malformed(String)
  /// The server's nonce does not continue ours: a replay.
  case nonceMismatch
  case iterationCount(Int)
  /// The server does not know the password either: it is not the server.
  case wrongServerSignature
  /// The server reported an error inside the SASL exchange.
  case refusedByServer(String)
  /// A request that does not fit what was said before; also "you are in" before the server has proved itself.
  case outOfOrder

  package var description: String {
    switch self {
    case .passwordRequired: "the server asks for a password and none is configured"
    case .cleartextPasswordRefused: "the server asks for the password in the clear over an unencrypted connection"
    case .unsupportedMethod(let code): "the server asks for authentication method \(code), which is not supported"
    case .unsupportedMechanisms(let names): "the server offers no SASL mechanism we know: \(names.joined(separator: ", "))"
    case .malformed(let what): "malformed SCRAM message: \(what)"
    case .nonceMismatch: "the server's nonce does not continue ours"
    case .iterationCount(let count):
      "SCRAM iteration count \(count) is outside \(KeyDerivation.iterations.lowerBound) to \(KeyDerivation.iterations.upperBound)"
    case .wrongServerSignature: "the server's signature is wrong: it does not know the password"
    case .refusedByServer(let reason): "the server refused the SCRAM exchange: \(reason)"
    case .outOfOrder: "the server's authentication messages are out of order"
    }
  }
}
