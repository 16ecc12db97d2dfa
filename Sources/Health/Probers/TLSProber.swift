import Model
import NIOCore

/// A handshake that succeeds is a pass.
final class TLSProber: Prober {
  private let check: TLSCheck
  private let address: Model.SocketAddress
  private let header: ProxyProtocol?
  private let loop: any EventLoop
  private let onEvent: (ProberEvent) -> Void
  private var link: Link?
  private var isConnected = false

  init(
    check: TLSCheck, address: Model.SocketAddress, header: ProxyProtocol?, loop: any EventLoop,
    onEvent: @escaping (ProberEvent) -> Void
  ) {
    self.check = check
    self.address = address
    self.header = header
    self.loop = loop
    self.onEvent = onEvent
  }

  func begin() {
    isConnected = false
    link = Link(to: address, header: header, on: loop) { [weak self] event in
      guard let self else { return }
      switch event {
      case .connected:
        self.isConnected = true
        self.secure()
      case .secured:
        self.link?.close()
        self.link = nil
        self.onEvent(.passed(nil, nil))
      case .received:
        break
      case .ended(let failure):
        self.link = nil
        self.onEvent(.failed(failure, sessionEnded: false))
      }
    }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    stop()
    return ProbeFailure(.timedOut, "no \(isConnected ? "TLS handshake" : "connection") within \(timeout.text)")
  }

  func stop() {
    link?.drop()
    link = nil
  }

  private func secure() {
    do throws(ProbeFailure) {
      link?.startTLS(try TLSClient(check))
    } catch {
      stop()
      onEvent(.failed(error, sessionEnded: false))
    }
  }
}
