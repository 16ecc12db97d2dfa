/// The answer to an MD5 request: `md5` and the digest of the salted digest of password and user, in hexadecimal.
enum MD5Password {
  static func response(user: String, password: Password, salt: [UInt8], hashes: any PasswordHashes) -> [UInt8] {
    let inner = hexadecimal(hashes.md5(password.utf8 + Array(user.utf8)))
    return Array("md5".utf8) + hexadecimal(hashes.md5(inner + salt))
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  }
}
