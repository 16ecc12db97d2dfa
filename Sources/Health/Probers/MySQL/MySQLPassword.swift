import Crypto

/// The ways to prove a password that a probe knows.
enum MySQLPassword: String {
  case native = "mysql_native_password"
  case cachingSHA2 = "caching_sha2_password"
  /// The password itself: only where nobody can listen.
  case clear = "mysql_clear_password"

  /// The answer to the server's nonce. An empty password is an empty answer, in every way.
  func response(_ password: String, nonce: [UInt8]) -> [UInt8] {
    guard !password.isEmpty else { return [] }
    let bytes = Array(password.utf8)
    switch self {
    case .native:
      let hash = Array(Insecure.SHA1.hash(data: bytes))
      return xor(hash, Array(Insecure.SHA1.hash(data: nonce + Array(Insecure.SHA1.hash(data: hash)))))
    case .cachingSHA2:
      let hash = Array(SHA256.hash(data: bytes))
      return xor(hash, Array(SHA256.hash(data: Array(SHA256.hash(data: hash)) + nonce)))
    case .clear:
      return bytes + [0]
    }
  }

  private func xor(_ a: [UInt8], _ b: [UInt8]) -> [UInt8] { zip(a, b).map { $0 ^ $1 } }
}
