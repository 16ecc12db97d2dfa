import Foundation
import Journal
import LebaConfiguration
import Logging
import Model

/// What earlier runs knew, and what this one leaves to the next.
extension Sidecar {
  /// Entries made through the API come back. One that the file declares now is the file's.
  static func restoreEntries(from journal: Journal, into topology: inout Topology, logger: Logger) {
    for (domain, json) in journal.facts(of: .dnsBackend) {
      do {
        try topology.add(JSONDecoder().decode(DNSEntryRequest.self, from: Data(json.utf8)))
      } catch DNSEntryRefusal.exists {
        logger.notice("the DNS backend \(domain) was made through the API, and is declared in the file now: the file counts")
        journal.remove(FactKey(.dnsBackend, domain))
      } catch {
        logger.warning("the DNS backend \(domain), made through the API by an earlier run, cannot be used: \(error)")
      }
    }
  }
}

extension Journal {
  /// Keeps the last good answer of each name.
  func take(_ update: DiscoveryUpdate) {
    guard update.age == nil else { return }
    switch update.outcome {
    case .answer(let endpoints) where !endpoints.isEmpty:
      note(update.domain, endpoints: endpoints, attributes: update.attributes)
    // The authority says that there is nothing to go to: a later start must not believe otherwise.
    case .answer, .empty: forget(update.domain)
    case .failed: break
    }
  }
}
