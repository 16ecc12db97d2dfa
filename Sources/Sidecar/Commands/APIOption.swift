import ArgumentParser
import Foundation
import Health
import Model

/// `--api URL`, shared by the commands that talk to a running sidecar.
struct APIOption: ParsableArguments {
  @Option(name: .customLong("api"), help: "The API of the sidecar: http://HOST:PORT or unix:PATH.")
  var url = "http://127.0.0.1:8080"

  func client() throws -> APIClient { try APIClient(url: url) }
}

extension APIClient {
  init(url: String) throws(CommandFailure) {
    var text = url
    if text.hasPrefix("http://") { text.removeFirst("http://".count) }
    while text.hasSuffix("/") { text.removeLast() }
    if text.hasPrefix("localhost") { text = "127.0.0.1" + text.dropFirst("localhost".count) }
    if !text.hasPrefix("unix:"), !text.contains(":") { text += ":8080" }
    guard let address = SocketAddress(text) else {
      throw CommandFailure(.usage, "--api '\(url)' is not an address; write http://127.0.0.1:8080 or unix:/run/leba/api.sock")
    }
    self.init(address: address, url: url)
  }
}
