import HTTPTypes
import Hummingbird
import LebaConfiguration
import Model

/// `/api/v1/dns`: the names that build groups, and what discovery knows of them.
struct DNS {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/dns/status", [.get: status])
    router.resource("/api/v1/dns/refresh", [.post: refresh])
    router.resource("/api/v1/dns/backends", [.get: list, .post: add])
    router.resource("/api/v1/dns/backends/:domain", [.delete: remove])
  }

  @Sendable private func status(_ request: Request, _ context: Context) async throws -> Response {
    try JSON.response(await plane.dnsStatus())
  }

  private struct RefreshRequest: Decodable {
    let domain: String?
  }

  private struct RefreshAnswer: Encodable {
    let refreshing: [String]
    let count: Int
  }

  /// Of one name, or of all where the body names none. Each is asked for within a second; asking more often changes nothing.
  @Sendable private func refresh(_ request: Request, _ context: Context) async throws -> Response {
    let body = try await JSON.decodeIfPresent(RefreshRequest.self, keys: ["domain"], from: request)
    let domain = body?.domain.map { DomainName($0) }
    let names = try await plane.refreshDNS(domain, dryRun: request.isDryRun)
    return try JSON.response(RefreshAnswer(refreshing: names.map(\.rawValue), count: names.count))
  }

  private struct EntryList: Encodable {
    let dnsBackends: [DNSEntryView]
    let count: Int
  }

  @Sendable private func list(_ request: Request, _ context: Context) async throws -> Response {
    let entries = await plane.dnsEntries().map(DNSEntryView.init)
    return try JSON.response(EntryList(dnsBackends: entries, count: entries.count))
  }

  @Sendable private func add(_ request: Request, _ context: Context) async throws -> Response {
    let keys = Set(DNSEntryRequest.CodingKeys.allCases.map(\.rawValue))
    let body = try await JSON.decode(DNSEntryRequest.self, keys: keys, from: request)
    let dryRun = try request.isDryRun
    let entry = try await plane.addDNSEntry(body, dryRun: dryRun)
    return try JSON.response(DNSEntryView(entry), status: dryRun ? .ok : .created)
  }

  @Sendable private func remove(_ request: Request, _ context: Context) async throws -> Response {
    let domain = DomainName(try context.segment("domain"))
    try await plane.removeDNSEntry(domain, dryRun: request.isDryRun)
    return try JSON.response(["deleted": domain.rawValue])
  }
}
