import Model

/// An item of `maintenance`.
struct MaintenanceDeclaration: Sendable {
  var id: Located<String>?
  var backend: Located<String>
  var start: Located<WallTime>
  var duration: Duration
  var repetition: MaintenanceWindow.Repetition?
  var preDrain: Duration
}

extension Format<MaintenanceDeclaration> {
  static var maintenance: Self {
    .mapping(.other) { map in
      let id = map.value("id", .wellFormedName)
      let backend = map.required("backend", .string, example: "db1")
      let start = map.required("start", .wallTime, example: "\"2026-12-01T02:00:00Z\"")
      let duration = map.required("duration", .duration(.seconds(1) ... .days(365)), example: "1h")
      let repetition: Located<MaintenanceWindow.Repetition>? = map.value("repeat", .choice("a repetition"))
      let preDrain = map.value("pre_drain", .duration(.zero ... .days(1)))
      guard let backend, let start, let duration else { return nil }
      if let repetition {
        let length = duration.value + (preDrain?.value ?? .zero)
        if length >= repetition.value.period {
          map.reader.error(
            "a window of \(length.text), pre_drain included, would meet its own repetition (\(repetition.value.rawValue))",
            "make it shorter, or remove repeat", at: repetition.position)
        }
      }
      return MaintenanceDeclaration(
        id: id, backend: backend, start: start, duration: duration.value, repetition: repetition?.value,
        preDrain: preDrain?.value ?? .zero)
    }
  }
}

extension MaintenanceDeclaration {
  func isOver(at now: WallTime) -> Bool { repetition == nil && start.value + duration <= now }

  func window(id: String, backend: BackendID, isConfigured: Bool) -> MaintenanceWindow {
    MaintenanceWindow(
      id: id, backend: backend, start: start.value, duration: duration, repetition: repetition, preDrain: preDrain,
      isConfigured: isConfigured)
  }

  /// What a window without an id is called.
  func usualID(for backend: BackendID) -> String {
    let name = backend.rawValue.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "-" }
    return "\(String(name.prefix(200)))-\(start.value.compactText)"
  }
}
