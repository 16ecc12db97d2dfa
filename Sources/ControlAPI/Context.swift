import Foundation
import Hummingbird
import Logging
import NIOCore

/// What handlers get beside the request.
struct Context: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// The connection, for answers that have no end of their own and a peer that may stop reading them.
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    channel = source.channel
  }

  /// A variable part of the path, without its percent-encoding: ids of backends have colons and brackets.
  func segment(_ name: String) throws -> String {
    guard let text = try parameters.require(name).removingPercentEncoding else {
      throw Problem(status: .badRequest, detail: "the path is not percent-encoded UTF-8")
    }
    return text
  }
}
