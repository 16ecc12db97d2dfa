import ControlAPI
import Failover
import Health
import Journal
import LebaConfiguration
import Logging
import Model
import Synchronization

/// The audit history, as the API asks for it.
extension Sidecar {
  func events(_ query: EventQuery) async -> EventPage {
    var wanted = AuditQuery(query)
    // One more than asked for tells whether there are more.
    wanted.limit += 1
    let records = await journal.records(wanted)
    return EventPage(
      records: records.prefix(query.limit).map(EventRecord.init), hasMore: records.count > query.limit,
      lastSequence: UInt64(max(0, journal.lastRecord)))
  }

  /// Once a run, beside everything else: a hundred thousand records take a second.
  func verifyHistory() {
    Task {
      let verdict = await journal.verifyAudit()
      auditVerdict.withLock { $0 = verdict }
      if case .broken(let record, let problem) = verdict {
        logger.error(
          "the audit history in \(configuration.stateDirectory) is broken at record \(record): \(problem); what follows is chained to what is left"
        )
      }
    }
  }

  func memberStatistics() async -> [MemberKey: MemberStatistics] {
    health.statistics().mapValues { MemberStatistics(probesPassed: $0.passed, probesFailed: $0.failed) }
  }
}

extension AuditQuery {
  init(_ query: EventQuery) {
    self.init(
      group: query.group?.rawValue, kinds: Set(query.kinds.map(\.rawValue)), since: query.since?.milliseconds,
      before: query.before.map { Int64(clamping: $0) }, after: query.after.map { Int64(clamping: $0) },
      oldestFirst: query.order == .oldestFirst, limit: query.limit)
  }
}

extension EventRecord {
  init(_ record: AuditRecord) {
    self.init(
      sequence: UInt64(max(0, record.id)), at: WallTime(milliseconds: record.at), group: record.group, kind: record.kind,
      from: record.from, to: record.to, reason: record.reason, reasonLabel: record.label, evidence: record.evidence,
      hash: record.hash)
  }
}
