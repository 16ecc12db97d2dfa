import Model

/// Windows against the backends there are.
struct MaintenanceResolution {
  let directory: Directory
  let reader: Reader
  /// The ids of fixed members.
  private let members: Set<BackendID>
  private var places: [String: Position] = [:]

  init(directory: Directory, groups: [GroupSpecification], reader: Reader) {
    self.directory = directory
    self.reader = reader
    var members: Set<BackendID> = []
    for group in groups {
      for case .fixed(let id, _) in group.members.lazy.map(\.origin) { members.insert(id) }
    }
    self.members = members
  }

  /// Nil and an error when nobody could ever carry it out.
  mutating func window(_ declaration: Located<MaintenanceDeclaration>, isConfigured: Bool) -> MaintenanceWindow? {
    let item = declaration.value
    let reference: Directory.Reference?
    do {
      reference = try directory.backend(named: item.backend.value, reader: reader)
    } catch {
      reader.error(error, at: item.backend.position)
      return nil
    }
    guard let reference else { return nil }
    let id = item.id?.value ?? item.usualID(for: reference.id)
    if let first = places[id] {
      reader.error(
        item.id == nil
          ? "there is a window of this backend at this time already (\(first))"
          : "the window \(quoted(id)) is already declared (\(first))",
        item.id == nil ? "remove one, or give it an id" : "choose another id", at: item.id?.position ?? declaration.position)
    }
    places[id] = item.id?.position ?? declaration.position
    if !reference.isDeclared, !members.contains(reference.id) {
      reader.warning(
        "nothing leads to the backend \(quoted(reference.id.rawValue)) now", "check its name; the window counts when it appears",
        at: item.backend.position)
    }
    if item.isOver(at: reader.now) {
      reader.warning("the window \(quoted(id)) is over", "remove it", at: item.start.position)
    }
    return item.window(id: id, backend: reference.id, isConfigured: isConfigured)
  }
}
