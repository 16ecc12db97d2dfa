import Glibc
import Model
import NIOCore
import NIOHTTP1

// The tables from what went wrong to what the engine, the metrics and people are told.

extension ProbeFailure: Error {}

extension ProbeFailure {
  static let connectionClosed = ProbeFailure(.closed, "the connection was closed")

  init(_ error: any Error) {
    switch error {
    case let error as ProbeFailure: self = error
    case let error as IOError: self.init(errno: error.errnoCode)
    case HTTPParserError.invalidEOFState: self.init(.closed, "the connection ended inside the response")
    case HTTPParserError.headerOverflow: self.init(.protocolError, "the response's head is too large")
    case let error as HTTPParserError: self.init(.protocolError, "not an HTTP response: \(error)")
    case ChannelError.connectTimeout: self.init(.timedOut, "no connection")
    case ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed, ChannelError.eof, ChannelError.inputClosed,
      ChannelError.outputClosed:
      self = .connectionClosed
    case is SocketAddressError: self.init(.local, printable("\(error)"))
    // Whatever it is, the member was not reached. Not `local`: that would be held against nobody, and might stay so for ever.
    default: self.init(.unreachable, printable("\(error)"))
    }
  }

  init(errno code: CInt) {
    // The one that comes by the thousand costs nothing but a pointer.
    let text = code == ECONNREFUSED ? "connection refused" : String(cString: strerror(code)).lowercased()
    self.init(Self.kind(ofErrno: code), text)
  }

  private static func kind(ofErrno code: CInt) -> Kind {
    switch code {
    // Of a unix socket: no such file, nobody listens, or its queue of connections is full.
    case ECONNREFUSED, ENOENT, EAGAIN: .refused
    case ECONNRESET, ECONNABORTED, EPIPE: .reset
    case ETIMEDOUT: .timedOut
    case EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EADDRINUSE, EACCES, EPERM, EAFNOSUPPORT: .local
    default: .unreachable  // ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENETDOWN, and what ICMP may bring
    }
  }
}

/// A peer's words as one short line: what ends up in logs and on terminals must not be theirs to format.
func printable(_ text: String) -> String {
  let maximum = 300
  let clean = text.unicodeScalars.lazy.map { $0.properties.isPrintable ? Character($0) : " " }
  let line = String(clean.prefix(maximum))
  return text.unicodeScalars.count > maximum ? line + "…" : line
}

extension Unicode.Scalar.Properties {
  fileprivate var isPrintable: Bool {
    switch generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    default: true
    }
  }
}
