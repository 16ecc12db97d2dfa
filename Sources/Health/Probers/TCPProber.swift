import Model
import NIOCore

/// A connect that succeeds is a pass.
///
/// The connection is closed in good order. A reset would spare us the TIME_WAIT (200 sockets a backend at the default
/// interval, which is nothing), but servers write resets to their logs.
final class TCPProber: Prober {
  private let address: Model.SocketAddress
  private let loop: any EventLoop
  private let onEvent: (ProberEvent) -> Void
  private var link: Link?

  init(address: Model.SocketAddress, loop: any EventLoop, onEvent: @escaping (ProberEvent) -> Void) {
    self.address = address
    self.loop = loop
    self.onEvent = onEvent
  }

  func begin() {
    link = Link(to: address, on: loop) { [weak self] event in
      guard let self else { return }
      switch event {
      case .connected:
        self.stop()
        self.onEvent(.passed(nil, nil))
      case .secured, .received:
        break
      case .ended(let failure):
        self.link = nil
        self.onEvent(.failed(failure, sessionEnded: false))
      }
    }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    stop()
    return ProbeFailure(.timedOut, "no connection within \(timeout.text)")
  }

  func stop() {
    link?.close()
    link = nil
  }
}
