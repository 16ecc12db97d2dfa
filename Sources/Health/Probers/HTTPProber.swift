import Model
import NIOCore

/// A GET. The status decides, and the beginning of the body where a text is asked for; a redirect is a status like any other.
///
/// Where probes are frequent the connection is kept for the next, if the server does so too: that halves the cost, and a process that
/// dies is known at once. Servers end connections that are idle, so an end in good order is no verdict.
final class HTTPProber: Prober {
  /// How much of a body is searched.
  static let searchedBody = 64 * 1024

  private let check: HTTPCheck
  private let address: Model.SocketAddress
  private let header: ProxyProtocol?
  private let loop: any EventLoop
  private let seats: HTTPConnectionSeats?
  private let onEvent: (ProberEvent) -> Void
  private var exchange: HTTPExchangeHandler?

  var keepsSession: Bool { exchange?.isKept == true }

  /// `seats`: nil where each probe has a connection of its own.
  init(
    check: HTTPCheck, address: Model.SocketAddress, header: ProxyProtocol?, loop: any EventLoop, keptIn seats: HTTPConnectionSeats?,
    onEvent: @escaping (ProberEvent) -> Void
  ) {
    self.check = check
    self.address = address
    self.header = header
    self.loop = loop
    self.seats = seats
    self.onEvent = onEvent
  }

  func begin() {
    let isAgain = exchange?.again { [weak self] result in self?.ended(result, ofKept: true) } ?? false
    if !isAgain { connect() }
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

  private func connect() {
    stop()
    exchange = HTTPExchangeHandler.start(
      check.request, to: address, header: header, on: loop, tls: check.tls,
      body: check.bodyContains == nil ? .ignored : .prefix(Self.searchedBody),
      keptIn: seats
    ) { [weak self] result in self?.ended(result, ofKept: false) }
    exchange?.onIdleEnd = { [weak self] failure in self?.connectionEnded(failure) }
  }

  private func ended(_ result: Result<HTTPExchange.Response, ProbeFailure>, ofKept wasKept: Bool) {
    switch result {
    // Request Timeout: what servers say to a connection that was idle, before they end it. It is no answer to our request.
    case .success(let response) where wasKept && response.status == 408:
      connect()
    case .success(let response):
      if exchange?.isKept != true { exchange = nil }
      onEvent(check.objection(to: response).map { .failed($0, sessionEnded: false) } ?? .passed(nil, nil))
    case .failure(let failure):
      exchange = nil
      // The server ended the connection, and the request crossed that on its way: a new connection tells.
      if wasKept, failure.kind == .closed || failure.kind == .reset {
        connect()
      } else {
        onEvent(.failed(failure, sessionEnded: false))
      }
    }
  }

  private func connectionEnded(_ failure: ProbeFailure?) {
    let answers = exchange?.answers ?? 0
    exchange = nil
    if let failure {
      onEvent(.sessionEnded(failure))
    } else if answers > 1 {
      onEvent(.sessionClosed)
    }
    // After the first answer it is the server's habit, and no news.
  }
}

extension HTTPCheck {
  fileprivate var request: HTTPExchange.Request {
    var fields = headers.map { HTTPExchange.Field($0.name, $0.value) }
    if let host {
      fields.removeAll { $0.name.lowercased() == "host" }
      fields.insert(HTTPExchange.Field("Host", host), at: 0)
    }
    return HTTPExchange.Request(target: path, headers: fields)
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
