import ControlAPI
import Discovery
import Failover
import Foundation
import Journal
import LebaConfiguration
import Model

/// The names that build groups: what is known of them, and entries that come and go through the API.
extension Sidecar {
  func dnsStatus() async -> DNSStatusView {
    let now = Instant.monotonicNow
    return DNSStatusView(
      domains: discovery.status().map { DomainView($0, now: now) },
      servers: discovery.servers().map { server in
        let left = server.isAskedLastUntil.map { ($0 - now).seconds }
        return DNSStatusView.Server(
          address: server.address.description, answered: server.answered, failed: server.failed,
          askedLastForSeconds: left.flatMap { $0 > 0 ? $0 : nil })
      })
  }

  func refreshDNS(_ domain: DomainName?, dryRun: Bool) async throws(ControlError) -> [DomainName] {
    let known = Set(discovery.status().map(\.domain))
    if let domain, !known.contains(domain) { throw .dnsEntry(.unknown(domain)) }
    if dryRun { return domain.map { [$0] } ?? known.sorted() }
    return discovery.refresh(domain).sorted()
  }

  func dnsEntries() async -> [DNSEntry] { await loop.ask { state, _ in state.topology.entries } }

  func addDNSEntry(_ request: DNSEntryRequest, dryRun: Bool) async throws(ControlError) -> DNSEntry {
    let entry = try await changeEntries(dryRun: dryRun) { topology throws(DNSEntryRefusal) in try topology.add(request) }
    if !dryRun, let json = try? JSONEncoder().encode(request) {
      journal.store(FactKey(.dnsBackend, entry.domain.rawValue), json: String(decoding: json, as: UTF8.self))
    }
    return entry
  }

  func removeDNSEntry(_ domain: DomainName, dryRun: Bool) async throws(ControlError) {
    try await changeEntries(dryRun: dryRun) { topology throws(DNSEntryRefusal) in try topology.remove(domain) }
    if !dryRun { journal.remove(FactKey(.dnsBackend, domain.rawValue)) }
  }

  /// A person's word: what leaves by it leaves at once.
  private func changeEntries<Answer: Sendable>(
    dryRun: Bool, _ change: @escaping @Sendable (inout Topology) throws(DNSEntryRefusal) -> Answer
  ) async throws(ControlError) -> Answer {
    let discovery = discovery
    let result: Result<Answer, DNSEntryRefusal> = await loop.command { state, now in
      do throws(DNSEntryRefusal) {
        var topology = state.topology
        let answer = try change(&topology)
        if dryRun { return (.success(answer), []) }
        state.topology = topology
        let effects = state.applyTopology(leaving: .atOnce, now: now)
        discovery.watch(topology.domains)
        return (.success(answer), effects)
      } catch {
        return (.failure(error), [])
      }
    }
    do {
      return try result.get()
    } catch {
      throw .dnsEntry(error)
    }
  }
}

extension DomainView {
  init(_ status: DomainStatus, now: Instant) {
    self.init(
      domain: status.domain.rawValue, record: status.record.rawValue, source: status.source.rawValue,
      outcome: status.lastOutcome?.text ?? "pending",
      server: (status.parts.first { $0.server != nil && $0.label == status.lastOutcome } ?? status.parts.first)?.server?
        .description,
      records: status.records.map { record in
        Record(
          address: record.endpoint.address.description, port: record.endpoint.port.map(Int.init), tier: Int(record.endpoint.tier),
          weight: record.endpoint.weight.map(Int.init), ttlLeftSeconds: (record.expires - now).seconds, named: !record.isKept)
      },
      nextRefreshSeconds: max(0, (status.nextLookup - now).seconds), ageSeconds: status.lastAnswered.map { (now - $0).seconds },
      lookingUp: status.isLookingUp, lastLookupSeconds: status.lastLookupDuration?.seconds,
      consecutiveFailures: status.consecutiveFailures,
      questions: status.parts.map { part in
        Question(
          name: part.name, type: part.type, outcome: part.label.text, detail: part.detail, server: part.server?.description)
      },
      attributes: status.attributes, refused: status.refused.map { Refused(address: $0.address.description, reason: $0.reason) },
      lookups: Dictionary(uniqueKeysWithValues: status.lookups.map { ($0.key.text, $0.value) }))
  }
}
