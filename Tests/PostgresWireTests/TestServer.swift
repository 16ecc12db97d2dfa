@testable import PostgresWire

/// The server's half of SCRAM, from RFC 5802, section 3, and not from the code under test. It begins after the key derivation,
/// which the RFC's own vector tests once: 4096 rounds of these hashes take a second in a debug build.
struct TestServer {
  private let hashes = ReferenceHashes()
  let salted: [UInt8]

  func proof(_ transcript: String) -> String {
    let key = hashes.hmacSHA256(key: salted, Array("Client Key".utf8))
    let signature = hashes.hmacSHA256(key: hashes.sha256(key), Array(transcript.utf8))
    return Base64.encode(zip(key, signature).map { $0 ^ $1 })
  }

  func signature(_ transcript: String) -> String {
    Base64.encode(hashes.hmacSHA256(key: hashes.hmacSHA256(key: salted, Array("Server Key".utf8)), Array(transcript.utf8)))
  }
}
