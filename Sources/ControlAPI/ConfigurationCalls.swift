import Failover
import Hummingbird
import LebaConfiguration
import Model

/// `/api/v1/config`: what counts now, and reading the file again.
struct ConfigurationCalls {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/config", [.get: show])
    router.resource("/api/v1/config/reload", [.post: reload])
  }

  @Sendable private func show(_ request: Request, _ context: Context) async throws -> Response {
    let (configuration, windows) = (await plane.effectiveConfiguration(), await plane.windows())
    return try JSON.response(ConfigurationView(configuration, windows: windows.map(\.window)))
  }

  private struct NoFields: Decodable {}

  @Sendable private func reload(_ request: Request, _ context: Context) async throws -> Response {
    _ = try await JSON.decodeIfPresent(NoFields.self, keys: [], from: request)
    return try JSON.response(await plane.reload(dryRun: request.isDryRun))
  }
}

/// The answer of `POST /config/reload`.
package struct ReloadReport: Hashable, Sendable, Codable {
  /// Something of the file that is otherwise than before: a group, a name, a listener, a window, or a setting.
  package struct Change: Hashable, Sendable, Codable {
    package enum Action: String, Hashable, Sendable, Codable {
      case added, changed, removed
    }

    /// The key of the file: `failover_groups`, `dns_resolver`, …
    package var part: String
    /// Its name there; nil for a part without names.
    package var name: String?
    package var action: Action

    package init(part: String, name: String?, action: Action) {
      self.part = part
      self.name = name
      self.action = action
    }
  }

  package var file: String
  package var changes: [Change]
  /// Keys of the file that differ and count only after a restart: `api.address`, `engine`, …
  package var needsRestart: [String]
  /// What a person should know although the file is valid.
  package var warnings: [String]

  package init(file: String, changes: [Change], needsRestart: [String], warnings: [String]) {
    self.file = file
    self.changes = changes
    self.needsRestart = needsRestart
    self.warnings = warnings
  }
}
