import Foundation
import Health
import Model

/// Calls the API of a running sidecar. Failures come out as the exit codes of the contract.
struct APIClient {
  let address: SocketAddress
  /// As the user wrote it, for messages.
  let url: String

  func get<Answer: Decodable>(_ target: String) async throws(CommandFailure) -> Answer {
    try await exchange(HTTPExchange.Request(target: target, headers: headers))
  }

  func post<Answer: Decodable>(_ target: String, _ body: some Encodable) async throws(CommandFailure) -> Answer {
    let data: Data
    do {
      data = try JSONEncoder().encode(body)
    } catch {
      throw CommandFailure(.usage, "the request cannot be written as JSON: \(error)")
    }
    let fields = headers + [HTTPExchange.Field("Content-Type", "application/json")]
    return try await exchange(HTTPExchange.Request(method: "POST", target: target, headers: fields, body: Array(data)))
  }

  private var headers: [HTTPExchange.Field] {
    [HTTPExchange.Field("Host", "localhost"), HTTPExchange.Field("Accept", "application/json")]
  }

  private struct Problem: Decodable {
    let title: String
    let detail: String
  }

  private func exchange<Answer: Decodable>(_ request: HTTPExchange.Request) async throws(CommandFailure) -> Answer {
    let response: HTTPExchange.Response
    do {
      response = try await HTTPExchange.perform(request, to: address, timeout: .seconds(10))
    } catch {
      throw CommandFailure(.unreachable, "no API at \(url) (\(error)); is leba running, and is --api right?")
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let body = Data(response.body)
    guard (200..<300).contains(response.status) else {
      let problem = try? decoder.decode(Problem.self, from: body)
      throw CommandFailure(.requestFailed, problem?.detail ?? "the API answered \(response.status)")
    }
    do {
      return try decoder.decode(Answer.self, from: body)
    } catch {
      throw CommandFailure(.requestFailed, "the API at \(url) gave an answer this version of leba does not understand")
    }
  }
}

extension String {
  /// One path segment of a URL.
  var pathEscaped: String {
    let allowed = CharacterSet.urlPathAllowed.subtracting(CharacterSet(charactersIn: "/?#%"))
    return addingPercentEncoding(withAllowedCharacters: allowed) ?? self
  }
}
