package import Model
import Yams

/// The body of `POST /maintenance`: an item of `maintenance`.
package struct MaintenanceRequest: Codable, Hashable, Sendable {
  package var id: String?
  package var backend: String
  package var start: String
  package var duration: String
  package var repetition: String?
  package var preDrain: String?

  package enum CodingKeys: String, CodingKey, CaseIterable {
    case id, backend, start, duration
    case repetition = "repeat"
    case preDrain = "pre_drain"
  }

  package init(
    id: String? = nil, backend: String, start: String, duration: String, repetition: String? = nil, preDrain: String? = nil
  ) {
    self.id = id
    self.backend = backend
    self.start = start
    self.duration = duration
    self.repetition = repetition
    self.preDrain = preDrain
  }

  fileprivate func declaration(reader: Reader) -> MaintenanceDeclaration? {
    let values: [(CodingKeys, String?)] = [
      (.id, id), (.backend, backend), (.start, start), (.duration, duration), (.repetition, repetition), (.preDrain, preDrain),
    ]
    let pairs = values.compactMap { key, value in value.map { (Node(key.rawValue), Node($0)) } }
    return Format<MaintenanceDeclaration>.maintenance.read(Value(node: Node(pairs), name: "the window", reader: reader))
  }
}

/// Why a maintenance window that somebody asked for while we run cannot be.
package enum MaintenanceRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  /// A window of this id, or one of this backend at this time, is there already.
  case exists(String)
  case invalid(reasons: [String])

  package var description: String {
    switch self {
    case .exists(let id): "there is a window \(quoted(id)) already"
    case .invalid(let reasons): reasons.joined(separator: "; ")
    }
  }
}

extension Topology {
  /// A window under the rules of the file. `taken` are the ids of all windows there are; `members` the backends of all groups as they
  /// run, which may be named although nothing declares them.
  package func window(
    _ request: MaintenanceRequest, taken: Set<String>, members: Set<BackendID> = [], now: WallTime
  ) throws(MaintenanceRefusal) -> MaintenanceWindow {
    let reader = Reader(file: "", environment: [:], now: now)
    guard let declaration = request.declaration(reader: reader), !reader.hasErrors else { throw .invalid(reasons: reader.reasons) }
    let window: MaintenanceWindow
    if members.contains(BackendID(request.backend)) {
      let backend = BackendID(request.backend)
      window = declaration.window(
        id: declaration.id?.value ?? declaration.usualID(for: backend), backend: backend, isConfigured: false)
    } else {
      var resolution = MaintenanceResolution(directory: Directory(of: self, naming: [request.backend]), groups: [], reader: reader)
      guard let found = resolution.window(Located(declaration, at: .start), isConfigured: false), !reader.hasErrors else {
        throw .invalid(reasons: reader.reasons)
      }
      window = found
    }
    if declaration.isOver(at: now) { throw .invalid(reasons: ["the window would be over already; choose a later start"]) }
    if taken.contains(window.id) { throw .exists(window.id) }
    return window
  }
}
