import Model
import Testing

@testable import Discovery

@Suite struct AddressFilterTests {
  private func refusal(
    _ text: String, allowed: [String] = [], listeners: [String] = [], ports: Set<UInt16> = [5432], local: [String] = []
  ) throws -> AddressFilter.Refusal? {
    let filter = AddressFilter(
      allowed: try allowed.map { try #require(AddressRange($0)) },
      ownListeners: try listeners.map { try #require(SocketAddress($0)) })
    return filter.refusal(
      of: try #require(IPAddress(text)), ports: ports, localAddresses: Set(try local.map { try #require(IPAddress($0)) }))
  }

  @Test(
    arguments: [
      "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8", "1.0.0.0", "223.255.255.255", "126.255.255.255",
      "128.0.0.0", "169.253.255.255", "169.255.0.0", "192.0.1.0", "191.255.255.255", "100.100.100.201",
      // documentation and benchmarks
      "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1",
      "2606:4700::1111", "fd00::1", "fc00::1", "fd00:ec2::253", "3fff:ffff::1", "fec0::1", "2001:4860::1",
      // the same, embedded
      "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "2001:0:a00:1::f5ff:fffe",
      // RFC 6052 with /48, /56 and /64: 10.0.0.1
      "64:ff9b:1:a00:0:100::", "64:ff9b:1:000a:0:0001::", "64:ff9b:1:0:a:0:100:0",
    ])
  func passes(text: String) throws {
    #expect(try refusal(text) == nil)
  }

  @Test(
    arguments: [
      ("0.0.0.0", .unspecified), ("0.255.255.255", .unspecified), ("127.0.0.1", .loopback), ("127.255.255.255", .loopback),
      ("169.254.0.0", .linkLocal), ("169.254.169.254", .linkLocal), ("169.254.255.255", .linkLocal),
      ("100.100.100.200", .metadata), ("192.0.0.192", .metadata), ("168.63.129.16", .metadata), ("192.0.0.1", .reserved),
      ("224.0.0.0", .multicast), ("239.255.255.255", .multicast), ("240.0.0.0", .reserved), ("255.255.255.255", .reserved),
      ("::", .unspecified), ("::1", .loopback), ("fe80::1", .linkLocal), ("febf::1", .linkLocal), ("ff02::1", .multicast),
      ("fd00:ec2::254", .metadata), ("fd00:ec2::23", .metadata), ("fd20:ce::254", .metadata), ("fd00:c1::a9fe:a9fe", .metadata),
      ("100::1", .reserved), ("4000::1", .reserved), ("5f00::1", .reserved), ("fe00::1", .reserved), ("::2", .reserved),
      // embedded: mapped, compatible, NAT64, 6to4, Teredo (server, client)
      ("::ffff:127.0.0.1", .loopback), ("::ffff:169.254.169.254", .linkLocal), ("::ffff:0.0.0.0", .unspecified),
      ("::127.0.0.1", .reserved), ("::10.0.0.1", .reserved), ("::ffff:0:127.0.0.1", .reserved),
      ("64:ff9b::7f00:1", .loopback), ("64:ff9b::a9fe:a9fe", .linkLocal), ("64:ff9b:2::a00:1", .unspecified),
      ("64:ff9b:1::7f00:1", .loopback), ("64:ff9b:1:ffff::e000:1", .multicast),
      // RFC 6052 with /48, /56 and /64: 127.0.0.1
      ("64:ff9b:1:7f00:0:100::", .loopback), ("64:ff9b:1:7f:0:1::", .loopback), ("64:ff9b:1:0:7f:0:100:0", .loopback),
      ("2002:7f00:1::1", .loopback), ("2002:a9fe:a9fe::", .linkLocal),
      ("2001:0:7f00:1::f5ff:fffe", .loopback), ("2001:0:a00:1::80ff:fffe", .loopback),
    ] as [(String, AddressFilter.Refusal)])
  func refuses(text: String, reason: AddressFilter.Refusal) throws {
    #expect(try refusal(text) == reason)
  }

  @Test func allowedRangesOpen() throws {
    #expect(try refusal("127.0.0.2", allowed: ["127.0.0.0/8"]) == nil)
    #expect(try refusal("::ffff:127.0.0.2", allowed: ["127.0.0.0/8"]) == nil)
    #expect(try refusal("::1", allowed: ["127.0.0.0/8"]) == .loopback)
    #expect(try refusal("::1", allowed: ["::1/128"]) == nil)
    // NAT64's loopback is the translator's, not the one that was opened.
    #expect(try refusal("64:ff9b::7f00:1", allowed: ["127.0.0.0/8"]) == .loopback)
  }

  @Test func ownListenersAreRefusedWhateverIsAllowed() throws {
    let allowed = ["0.0.0.0/0", "::/0"]
    #expect(try refusal("127.0.0.1", allowed: allowed, listeners: ["127.0.0.1:5432"]) == .ownListener)
    #expect(try refusal("::ffff:127.0.0.1", allowed: allowed, listeners: ["127.0.0.1:5432"]) == .ownListener)
    #expect(try refusal("0.0.0.0", allowed: allowed, listeners: ["127.0.0.1:5432"]) == .ownListener)
    #expect(try refusal("127.0.0.2", allowed: allowed, listeners: ["127.0.0.1:5432"]) == nil)
    #expect(try refusal("127.0.0.1", allowed: allowed, listeners: ["127.0.0.1:5433"]) == nil)
    #expect(try refusal("127.0.0.1", allowed: allowed, listeners: ["127.0.0.1:5433"], ports: [80, 5433]) == .ownListener)
    #expect(try refusal("127.0.0.1", allowed: allowed, listeners: ["unix:/run/x.sock"]) == nil)
  }

  @Test func wildcardListenersOwnEveryLocalAddress() throws {
    let allowed = ["127.0.0.0/8", "::1/128"]
    #expect(try refusal("10.0.0.5", listeners: ["0.0.0.0:5432"], local: ["10.0.0.5"]) == .ownListener)
    #expect(try refusal("10.0.0.6", listeners: ["0.0.0.0:5432"], local: ["10.0.0.5"]) == nil)
    #expect(try refusal("127.9.9.9", allowed: allowed, listeners: ["0.0.0.0:5432"]) == .ownListener)
    #expect(try refusal("fd00::5", listeners: ["0.0.0.0:5432"], local: ["fd00::5"]) == nil)
    #expect(try refusal("fd00::5", listeners: ["[::]:5432"], local: ["fd00::5"]) == .ownListener)
    #expect(try refusal("10.0.0.5", listeners: ["[::]:5432"], local: ["10.0.0.5"]) == .ownListener)
    #expect(try refusal("10.0.0.5", listeners: ["[::]:5433"], local: ["10.0.0.5"]) == nil)
  }

  @Test func localAddressesAreReadOnlyForWildcards() throws {
    func needs(_ listeners: [String]) throws -> Bool {
      AddressFilter(allowed: [], ownListeners: try listeners.map { try #require(SocketAddress($0)) }).needsLocalAddresses(ports: [
        80
      ])
    }
    #expect(try needs(["0.0.0.0:80"]))
    #expect(try needs(["[::]:80"]))
    #expect(try !needs(["0.0.0.0:81", "127.0.0.1:80"]))
  }
}
