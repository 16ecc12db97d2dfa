import GRDB

/// Why the journal cannot be used at the moment. A damaged file is no failure: it is set aside.
struct JournalFailure: Error, Sendable {
  /// Whether the contents of the file are at fault.
  enum Damage: Sendable {
    case none
    /// While the file is opened, what SQLite has to say beyond the troubles of disks and locks is about its contents. Later it may
    /// as well be about what we wrote.
    case suspected
    /// To be set aside before it is used again.
    case certain
  }

  let kind: JournalNotice.Kind
  /// What and where: shown in the status.
  let reason: String
  /// What a person can do.
  let remedy: String
  var damage = Damage.none

  init(_ kind: JournalNotice.Kind, _ reason: String, remedy: String) {
    self.kind = kind
    self.reason = reason
    self.remedy = remedy
  }

  init(_ error: any Error, path: String) {
    guard let error = error as? DatabaseError else {
      self.init(.inputOutput, "\(path): \(error)", remedy: "see whether the disk and the file are sound")
      return
    }
    let what = "\(path): \(error.message ?? "no message") (SQLite error \(error.extendedResultCode.rawValue))"
    switch error.resultCode {
    case .SQLITE_FULL: self.init(.diskFull, what, remedy: "free space on the disk")
    case .SQLITE_READONLY: self.init(.readOnly, what, remedy: "let the user that runs leba write the file and its directory")
    case .SQLITE_BUSY, .SQLITE_LOCKED: self.init(.busy, what, remedy: "end the program that keeps the file locked")
    case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
      self.init(.cannotOpen, what, remedy: "let the user that runs leba write the file and its directory")
    default: self.init(.inputOutput, what, remedy: "see whether the disk and the file are sound")
    }
    damage = Self.damage(error)
  }

  private static func damage(_ error: DatabaseError) -> Damage {
    // The file ends where a page should be: shortened, not unreadable.
    if error.extendedResultCode == .SQLITE_IOERR_SHORT_READ { return .certain }
    return switch error.resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: .certain
    case .SQLITE_FULL, .SQLITE_READONLY, .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH, .SQLITE_IOERR,
      .SQLITE_NOMEM, .SQLITE_INTERRUPT, .SQLITE_NOLFS:
      .none
    default: .suspected
    }
  }
}
