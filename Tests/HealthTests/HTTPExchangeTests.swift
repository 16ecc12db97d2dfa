import Health
import Model
import Testing
import TestSupport

@Suite struct HTTPExchangeTests {
  @Test func postAndAnswer() async throws {
    let directory = try TemporaryDirectory()
    for place in [.v4, .unix(directory.file("api"))] as [ScriptedServer.Place] {
      let server = try await ScriptedServer(on: place) { connection, event in
        guard case .received(let bytes) = event, bytes.last == UInt8(ascii: "}") else { return }
        connection.send("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"name\":\"g\"}\n")
      }
      let response = try await HTTPExchange.perform(
        HTTPExchange.Request(
          method: "POST", target: "/api/v1/groups", headers: [.init("Authorization", "Bearer t")], body: Array("{\"a\":1}".utf8)),
        to: server.address, timeout: .seconds(30))
      #expect(response.status == 201)
      #expect(response[header: "content-type"] == "application/json")
      #expect(response[header: "x"] == nil)
      #expect(String(decoding: response.body, as: UTF8.self) == "{\"name\":\"g\"}\n")
      let host = server.address.port == nil ? "localhost" : server.address.description
      #expect(
        server.counts.text
          == "POST /api/v1/groups HTTP/1.1\r\nAuthorization: Bearer t\r\nHost: \(host)\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"a\":1}"
      )
      try await server.stop()
    }
  }

  private func failure(
    timeout: Duration = .seconds(30), maximumBody: Int = 1000, _ script: @escaping ScriptedServer.Script
  ) async throws -> ProbeFailure? {
    let server = try await ScriptedServer(script)
    do throws(ProbeFailure) {
      _ = try await HTTPExchange.perform(
        HTTPExchange.Request(target: "/"), to: server.address, timeout: timeout, maximumBody: maximumBody)
      try? await server.stop()
      return nil
    } catch {
      // Nothing is left behind.
      try await eventually("the connection is closed") { server.counts.open == 0 }
      try await server.stop()
      return error
    }
  }

  @Test func bodyBounds() async throws {
    func answer(_ size: Int) -> ScriptedServer.Script {
      { connection, event in
        guard case .received = event else { return }
        connection.send("HTTP/1.1 200 OK\r\n\r\n")
        connection.send([UInt8](repeating: 1, count: size))
        connection.close()
      }
    }
    #expect(try await failure(answer(1000)) == nil)
    #expect(try await failure(answer(1001))?.kind == .protocolError)
  }

  @Test func truncated() async throws {
    let failure = try await failure { connection, event in
      guard case .received = event else { return }
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
      connection.close()
    }
    #expect(failure?.description == "closed: the connection ended inside the response")
  }

  @Test func silence() async throws {
    let failure = try await failure(timeout: .milliseconds(50)) { _, _ in }
    #expect(failure?.kind == .timedOut)
  }

  @Test func refused() async throws {
    let port = try RefusingPort()
    await #expect(throws: ProbeFailure.self) {
      try await HTTPExchange.perform(.init(target: "/"), to: port.address, timeout: .seconds(30))
    }
  }
}
