import Model
import Testing

@Suite("Names")
struct NameTests {
  @Test("equal domain names are equal values, however they are written")
  func domains() {
    #expect(DomainName("DB.Example.COM.") == DomainName("db.example.com"))
    #expect(DomainName("DB.Example.COM.").description == "db.example.com")
    #expect(DomainName(".").rawValue == ".")
    #expect(DomainName("").rawValue == "")
  }

  @Test("the id of a discovered backend is the contract's")
  func discoveredIDs() throws {
    let four = try #require(SocketAddress("10.0.0.1:5432"))
    let six = try #require(SocketAddress("[::1]:5432"))
    #expect(BackendID(domain: "db.example.com", address: four) == "db.example.com:10.0.0.1:5432")
    #expect(BackendID(domain: "db.example.com", address: six) == "db.example.com:[::1]:5432")
  }

  @Test("members are ordered by group, then backend")
  func memberOrder() {
    let keys = [("a", "z"), ("b", "a"), ("b", "b")].map { MemberKey(group: GroupName($0.0), backend: BackendID($0.1)) }
    #expect(keys.reversed().sorted() == keys)
    #expect(keys[0].description == "a/z")
  }
}

@Suite("Secrets")
struct SecretTests {
  struct Holder { let secret = Secret("hunter2") }

  @Test("no way of printing shows it")
  func masked() {
    var dumped = ""
    dump(Holder(), to: &dumped)
    let check = HealthCheck(kind: .postgres(PostgresCheck(password: Secret("hunter2"))))
    dump(check, to: &dumped)
    let texts = [
      "\(Secret("hunter2"))", String(reflecting: Secret("hunter2")), "\(Holder())", String(reflecting: Holder()), "\(check)",
      dumped,
    ]
    for text in texts {
      #expect(!text.contains("hunter2"))
      #expect(text.contains("<secret>"))
    }
  }

  @Test("it is itself when asked for")
  func revealed() {
    #expect(Secret("hunter2").revealed == "hunter2")
    #expect(Secret("a") != Secret("b"))
  }
}

@Suite("Routing tables")
struct RoutingTableTests {
  @Test("who serves a role is read from the standings")
  func serving() {
    let address = SocketAddress.ip(.v4(1), port: 1)
    let members = [
      MemberRoute(backend: "a", address: address, weight: 1, standing: Standings(primary: .serve, replica: .idle, any: .serve)),
      MemberRoute(backend: "b", address: address, weight: 1, standing: Standings(primary: .demoted, replica: .serve, any: .serve)),
      MemberRoute(backend: "c", address: address, weight: 1, standing: Standings(all: .dead)),
    ]
    let group = GroupRoute(name: "g", balance: .roundRobin, holdTimeout: .zero, drainTimeout: .zero, members: members)
    let table = RoutingTable(generation: 1, groups: [group])
    #expect(table["g"]?.serving(.primary) == ["a"])
    #expect(table["g"]?.serving(.replica) == ["b"])
    #expect(table["g"]?.serving(.any) == ["a", "b"])
    #expect(table["h"] == nil)
  }

  @Test("silent clients do not hold server slots where the client speaks first")
  func whoSpeaksFirst() {
    #expect(BackendProtocol.allCases.filter(\.clientSpeaksFirst) == [.http, .https, .postgres, .redis, .grpc, .tls])
  }
}
