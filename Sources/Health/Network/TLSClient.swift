import Glibc
import Model
import NIOCore
import NIOSSL
import Synchronization

/// How to begin TLS with one server: which certificates are believed, and which name is asked for.
struct TLSClient: Sendable {
  private let context: NIOSSLContext
  private let serverName: String?

  /// `host`: what is asked for where the check names no server; with a port or without.
  /// - Throws: `local`, when the certificate authorities cannot be read.
  init(_ check: TLSCheck, host: String? = nil) throws(ProbeFailure) {
    context = try TLSContexts.context(for: check)
    serverName = (check.serverName ?? host).flatMap(Self.serverName)
  }

  /// For one connection.
  func handler() throws -> NIOSSLClientHandler {
    try NIOSSLClientHandler(context: context, serverHostname: serverName)
  }

  /// The name in `name`, `name:port`; nil for an address, which may not be asked for (RFC 6066). A certificate is compared to
  /// the address of the connection then.
  static func serverName(of host: String) -> String? {
    guard !host.isEmpty, IPAddress(host) == nil, SocketAddress(host) == nil, !host.hasPrefix("[") else { return nil }
    let parts = host.split(separator: ":", omittingEmptySubsequences: false)
    return parts.count == 2 ? String(parts[0]) : host
  }
}

/// One context for each set of rules, whoever asks: making one reads the system's hundred and more authorities.
private enum TLSContexts {
  /// The time of the last change is part of it: a file of authorities that is replaced is read again.
  private struct Key: Hashable {
    let verifies: Bool
    let authorities: String?
    let seconds: Int
    let nanoseconds: Int

    init(_ check: TLSCheck) {
      var status = stat()
      verifies = check.verifies
      authorities = check.verifies ? check.authorities : nil
      if let authorities { stat(authorities, &status) }
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }

  /// Far more than any configuration has; beyond it, what files have changed since is forgotten with the rest.
  private static let maximumCount = 64
  private static let contexts = Mutex<[Key: NIOSSLContext]>([:])

  static func context(for check: TLSCheck) throws(ProbeFailure) -> NIOSSLContext {
    let key = Key(check)
    do {
      return try contexts.withLock { contexts in
        if let context = contexts[key] { return context }
        let context = try NIOSSLContext(configuration: configuration(for: check))
        if contexts.count >= maximumCount { contexts = [:] }
        contexts[key] = context
        return context
      }
    } catch {
      throw ProbeFailure(.local, printable("cannot use the authorities in \(check.authorities ?? "the system's store"): \(error)"))
    }
  }

  private static func configuration(for check: TLSCheck) -> TLSConfiguration {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = check.verifies ? .fullVerification : .none
    if check.verifies, let authorities = check.authorities { configuration.trustRoots = .file(authorities) }
    // How long the descriptor of a connection that we end may wait for the peer to say that it has ended it too.
    configuration.shutdownTimeout = .seconds(1)
    return configuration
  }
}
