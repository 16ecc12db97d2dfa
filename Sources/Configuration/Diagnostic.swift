/// One thing to know about a configuration file, in the form every compiler has made familiar:
/// `FILE:LINE:COLUMN: error: what is wrong; what to do`.
package struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
  package enum Severity: String, Hashable, Sendable {
    case error, warning
  }

  package let severity: Severity
  package let file: String
  package let position: Position
  /// What is wrong.
  package let problem: String
  /// What to do.
  package let remedy: String

  package var description: String { "\(file):\(position): \(severity.rawValue): \(problem); \(remedy)" }
}

/// A place in a file. Both numbers start at 1; columns count Unicode scalars, as libYAML does.
package struct Position: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let line: Int
  package let column: Int

  package init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }

  package static let start = Position(line: 1, column: 1)

  package static func < (a: Position, b: Position) -> Bool { (a.line, a.column) < (b.line, b.column) }
  package var description: String { "\(line):\(column)" }
}

/// Why a file was refused: everything that is wrong with it, and its warnings, in the order of the file.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
  package let diagnostics: [Diagnostic]

  package var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// What a parser of one value throws: a diagnostic that does not know its place yet.
struct Complaint: Error, Equatable {
  let problem: String
  let remedy: String

  init(_ problem: String, _ remedy: String) {
    self.problem = problem
    self.remedy = remedy
  }
}

/// Text from the file or a system call as a message may show it: in quotes, short, and with nothing a terminal obeys.
func quoted(_ text: some StringProtocol) -> String {
  let limit = 60
  var shown = "'"
  for scalar in text.unicodeScalars.prefix(limit) {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
      shown += scalar.escaped(asASCII: true)
    default:
      shown.unicodeScalars.append(scalar)
    }
  }
  return shown + (text.unicodeScalars.dropFirst(limit).isEmpty ? "'" : "…'")
}
