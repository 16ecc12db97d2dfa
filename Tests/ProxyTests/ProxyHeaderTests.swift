import Glibc
import Model
import Testing

@testable import Proxy

@Suite struct ProxyHeaderTests {
  private func text(_ client: String?, _ destination: String?) -> String {
    String(
      decoding: ProxyHeader.bytes(
        .v1, client: client.flatMap { SocketAddress($0) }, destination: destination.flatMap { SocketAddress($0) }),
      as: UTF8.self)
  }

  @Test func `a line names both ends`() {
    #expect(text("192.0.2.1:5000", "198.51.100.2:80") == "PROXY TCP4 192.0.2.1 198.51.100.2 5000 80\r\n")
    #expect(text("[2001:db8::1]:5000", "[::1]:80") == "PROXY TCP6 2001:db8::1 ::1 5000 80\r\n")
    #expect(text("[::ffff:192.0.2.1]:5000", "[::ffff:192.0.2.2]:80") == "PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n")
    #expect(text(nil, nil) == "PROXY UNKNOWN\r\n")
    #expect(text("192.0.2.1:5000", nil) == "PROXY UNKNOWN\r\n")
    let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
    #expect(text(longest, longest).utf8.count <= ProxyHeader.longest)
  }

  @Test func `a block is the bytes of the specification`() {
    let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
    let v4 = ProxyHeader.bytes(.v2, client: SocketAddress("192.0.2.1:5000"), destination: SocketAddress("198.51.100.2:80"))
    #expect(v4 == signature + [0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 2, 0x13, 0x88, 0, 80])
    let v6 = ProxyHeader.bytes(.v2, client: SocketAddress("[2001:db8::1]:5000"), destination: SocketAddress("[::1]:80"))
    #expect(v6.count == 52 && v6[12...15].elementsEqual([0x21, 0x21, 0, 36]))
    #expect(v6[16...19].elementsEqual([0x20, 0x01, 0x0D, 0xB8]) && v6[48...].elementsEqual([0x13, 0x88, 0, 80]))
    #expect(ProxyHeader.bytes(.v2, client: nil, destination: nil) == signature + [0x20, 0, 0, 0])
  }

  @Test(arguments: ProxyProtocol.allCases, ["127.0.0.1:0", "[::1]:0", "unix"])
  func `every connection begins with the header, a retry too`(version: ProxyProtocol, address: String) throws {
    let server = TestServer.echo()
    let rig = try Rig()
    let path = "/tmp/leba-header-\(version.rawValue)-\(getpid()).sock"
    let front = try rig.listen(on: address == "unix" ? "unix:\(path)" : address)
    rig.publish(
      [.init("gone", refusingAddress()), .init("a", server.address)], connections: UpstreamConnections(proxyProtocol: version))
    for _ in 0..<3 {
      let client = try #require(TestSocket(connectingTo: front))
      client.send("ping")
      let header = ProxyHeader.bytes(version, client: client.localAddress, destination: front.port == nil ? nil : front)
      #expect(client.receiveExactly(header.count + 4) == header + Array("ping".utf8))
      client.close()
    }
  }
}
