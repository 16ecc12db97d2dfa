import Glibc
import Model
import Synchronization
import TestSupport
import Testing

@testable import Discovery

extension ProgrammableDNSServer {
  var socketAddress: SocketAddress { SocketAddress(endpoint.description) ?? .unix(path: "") }
}

/// A port of loopback where nobody listens.
func deadAddress() throws -> SocketAddress { .ip(.v4(0x7F00_0001), port: try FreePorts.next()) }

/// A running discovery and all it told, for tests that wait on conditions.
final class Watcher: Sendable {
  private struct Heard: Sendable {
    var updates: [DiscoveryUpdate] = []
    var notices: [DiscoveryNotice] = []
  }

  let discovery: Discovery
  private let heard: Box

  private final class Box: Sendable {
    let value = Mutex(Heard())
  }

  init(
    servers: [SocketAddress],
    files: SystemFiles.Paths = SystemFiles.Paths(resolverConfiguration: "/nonexistent/r", hosts: "/nonexistent/h"),
    ownListeners: [SocketAddress] = [], allowed: [String] = [], timeout: Duration = .milliseconds(300), retries: Int = 2,
    minimumTTL: Duration = .seconds(1), searchDomains: [DomainName] = []
  ) throws {
    let heard = Box()
    self.heard = heard
    discovery = try Discovery(
      settings: ResolverSettings(
        servers: servers, searchDomains: searchDomains, timeout: timeout, retryAttempts: retries, minimumTTL: minimumTTL,
        allowedRanges: try allowed.map { try #require(AddressRange($0)) }),
      ownListeners: ownListeners, seed: 1, files: files,
      onUpdate: { update in heard.value.withLock { $0.updates.append(update) } },
      onNotice: { notice in heard.value.withLock { $0.notices.append(notice) } })
    try discovery.start()
  }

  func watch(
    _ names: DomainName..., record: RecordKind = .address, readsText: Bool = false, ports: Set<UInt16> = [],
    lookupTimeout: Duration = .seconds(5)
  ) {
    discovery.watch(
      names.map {
        DomainSpecification(domain: $0, record: record, readsText: readsText, ports: ports, lookupTimeout: lookupTimeout)
      })
  }

  var updates: [DiscoveryUpdate] { heard.value.withLock { $0.updates } }
  var notices: [DiscoveryNotice] { heard.value.withLock { $0.notices } }

  func outcomes(_ domain: DomainName) -> [DiscoveryUpdate.Outcome] { updates.filter { $0.domain == domain }.map(\.outcome) }

  func status(_ domain: DomainName) throws -> DomainStatus {
    try #require(discovery.status().first { $0.domain == domain })
  }

  /// Finished lookups of all names that are watched now.
  var lookups: Int { discovery.status().reduce(0) { $0 + Int($1.lookups.values.reduce(0, +)) } }

  func lookups(_ domain: DomainName) -> Int {
    discovery.status().first { $0.domain == domain }.map { Int($0.lookups.values.reduce(0, +)) } ?? 0
  }

  /// The outcome of a name's lookup, as soon as one has finished.
  func outcome(_ domain: DomainName, _ location: SourceLocation = #_sourceLocation) throws -> DiscoveryUpdate.Outcome {
    try eventually("a lookup of \(domain)", location) { lookups(domain) > 0 }
    return try #require(outcomes(domain).last)
  }
}

/// Waits for a condition; the limit is there to end a broken test, not to measure anything.
func eventually(_ what: String, _ location: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool) throws {
  let limit = ResolverLoop.now() + .seconds(30)
  while try !condition() {
    guard ResolverLoop.now() < limit else {
      Issue.record("never came: \(what)", sourceLocation: location)
      throw TestFailure("never came: \(what)")
    }
    usleep(2000)
  }
}
