/// The client's half of SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677).
///
/// The user name is empty: PostgreSQL takes it from the startup message and ignores what stands here.
///
/// The password is used as it is. SASLprep is the identity on printable ASCII, and PostgreSQL and libpq fall back to the
/// raw bytes where SASLprep forbids a character (control characters, for one). What is left out is the normalization of
/// other Unicode: such a password works if it is configured in the form (NFKC) in which PostgreSQL stored it.
struct SCRAMClient: Hashable, Sendable {
  static let mechanism = "SCRAM-SHA-256"
  /// `n,,`: no channel binding, no other identity; and the same in base 64, for the final message.
  private static let header = "n,,"

  private let password: Password
  private let nonce: String
  private let user: String
  private var serverFirst = ""
  private var serverNonce = ""

  /// `nonce`: printable ASCII without a comma, never used before. `user`: only the RFC's own example has one.
  init(password: Password, nonce: String, user: String = "") {
    self.password = password
    self.nonce = nonce
    self.user = user
  }

  var firstMessage: [UInt8] { Array((Self.header + firstBare).utf8) }
  private var firstBare: String { "n=\(user),r=\(nonce)" }

  /// The server's challenge: gives the key derivation that has to be done before `finalMessage`.
  mutating func challenged(_ message: [UInt8]) throws(AuthenticationFailure) -> KeyDerivation {
    serverFirst = try Self.text(message)
    var attributes = serverFirst.split(separator: ",", omittingEmptySubsequences: false)[...]
    serverNonce = try Self.take("r", from: &attributes)
    let salt = Base64.decode(try Self.take("s", from: &attributes))
    let count = try Self.take("i", from: &attributes)
    // Extensions may follow and are ignored; a mandatory one would come first, as `m=`, and has failed above.
    guard serverNonce.hasPrefix(nonce), serverNonce.utf8.count > nonce.utf8.count else { throw .nonceMismatch }
    guard let salt, !salt.isEmpty else { throw .malformed("no salt") }
    guard count.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let iterations = Int(count) else {
      throw .malformed("no iteration count")
    }
    guard KeyDerivation.iterations.contains(iterations) else { throw .iterationCount(iterations) }
    return KeyDerivation(password: password, salt: salt, iterations: iterations)
  }

  /// The proof that we know the password, and the signature only a server that knows it too can give.
  func finalMessage(
    _ salted: SaltedPassword, using hashes: any PasswordHashes
  ) -> (message: [UInt8], serverSignature: [UInt8]) {
    let withoutProof = "c=\(Base64.encode(Array(Self.header.utf8))),r=\(serverNonce)"
    let transcript = Array("\(firstBare),\(serverFirst),\(withoutProof)".utf8)
    let clientKey = hashes.hmacSHA256(key: salted.bytes, Array("Client Key".utf8))
    let clientSignature = hashes.hmacSHA256(key: hashes.sha256(clientKey), transcript)
    let proof = zip(clientKey, clientSignature).map { $0 ^ $1 }
    let serverKey = hashes.hmacSHA256(key: salted.bytes, Array("Server Key".utf8))
    return (
      Array("\(withoutProof),p=\(Base64.encode(proof))".utf8),
      hashes.hmacSHA256(key: serverKey, transcript)
    )
  }

  static func verify(_ message: [UInt8], against signature: [UInt8]) throws(AuthenticationFailure) {
    var attributes = try text(message).split(separator: ",", omittingEmptySubsequences: false)[...]
    if let reason = attributes.first, reason.hasPrefix("e=") { throw .refusedByServer(String(reason.dropFirst(2))) }
    guard let claimed = Base64.decode(try take("v", from: &attributes)), claimed.count == signature.count else {
      throw .wrongServerSignature
    }
    // Every byte is looked at, so that the time it takes tells nothing.
    guard zip(claimed, signature).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 else { throw .wrongServerSignature }
  }

  private static func text(_ bytes: [UInt8]) throws(AuthenticationFailure) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed("not UTF-8") }
    return text
  }

  private static func take(_ name: String, from attributes: inout ArraySlice<Substring>) throws(AuthenticationFailure) -> String {
    guard let attribute = attributes.popFirst(), attribute.hasPrefix(name + "=") else {
      throw .malformed("\(name)= is missing")
    }
    return String(attribute.dropFirst(2))
  }
}
