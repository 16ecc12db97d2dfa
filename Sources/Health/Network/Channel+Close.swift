import NIOCore
import NIOSSL

extension Channel {
  /// Closes without the farewells of TLS, whose answer a silent peer would owe us for as long as we waited.
  func closeAtOnce(isEncrypted: Bool) {
    if isEncrypted, let tls = try? pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self) {
      tls.close(promise: nil)
    } else {
      close(promise: nil)
    }
  }
}
