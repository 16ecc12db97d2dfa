import Model

/// What one reading of a file needs everywhere: the environment, and the list of what was found.
///
/// A reader records a problem and goes on, so that one run reports everything. Confined to the call that made it.
final class Reader {
  /// Enough to work with; a machine-made file of nonsense must not become a gigabyte of messages.
  static let limit = 200

  let file: String
  let environment: [String: String]
  /// What the clock on the wall says: some of what a file asks for may be over.
  let now: WallTime
  private(set) var hasErrors = false
  private var found: Set<Diagnostic> = []
  private var dropped = 0

  init(file: String, environment: [String: String], now: WallTime = .current) {
    self.file = file
    self.environment = environment
    self.now = now
  }

  /// Whether searching for a helpful hint is still worth the time.
  var hasRoom: Bool { found.count < Self.limit }

  func error(_ problem: String, _ remedy: String, at position: Position) {
    hasErrors = true
    record(.error, problem, remedy, at: position)
  }

  /// What is wrong, for people who gave no file.
  var reasons: [String] { diagnostics.map { "\($0.problem); \($0.remedy)" } }

  func error(_ complaint: Complaint, at position: Position) {
    error(complaint.problem, complaint.remedy, at: position)
  }

  func warning(_ problem: String, _ remedy: String, at position: Position) {
    record(.warning, problem, remedy, at: position)
  }

  private func record(_ severity: Diagnostic.Severity, _ problem: String, _ remedy: String, at position: Position) {
    // A set, because an alias or a merged mapping is read once for each of its uses.
    guard hasRoom else {
      dropped += 1
      return
    }
    found.insert(Diagnostic(severity: severity, file: file, position: position, problem: problem, remedy: remedy))
  }

  /// In the order of the file; where several share a place, in the order of their text.
  var diagnostics: [Diagnostic] {
    var all = found.sorted { a, b in
      a.position == b.position ? a.description < b.description : a.position < b.position
    }
    if dropped > 0, let last = all.last {
      all.append(
        Diagnostic(
          severity: hasErrors ? .error : .warning, file: file, position: last.position,
          problem: "\(dropped) more problems were found", remedy: "mend these first"))
    }
    return all
  }
}
