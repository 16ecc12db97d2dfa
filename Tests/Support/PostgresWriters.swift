import Synchronization

/// Applications that each keep one session open, insert a row at a time, and open a new session after an error.
package final class PostgresWriters: Sendable {
  package enum Outcome: Sendable {
    /// Acknowledged by the server at this address.
    case written(String, by: String)
    /// A session that had been established failed.
    case sessionFailed(number: Int, PostgresSession.Failure)
    /// A new session could not be had: refused, or broken before it was ready.
    case refused(PostgresSession.Failure)
  }

  private let load: Load<Outcome>
  private static let sessionNumber = Atomic<Int>(0)

  package init(to endpoint: Endpoint, clients: Int = 4) {
    let sessions = Mutex<[Int: (session: PostgresSession, number: Int)]>([:])
    let rowNumber = Atomic<Int>(0)
    load = Load(clients: clients, pause: .milliseconds(5)) { client in
      let current: (session: PostgresSession, number: Int)
      do throws(PostgresSession.Failure) {
        if let open = sessions.withLock({ $0[client] }) {
          current = open
        } else {
          let session = try PostgresSession(to: endpoint)
          current = (session, Self.sessionNumber.wrappingAdd(1, ordering: .relaxed).newValue)
          sessions.withLock { $0[client] = current }
        }
      } catch {
        return .refused(error)
      }
      let note = "row \(rowNumber.wrappingAdd(1, ordering: .relaxed).newValue)"
      do throws(PostgresSession.Failure) {
        let host = try current.session.query(
          "INSERT INTO writes (note) VALUES ('\(note)') RETURNING host(inet_server_addr())")
        return .written(note, by: host.first ?? "")
      } catch {
        sessions.withLock { $0[client] = nil }
        return .sessionFailed(number: current.number, error)
      }
    }
  }

  package func moreWrites(_ count: Int) async throws {
    let start = load.outcomes.count { $0.note != nil }
    try await eventually("\(count) more writes") { self.load.outcomes.count { $0.note != nil } >= start + count }
  }

  /// So far.
  package var report: Report { Report(outcomes: load.outcomes) }

  package func stop() async throws -> Report { Report(outcomes: try await load.stop()) }

  package struct Report: Sendable {
    package let outcomes: [Outcome]

    package var written: [String] { outcomes.compactMap(\.note) }
    /// The servers in the order in which they took writes.
    package var successions: [String] {
      outcomes.reduce(into: []) { hosts, outcome in
        if case .written(_, let host) = outcome, host != hosts.last { hosts.append(host) }
      }
    }
    package var refused: [PostgresSession.Failure] {
      outcomes.compactMap { if case .refused(let failure) = $0 { failure } else { nil } }
    }
    package var sessionFailures: [PostgresSession.Failure] {
      outcomes.compactMap { if case .sessionFailed(_, let failure) = $0 { failure } else { nil } }
    }
    package var readOnlyErrors: [PostgresSession.Failure] { (refused + sessionFailures).filter(\.isReadOnly) }
  }
}

extension PostgresWriters.Outcome {
  package var note: String? { if case .written(let note, _) = self { note } else { nil } }
}
