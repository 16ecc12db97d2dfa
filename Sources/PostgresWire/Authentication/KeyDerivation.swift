/// The costly part of SCRAM (PBKDF2, RFC 8018), as a value: whoever runs the machine chooses a thread for it, since a
/// loop that stood still for it would time out the probes of all others.
package struct KeyDerivation: Hashable, Sendable, CustomStringConvertible {
  /// RFC 7677 asks for at least 4096, which is PostgreSQL's default: fewer would let a false server collect
  /// cheaply guessable proofs. The upper bound is what a lying server may make us spend, some 0.1 s of a core at 2 µs each.
  package static let iterations = 4096...50_000

  package let password: Password
  package let salt: [UInt8]
  package let iterations: Int

  init(password: Password, salt: [UInt8], iterations: Int) {
    self.password = password
    self.salt = salt
    self.iterations = iterations
  }

  package func run(using hashes: any PasswordHashes) -> SaltedPassword {
    // One block: SHA-256 gives the 32 bytes that are wanted.
    var round = hashes.hmacSHA256(key: password.utf8, salt + [0, 0, 0, 1])
    var sum = round
    for _ in 1..<max(iterations, 1) {
      round = hashes.hmacSHA256(key: password.utf8, round)
      for index in sum.indices { sum[index] ^= round[index] }
    }
    return SaltedPassword(bytes: sum)
  }

  package var description: String { "key derivation, \(iterations) iterations" }
}

/// As good as the password to whoever holds it.
package struct SaltedPassword: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
  let bytes: [UInt8]

  package var description: String { "<salted password>" }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
