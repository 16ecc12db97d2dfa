package import Model

/// Something a person may want to read in the log. Already limited in rate: a full disk does not flood.
package struct JournalNotice: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable {
    case cannotOpen = "cannot_open"
    case inUse = "in_use"
    case diskFull = "disk_full"
    case readOnly = "read_only"
    case busy
    case inputOutput = "input_output"
    case setAside = "set_aside"
    case rowsSkipped = "rows_skipped"
    case tooMany = "too_many"
    case recovered
  }

  package let severity: NoticeSeverity
  package let kind: Kind
  package let text: String

  init(_ severity: NoticeSeverity, _ kind: Kind, _ text: String) {
    self.severity = severity
    self.kind = kind
    self.text = text
  }
}

/// Lets one notice of a kind pass per minute. The next one that passes tells how many were left out. Pure.
struct JournalNoticeLimiter: Sendable {
  static let interval = 60.0

  private struct Window: Sendable {
    var began: Double
    var suppressed = 0
  }

  /// Bounded by the number of kinds.
  private var windows: [JournalNotice.Kind: Window] = [:]

  /// - Parameter now: seconds of the wall clock, which may go back: that, too, ends the minute.
  mutating func pass(_ notice: JournalNotice, now: Double) -> JournalNotice? {
    guard let window = windows[notice.kind] else {
      windows[notice.kind] = Window(began: now)
      return notice
    }
    guard abs(now - window.began) >= Self.interval else {
      windows[notice.kind]?.suppressed += 1
      return nil
    }
    windows[notice.kind] = Window(began: now)
    guard window.suppressed > 0 else { return notice }
    return JournalNotice(notice.severity, notice.kind, notice.text + " (\(window.suppressed) more of these were not logged)")
  }
}
