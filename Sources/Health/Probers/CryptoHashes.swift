import Crypto
import PostgresWire

struct CryptoHashes: PasswordHashes {
  func md5(_ data: [UInt8]) -> [UInt8] { Array(Insecure.MD5.hash(data: data)) }
  func sha256(_ data: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: data)) }
  func hmacSHA256(key: [UInt8], _ data: [UInt8]) -> [UInt8] {
    Array(HMAC<SHA256>.authenticationCode(for: data, using: SymmetricKey(data: key)))
  }
}
