import Foundation
import Model

/// The parts of the API's answers that the command line shows.
enum Answer {
  struct Groups: Decodable { let groups: [Summary] }
  struct Summary: Decodable { let name: String }

  struct Group: Decodable {
    let name: String
    let mode: String
    let state: String
    let primaryKey: String?
    let primaryHealthy: Bool
    let totalBackends: Int
    let healthyBackends: Int
    let failedBackends: Int
    let lastFailover: String?
    let failoverCount: Int
    let pinned: Bool
    let override: Override?
    let failback: Failback?
    let minimumInterval: String?
    let nextAllowedChange: String?
    let suspension: String?
    let shadow: Bool?
    let shadowPrimary: String?
    let backends: [Backend]

    var title: String {
      let failovers = lastFailover.map { ", \(failoverCount) failover\(failoverCount == 1 ? "" : "s"), last \($0)" } ?? ""
      return "\(name) (\(mode)): \(state.replacing("_", with: " ")), primary \(primaryKey ?? "none")\(pinned ? " (pinned)" : ""), "
        + "\(healthyBackends) of \(totalBackends) healthy\(failovers)"
    }

    /// What a person should know who wonders why nothing, or something, is about to happen.
    var notes: [String] {
      var notes: [String] = []
      if let suspension { notes.append("automatic changes are suspended: \(suspension)") }
      if let override {
        let how = [override.force ? "forced" : nil, override.pin ? "pinned" : nil].compactMap { $0 }.joined(separator: ", ")
        notes.append(
          "a person chose \(override.backendId)\(how.isEmpty ? "" : " (\(how))"); leba failover \(name) --lift takes it back")
      }
      if let failback {
        let due = failback.due.map { "takes over at \($0)" } ?? "waits for a person: leba failover \(name) \(failback.backend)"
        let flaps = "\(failback.flaps) flap\(failback.flaps == 1 ? "" : "s")"
        notes.append("\(failback.backend) ready for \(failback.readyForSeconds.ageText), \(flaps); \(due)")
      }
      if let nextAllowedChange, let minimumInterval {
        notes.append("no automatic change before \(nextAllowedChange) (minimum interval \(minimumInterval))")
      }
      if shadow == true { notes.append("shadow mode: would use \(shadowPrimary ?? "nobody"), and does not act") }
      return notes
    }

    var table: TextTable {
      var table = TextTable(["BACKEND", "ADDRESS", "HEALTH", "ROLE", "SCORE", "CONNECTIONS", "WHY"])
      for backend in backends {
        table.add([
          (backend.id == primaryKey ? "* " : "  ") + backend.id, backend.endpoint,
          backend.health, backend.role, backend.score.map(String.init) ?? "-", String(backend.activeConnections), backend.reason,
        ])
      }
      return table
    }
  }

  struct Override: Decodable {
    let backendId: String
    let force: Bool
    let pin: Bool
  }

  struct Failback: Decodable {
    let backend: String
    let readyForSeconds: Double
    let flaps: Int
    let due: String?
  }

  struct Backend: Decodable {
    let id: String
    let address: String
    let port: Int?
    let `protocol`: String
    let weight: Int
    let zone: String?
    let health: String
    let score: Int?
    let role: String
    let administrative: String
    let discovered: String
    let eligible: Bool
    let reason: String
    let activeConnections: Int

    var endpoint: String {
      guard let port else { return address }
      return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
  }

  struct Deleted: Decodable { let deleted: String }

  /// What a backend is in each of its groups.
  struct BackendHealth: Decodable {
    struct Standing: Decodable {
      let group: String
      let primary: Bool
      let health: String
      let role: String
      let administrative: String
      let reason: String
    }

    let id: String
    let groups: [Standing]

    var table: TextTable {
      var table = TextTable(["GROUP", "HEALTH", "ROLE", "ADMINISTRATIVE", "WHY"])
      for standing in groups {
        table.add([
          (standing.primary ? "* " : "  ") + standing.group, standing.health, standing.role,
          standing.administrative.replacing("_", with: " "), standing.reason,
        ])
      }
      return table
    }
  }
}

extension Double {
  /// Seconds as a person says them: 3s, 42m10s, 3d2h.
  var ageText: String {
    guard isFinite, self >= 1 else { return self >= 0.001 ? Duration.milliseconds(Int64(self * 1000)).text : "0s" }
    // Seconds do not matter any more after an hour, nor minutes after a day.
    let step: Double = self < 3600 ? 1 : self < 86_400 ? 60 : 3600
    return Duration.seconds(Int64((Swift.min(self, 1e9) / step).rounded(.down) * step)).text
  }
}
