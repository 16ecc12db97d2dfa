import Foundation
import Health
import Model

/// Calls the API of a running sidecar. Failures come out as the exit codes of the contract.
struct APIClient {
  let address: SocketAddress
  /// As the user wrote it, for messages.
  let url: String

  func get<Answer: Decodable>(_ target: String) async throws(CommandFailure) -> Answer {
    try decode(await data(HTTPExchange.Request(target: target, headers: headers)))
  }

  /// The answer as it came, for `--json`.
  func getJSON(_ target: String) async throws(CommandFailure) -> JSONText {
    JSONText(try await data(HTTPExchange.Request(target: target, headers: headers)))
  }

  func post<Answer: Decodable>(_ target: String, _ body: some Encodable) async throws(CommandFailure) -> Answer {
    let data: Data
    do {
      data = try JSONEncoder().encode(body)
    } catch {
      throw CommandFailure(.usage, "the request cannot be written as JSON: \(error)")
    }
    return try decode(await send(target, Array(data)))
  }

  /// Without a body.
  func post<Answer: Decodable>(_ target: String) async throws(CommandFailure) -> Answer { try decode(await send(target, [])) }

  func postForJSON(_ target: String) async throws(CommandFailure) -> JSONText { JSONText(try await send(target, [])) }

  // Not `post` too: an array of bytes is as encodable as any other.
  private func send(_ target: String, _ body: [UInt8]) async throws(CommandFailure) -> Data {
    let fields = headers + [HTTPExchange.Field("Content-Type", "application/json")]
    return try await data(HTTPExchange.Request(method: "POST", target: target, headers: fields, body: body))
  }

  func delete<Answer: Decodable>(_ target: String) async throws(CommandFailure) -> Answer {
    try decode(await data(HTTPExchange.Request(method: "DELETE", target: target, headers: headers)))
  }

  private var headers: [HTTPExchange.Field] {
    [HTTPExchange.Field("Host", "localhost"), HTTPExchange.Field("Accept", "application/json")]
  }

  private struct Problem: Decodable {
    let detail: String
    let errors: [String]?
  }

  /// What the API says of a request that it did not carry out.
  func failure(_ status: Int, _ body: [UInt8]) -> CommandFailure {
    guard let problem = try? JSONDecoder().decode(Problem.self, from: Data(body)) else {
      return CommandFailure(.requestFailed, "the API answered \(status)")
    }
    for error in problem.errors ?? [] { printError(error) }
    return CommandFailure(.requestFailed, problem.detail)
  }

  func unreachable(_ error: ProbeFailure) -> CommandFailure {
    CommandFailure(.unreachable, "no API at \(url) (\(error)); is leba running, and is --api right?")
  }

  private func data(_ request: HTTPExchange.Request) async throws(CommandFailure) -> Data {
    let response: HTTPExchange.Response
    do {
      response = try await HTTPExchange.perform(request, to: address, timeout: .seconds(10))
    } catch {
      throw unreachable(error)
    }
    guard (200..<300).contains(response.status) else { throw failure(response.status, response.body) }
    return Data(response.body)
  }

  private func decode<Answer: Decodable>(_ data: Data) throws(CommandFailure) -> Answer { try JSONText(data).decode() }
}

extension String {
  /// One path segment of a URL.
  var pathEscaped: String {
    let allowed = CharacterSet.urlPathAllowed.subtracting(CharacterSet(charactersIn: "/?#%"))
    return addingPercentEncoding(withAllowedCharacters: allowed) ?? self
  }

  /// One value of a URL's query.
  var queryEscaped: String {
    let allowed = CharacterSet.urlQueryAllowed.subtracting(CharacterSet(charactersIn: "&=+#%"))
    return addingPercentEncoding(withAllowedCharacters: allowed) ?? self
  }
}
