/// What a client says.
package enum FrontendMessage: Hashable, Sendable {
  /// Protocol 3.0. Parameters in order; `user` is required, `database` defaults to the user's name.
  case startup([StartupParameter])
  case sslRequest
  /// An MD5 digest or a cleartext password.
  case password([UInt8])
  case saslInitialResponse(mechanism: String, data: [UInt8])
  case saslResponse([UInt8])
  case query(String)
  case terminate

  package struct StartupParameter: Hashable, Sendable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  package var encoded: [UInt8] {
    var bytes: [UInt8] = []
    encode(into: &bytes)
    return bytes
  }

  package func encode(into bytes: inout [UInt8]) {
    switch self {
    case .startup(let parameters):
      Self.frame(type: nil, into: &bytes) { body in
        body.append(int32: 3 << 16)
        for parameter in parameters {
          body.append(cString: parameter.name)
          body.append(cString: parameter.value)
        }
        body.append(0)
      }
    case .sslRequest:
      Self.frame(type: nil, into: &bytes) { $0.append(int32: 1234 << 16 | 5679) }
    case .password(let password):
      Self.frame(type: "p", into: &bytes) {
        $0.append(contentsOf: password)
        $0.append(0)
      }
    case .saslInitialResponse(let mechanism, let data):
      Self.frame(type: "p", into: &bytes) {
        $0.append(cString: mechanism)
        $0.append(int32: Int32(clamping: data.count))
        $0.append(contentsOf: data)
      }
    case .saslResponse(let data):
      Self.frame(type: "p", into: &bytes) { $0.append(contentsOf: data) }
    case .query(let text):
      Self.frame(type: "Q", into: &bytes) { $0.append(cString: text) }
    case .terminate:
      Self.frame(type: "X", into: &bytes) { _ in }
    }
  }

  /// The length counts itself and the body, not the type byte, which the messages before authentication lack.
  private static func frame(type: Unicode.Scalar?, into bytes: inout [UInt8], _ body: (inout [UInt8]) -> Void) {
    if let type { bytes.append(UInt8(ascii: type)) }
    let start = bytes.count
    bytes.append(int32: 0)
    body(&bytes)
    let length = UInt32(clamping: bytes.count - start)
    for offset in 0..<4 { bytes[start + offset] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(offset))) }
  }
}

extension [UInt8] {
  fileprivate mutating func append(int32 value: Int32) {
    for shift in [24, 16, 8, 0] as [Int32] { append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  /// Cut at a zero byte: a user name must not be able to end early and begin a parameter of its own.
  fileprivate mutating func append(cString text: String) {
    append(contentsOf: text.utf8.prefix { $0 != 0 })
    append(0)
  }
}
