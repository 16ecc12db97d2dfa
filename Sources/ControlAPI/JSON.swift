import Failover
import Foundation
import HTTPTypes
import Hummingbird
import Model

enum JSON {
  static var encoder: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return encoder
  }

  static func response(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
    let data = try encoder.encode(value)
    return Response(
      status: status,
      headers: [.contentType: "application/json", .contentLength: String(data.count), .cacheControl: "no-store"],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
  }

  /// Decodes a request body of the wanted shape; anything else is a `DecodingError` that becomes a problem, and a key nobody
  /// knows is refused because it is more often a typing error than a wish for the default.
  static func decode<T: Decodable>(_ type: T.Type, keys: Set<String>, from request: Request) async throws -> T {
    try decode(type, keys: keys, from: try await body(of: request))
  }

  /// The same for a body that may be left out.
  static func decodeIfPresent<T: Decodable>(_ type: T.Type, keys: Set<String>, from request: Request) async throws -> T? {
    let data = try await body(of: request)
    return data.isEmpty ? nil : try decode(type, keys: keys, from: data)
  }

  private static func body(of request: Request) async throws -> Data {
    Data(try await request.body.collect(upTo: ControlServer.bodyLimit).readableBytesView)
  }

  private static func decode<T: Decodable>(_ type: T.Type, keys: Set<String>, from data: Data) throws -> T {
    guard let json = try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed) else {
      throw Problem(status: .badRequest, detail: "the body is not JSON")
    }
    let value = try JSONDecoder().decode(T.self, from: data)
    if let object = json as? [String: Any], let unknown = object.keys.sorted().first(where: { !keys.contains($0) }) {
      throw Problem(
        status: .unprocessableContent,
        detail: "'\(unknown)' is not a known field; known are \(keys.sorted().joined(separator: ", "))")
    }
    return value
  }
}

extension Instant {
  /// Wall-clock time for people, in UTC with milliseconds. Monotonic instants are placed relative to the present of both clocks.
  func wallClock(now: Instant) -> String {
    Date(timeIntervalSinceNow: -(now - self).seconds).formatted(
      Date.ISO8601FormatStyle(includingFractionalSeconds: true, timeZone: .gmt))
  }
}
