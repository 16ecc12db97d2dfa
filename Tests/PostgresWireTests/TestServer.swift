@testable import PostgresWire

/// The server's half of SCRAM, from RFC 5802, section 3, and not from the code under test.
struct TestServer {
  private let hashes = ReferenceHashes()
  private let salted: [UInt8]
  let salt64: String
  let iterations: Int

  init(password: String, salt: [UInt8], iterations: Int) {
    salt64 = Base64.encode(salt)
    self.iterations = iterations
    var round = hashes.hmacSHA256(key: Array(password.utf8), salt + [0, 0, 0, 1])
    var sum = round
    for _ in 1..<iterations {
      round = hashes.hmacSHA256(key: Array(password.utf8), round)
      sum = zip(sum, round).map { $0 ^ $1 }
    }
    salted = sum
  }

  func proof(_ transcript: String) -> String {
    let key = hashes.hmacSHA256(key: salted, Array("Client Key".utf8))
    let signature = hashes.hmacSHA256(key: hashes.sha256(key), Array(transcript.utf8))
    return Base64.encode(zip(key, signature).map { $0 ^ $1 })
  }

  func signature(_ transcript: String) -> String {
    Base64.encode(hashes.hmacSHA256(key: hashes.hmacSHA256(key: salted, Array("Server Key".utf8)), Array(transcript.utf8)))
  }
}
