import Model
import Testing

@Suite("Addresses")
struct AddressTests {
  @Test(
    "what is printed is what was parsed",
    arguments: ["0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.1"])
  func roundTrip(text: String) throws {
    #expect(try #require(IPAddress(text)).description == text)
  }

  @Test("an address has one canonical form")
  func canonical() {
    #expect(IPAddress("2001:0DB8:0:0:0:0:0:1")?.description == "2001:db8::1")
    #expect(IPAddress("0:0:0:0:0:0:0:0") == .v6(0))
  }

  @Test("numbers are in host order")
  func numbers() {
    #expect(IPAddress("1.2.3.4") == .v4(0x0102_0304))
    #expect(IPAddress("::1:0") == .v6(0x1_0000))
    #expect(IPAddress("8000::") == .v6(IPv6Number(1 << 127)))
  }

  @Test(
    "what inet_pton does not take is no address",
    arguments: [
      "", "1", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "0x7f.0.0.1", " 1.2.3.4", "1.2.3.4 ", ":::", "1.2.3.4\0",
      "1.2.3.4\0x", "::1\0", "fe80::1%eth0", "::g", "a.b",
    ])
  func refused(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test("every address survives being printed and parsed")
  func everyBit() {
    for bit in 0..<32 { #expect(IPAddress(IPAddress.v4(1 << UInt32(bit)).description) == .v4(1 << UInt32(bit))) }
    for bit in 0..<128 {
      #expect(IPAddress(IPAddress.v6(IPv6Number(1 << UInt128(bit))).description) == .v6(IPv6Number(1 << UInt128(bit))))
    }
  }

  @Test("IPv4 before IPv6, then by number and not by text")
  func order() throws {
    let sorted = ["9.0.0.1", "10.0.0.1", "10.0.0.9", "10.0.0.10", "::1", "9::", "10::"]
    let addresses = try sorted.reversed().map { try #require(IPAddress($0)) }
    #expect(addresses.sorted().map(\.description) == sorted)
  }
}

@Suite("Socket addresses")
struct SocketAddressTests {
  @Test(
    "what is printed is what was parsed",
    arguments: ["127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[2001:db8::1]:53", "unix:/run/x.sock"])
  func roundTrip(text: String) throws {
    #expect(try #require(SocketAddress(text)).description == text)
  }

  @Test("the port is a number of 16 bits")
  func port() {
    #expect(SocketAddress("1.2.3.4:65535")?.port == 65535)
    #expect(SocketAddress("unix:/x")?.port == nil)
  }

  @Test(
    "what is no socket address",
    arguments: [
      "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http", "::1:80", "[::1]", "[::1]:", "::1",
      "[127.0.0.1]:80",
      "localhost:80", "[]:80", "unix:", "unix:/run/x\0y", "127.0.0.1:+80", "127.0.0.1:80\0", "tcp:127.0.0.1:80",
    ])
  func refused(text: String) {
    #expect(SocketAddress(text) == nil)
  }

  @Test("a unix path must leave room for its terminating zero: 107 bytes, not characters")
  func pathLength() {
    #expect(SocketAddress("unix:" + String(repeating: "x", count: 107)) != nil)
    #expect(SocketAddress("unix:" + String(repeating: "x", count: 108)) == nil)
    #expect(SocketAddress("unix:" + String(repeating: "é", count: 54)) == nil)
  }
}

@Suite("Address ranges")
struct AddressRangeTests {
  @Test(
    "what is printed is what was parsed", arguments: ["127.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "fd00::/8", "::/0", "::1/128"])
  func roundTrip(text: String) throws {
    #expect(try #require(AddressRange(text)).description == text)
  }

  @Test(
    "what is no range",
    arguments: [
      "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129", "/8", "10.0.0.0/eight",
      "10.0.0.0/+8",
    ])
  func refused(text: String) {
    #expect(AddressRange(text) == nil)
  }

  @Test("the edges are inside, their neighbours are not")
  func edges() throws {
    let range = try #require(AddressRange("10.1.0.0/16"))
    let inside = ["10.1.0.0", "10.1.255.255"], outside = ["10.0.255.255", "10.2.0.0", "::a01:0", "::ffff:10.1.0.0"]
    for text in inside { #expect(range.contains(try #require(IPAddress(text))), "\(text)") }
    for text in outside { #expect(!range.contains(try #require(IPAddress(text))), "\(text)") }
    let six = try #require(AddressRange("fd00::/8"))
    #expect(six.contains(try #require(IPAddress("fdff:ffff::1"))))
    #expect(!six.contains(try #require(IPAddress("fe00::"))))
  }

  @Test("no prefix contains everything of its family, a full one only itself")
  func extremes() throws {
    #expect(try #require(AddressRange("0.0.0.0/0")).contains(.v4(.max)))
    #expect(try #require(AddressRange("::/0")).contains(.v6(IPv6Number(.max))))
    #expect(!(try #require(AddressRange("::/0")).contains(.v4(0))))
    let one = try #require(AddressRange("10.0.0.1/32"))
    #expect(one.contains(.v4(0x0a00_0001)))
    #expect(!one.contains(.v4(0x0a00_0000)))
    #expect(!(try #require(AddressRange("::1/128")).contains(.v6(0))))
  }

  @Test("bits beyond the prefix do not matter")
  func hostBits() throws {
    #expect(try #require(AddressRange("10.9.9.9/8")).contains(.v4(0x0a00_0001)))
  }
}
