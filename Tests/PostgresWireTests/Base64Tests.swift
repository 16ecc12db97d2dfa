import Testing

@testable import PostgresWire

@Suite struct Base64Tests {
  /// RFC 4648, section 10.
  @Test func vectors() {
    let vectors = [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ]
    for (plain, encoded) in vectors {
      #expect(Base64.encode(Array(plain.utf8)) == encoded)
      #expect(Base64.decode(encoded) == Array(plain.utf8))
    }
  }

  @Test func everyByteComesBack() {
    let bytes = [UInt8](0...255)
    for count in 0...bytes.count { #expect(Base64.decode(Base64.encode(Array(bytes.prefix(count)))) == Array(bytes.prefix(count))) }
  }

  @Test func onlyTheCanonicalForm() {
    for text in ["Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zg==Zg==", "Zh==", "Zm9=", "Zm 9", "Zm9\n", "Zm-_", "====", "Zé=="] {
      #expect(Base64.decode(text) == nil, "\(text)")
    }
  }
}
