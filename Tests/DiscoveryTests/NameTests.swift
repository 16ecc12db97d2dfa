import Model
import Testing

@testable import Discovery

@Suite struct NameSourceTests {
  @Test func literalsAreTheirOwnAnswer() throws {
    #expect(try NameSource("192.0.2.1") == .literal(.v4(0xC000_0201)))
    #expect(try NameSource("2001:DB8::1") == .literal(try #require(IPAddress("2001:db8::1"))))
  }

  @Test func anAddressEndsWhereItsTextEnds() {
    // For C this text ends after the address.
    #expect(throws: NameError.forbiddenCharacter) { try NameSource("192.0.2.1\0.example") }
  }

  @Test func localhostIsNeverAsked() throws {
    #expect(try NameSource("localhost") == .localhost)
    #expect(try NameSource("app.localhost.") == .localhost)
    #expect(try NameSource("localhost.example") == .dns(try #require(WireName("localhost.example"))))
  }

  @Test func plainNamesLookIntoTheHostsFileFirst() throws {
    #expect(try NameSource("db") == .plain([try #require(WireName("db"))]))
    #expect(try NameSource("db", searching: ["a.example", "b"]) == .plain([.of("db.a.example"), .of("db.b"), .of("db")]))
    #expect(try NameSource("db.x", searching: ["a.example"]) == .dns(.of("db.x")))
    #expect(try NameSource("_pg._tcp.DB.Example.com.") == .dns(try #require(WireName("_pg._tcp.db.example.com"))))
  }

  @Test(
    arguments: [
      ("", .emptyLabel), (".", .emptyLabel), ("a..b", .emptyLabel), (".a", .emptyLabel),
      ("bücher.example", .forbiddenCharacter), ("a b", .forbiddenCharacter), ("a\\.b", .forbiddenCharacter),
      ("a\u{1}.b", .forbiddenCharacter), ("10.0.0.256", .malformedAddress), ("10.1", .malformedAddress), ("5", .malformedAddress),
      (DomainName(String(repeating: "a", count: 64) + ".example"), .labelTooLong),
      (DomainName(Array(repeating: "abcdefg", count: 32).joined(separator: ".")), .tooLong),
    ] as [(DomainName, NameError)])
  func wrongNamesSayWhy(domain: DomainName, error: NameError) {
    #expect(throws: error) { try NameSource(domain) }
  }
}

@Suite struct SystemFileParsingTests {
  @Test func hostsFile() throws {
    let hosts = HostsFile(
      parsing: """
        # a comment
        127.0.0.1\tlocalhost
        192.0.2.1 db DB.example # the database
        2001:db8::1   db
        not-an-address other
        192.0.2.9
        """)
    #expect(hosts["db"] == [.v4(0xC000_0201), try #require(IPAddress("2001:db8::1"))])
    #expect(hosts["db.example"] == [.v4(0xC000_0201)])
    #expect(hosts["other"] == nil)
    #expect(hosts["database"] == nil)
    #expect(hosts.loopback("localhost") == [.v4(0x7F00_0001)])
    #expect(hosts.loopback("app.localhost") == [.v4(0x7F00_0001), .v6(1)])
  }

  @Test func resolverConfiguration() throws {
    let configuration = ResolverConfiguration(
      parsing: """
        ; generated
        search .
        nameserver 192.0.2.53   # first
        nameserver 2001:db8::53
        nameserver 192.0.2.53
        nameserver fe80::1%eth0
        options timeout:1
        nameserver
        """)
    #expect(configuration.servers == [SocketAddress("192.0.2.53:53"), SocketAddress("[2001:db8::53]:53")])
    #expect(configuration.rejected == ["fe80::1%eth0"])
  }

  @Test func resolverConfigurationIsBounded() {
    let text = (0..<100).map { "nameserver 192.0.2.\($0)\nnameserver x\($0)" }.joined(separator: "\n")
    let configuration = ResolverConfiguration(parsing: text)
    #expect(configuration.servers.count == 8)
    #expect(configuration.rejected.count == 8)
  }
}
