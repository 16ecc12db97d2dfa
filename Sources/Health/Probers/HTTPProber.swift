import Model
import NIOCore

/// One GET on a connection of its own. The status decides, and the beginning of the body where a text is asked for;
/// a redirect is a status like any other.
final class HTTPProber: Prober {
  /// How much of a body is searched.
  static let searchedBody = 64 * 1024

  private let check: HTTPCheck
  private let address: Model.SocketAddress
  private let loop: any EventLoop
  private let onEvent: (ProberEvent) -> Void
  private var exchange: HTTPExchangeHandler?

  init(check: HTTPCheck, address: Model.SocketAddress, loop: any EventLoop, onEvent: @escaping (ProberEvent) -> Void) {
    self.check = check
    self.address = address
    self.loop = loop
    self.onEvent = onEvent
  }

  func begin() {
    let request = HTTPExchange.Request(target: check.path, headers: check.host.map { [.init("Host", $0)] } ?? [])
    exchange = HTTPExchangeHandler.start(
      request, to: address, on: loop, tls: check.tls, body: check.bodyContains == nil ? .ignored : .prefix(Self.searchedBody)
    ) { [weak self] result in
      guard let self else { return }
      self.exchange = nil
      switch result {
      case .success(let response):
        if let failure = self.check.objection(to: response) {
          self.onEvent(.failed(failure, sessionEnded: false))
        } else {
          self.onEvent(.passed(nil, nil))
        }
      case .failure(let failure):
        self.onEvent(.failed(failure, sessionEnded: false))
      }
    }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    let phase = exchange?.phase ?? "a response"
    stop()
    return ProbeFailure(.timedOut, "no \(phase) within \(timeout.text)")
  }

  func stop() {
    exchange?.cancel()
    exchange = nil
  }
}

extension HTTPCheck {
  /// What is wrong with a response, if anything is.
  func objection(to response: HTTPExchange.Response) -> ProbeFailure? {
    guard statuses.contains(where: { $0.contains(response.status) }) else {
      return ProbeFailure(.badResponse, "status \(response.status)")
    }
    guard let text = bodyContains else { return nil }
    if response.body.contains(sequence: Array(text.utf8)) { return nil }
    return ProbeFailure(.badResponse, "status \(response.status), and the body does not contain \"\(text)\"")
  }
}

extension [UInt8] {
  fileprivate func contains(sequence: [UInt8]) -> Bool {
    guard let first = sequence.first else { return true }
    guard count >= sequence.count else { return false }
    return (0...(count - sequence.count)).contains { start in
      self[start] == first && self[start..<(start + sequence.count)].elementsEqual(sequence)
    }
  }
}
