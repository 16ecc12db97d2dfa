import Glibc
import Model
import NIOCore
import NIOSSL

// What TLS has to say when it fails. The library keeps most of it in BoringSSL's words.

extension ChannelHandlerContext {
  /// Why this connection failed: with the certificate still at hand, which tells what the error does not.
  func probeFailure(_ error: any Error) -> ProbeFailure {
    ProbeFailure(error, certificate: try? pipeline.syncOperations.nioSSL_peerCertificate())
  }
}

extension ProbeFailure {
  init(_ error: any Error, certificate: NIOSSLCertificate?) {
    switch error {
    case NIOSSLError.handshakeFailed(.sslError(let stack)):
      self.init(handshake: stack.first, certificate: certificate)
    case NIOSSLError.handshakeFailed: self.init(.protocolError, "the TLS handshake failed")
    // The end of the connection without the end of TLS: a process that died, or one that never cared.
    case NIOSSLError.uncleanShutdown: self = .connectionClosed
    case NIOSSLError.cannotFindPeerIP:
      self.init(.badResponse, "the server's certificate has no name to compare with: set server_name")
    case NIOSSLError.noCertificateToValidate: self.init(.badResponse, "the server shows no certificate")
    case BoringSSLError.sslError(let stack):
      self.init(.protocolError, "TLS failed: \(stack.first.map { printable(Self.reason(of: $0)) } ?? "unknown reason")")
    case is BoringSSLError, is NIOSSLError: self.init(.protocolError, printable("TLS failed: \(error)"))
    case let error as NIOSSLExtraError where error == .failedToValidateHostname:
      self.init(.badResponse, "the server's certificate is for another name")
    case is NIOSSLExtraError: self.init(.local, "not a valid server_name")
    default: self.init(error)
    }
  }

  private init(handshake error: BoringSSLInternalError?, certificate: NIOSSLCertificate?) {
    let reason = error.map { Self.reason(of: $0) } ?? "unknown reason"
    switch reason {
    case _ where error == .eofDuringHandshake: self.init(.closed, "the connection was closed during the TLS handshake")
    case "certificate verify failed":
      self.init(
        .badResponse, certificate?.objection(at: time(nil)) ?? "the server's certificate is not signed by a trusted authority")
    case "wrong version number", "http request":
      self.init(.protocolError, "the server does not speak TLS")
    case _ where reason.contains(" alert "): self.init(.badResponse, "the server refuses the TLS handshake: \(printable(reason))")
    default: self.init(.protocolError, "the TLS handshake failed: \(printable(reason))")
    }
  }

  /// `WRONG_VERSION_NUMBER` of `error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER at …/tls_record.cc:230`, as words.
  private static func reason(of error: BoringSSLInternalError) -> String {
    let text = error.description.split(separator: ":", maxSplits: 5).last ?? ""
    return String(text.prefix { $0 != " " }).lowercased().split(separator: "_").joined(separator: " ")
  }
}

extension NIOSSLCertificate {
  /// What is wrong with its dates, if anything is.
  fileprivate func objection(at now: time_t) -> String? {
    if notValidAfter < now { return "the server's certificate expired on \(Self.date(notValidAfter))" }
    if notValidBefore > now { return "the server's certificate is not valid before \(Self.date(notValidBefore))" }
    return nil
  }

  private static func date(_ time: time_t) -> String {
    var (time, parts) = (time, tm())
    gmtime_r(&time, &parts)
    let (month, day) = (Int(parts.tm_mon) + 1, Int(parts.tm_mday))
    return "\(Int(parts.tm_year) + 1900)-\(month < 10 ? "0" : "")\(month)-\(day < 10 ? "0" : "")\(day)"
  }
}
