import Foundation

/// JSON on its way from the API to a terminal or a script: nothing is lost because this version does not know it.
struct JSONText {
  private let value: Any

  private init(value: Any) { self.value = value }

  init(_ data: Data) {
    self.init(value: (try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)) ?? NSNull())
  }

  init(key: String, list: [JSONText]) { self.init(value: [key: list.map(\.value)]) }

  /// The items of a list in an object.
  func items(_ key: String) -> [JSONText] { ((value as? [String: Any])?[key] as? [Any] ?? []).map(JSONText.init(value:)) }

  func decode<Answer: Decodable>() throws(CommandFailure) -> Answer {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      return try decoder.decode(Answer.self, from: JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed))
    } catch {
      throw CommandFailure(.requestFailed, "the API gave an answer this version of leba does not understand")
    }
  }

  func print(pretty: Bool = true) {
    let options: JSONSerialization.WritingOptions = [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed]
    let data = try? JSONSerialization.data(withJSONObject: value, options: pretty ? options.union(.prettyPrinted) : options)
    Swift.print(String(decoding: data ?? Data("null".utf8), as: UTF8.self))
  }
}
