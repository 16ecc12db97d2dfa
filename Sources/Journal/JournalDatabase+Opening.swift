import Model

extension JournalDatabase {
  /// Opens the database of a directory. One that cannot be used is set aside, and a new one made; `report` is told.
  ///
  /// - Parameter damage: what was found wrong with the file in use, which is then set aside whatever the checks say.
  static func open(
    in directory: JournalDirectory, damage: String?, limits: Journal.Limits, now: Double, report: (JournalNotice) -> Void
  ) throws(JournalFailure) -> JournalDatabase {
    try directory.make()
    let lock = try directory.lock()
    if let damage { report(try setAside(directory, damage: damage, now: now)) }
    do throws(FileProblem) {
      return try openOnce(lock, directory, limits, now)
    } catch {
      switch error {
      case .failed(let failure): throw failure
      case .damaged(let what): report(try setAside(directory, damage: what, now: now))
      case .newer(let version):
        let target = try directory.setAside(as: "newer", now: now)
        report(
          JournalNotice(
            .warning, .setAside,
            "\(directory.database) has version \(version), of a later leba; this one knows \(Schema.migrations.count). "
              + "It was renamed to \(target), and a new one was started: what earlier runs knew is not used. "
              + "Run the later leba, or remove the renamed file"))
      }
    }
    do throws(FileProblem) {
      return try openOnce(lock, directory, limits, now)
    } catch {
      switch error {
      case .failed(let failure): throw failure
      case .damaged(let what): throw newFileIsBad(directory, what)
      case .newer(let version): throw newFileIsBad(directory, "version \(version)")
      }
    }
  }

  private static func openOnce(
    _ lock: DirectoryLock, _ directory: JournalDirectory, _ limits: Journal.Limits, _ now: Double
  ) throws(FileProblem) -> JournalDatabase {
    do throws(JournalFailure) {
      try directory.prepareDatabaseFile()
    } catch {
      throw .failed(error)
    }
    do throws(FileProblem) {
      let database = try JournalDatabase(lock: lock, path: directory.database, maximumPages: limits.pages)
      do throws(JournalFailure) {
        try database.trim(limits, now: now)
      } catch {
        database.close()
        throw FileProblem.failed(error)
      }
      return database
    } catch {
      guard case .failed(let failure) = error else { throw error }
      // A damaged header can claim that the file is not for writing.
      let isLie = failure.kind == .readOnly && directory.isWritable
      throw failure.damage != .none || isLie ? .damaged(failure.reason) : error
    }
  }

  private static func setAside(_ directory: JournalDirectory, damage: String, now: Double) throws(JournalFailure) -> JournalNotice {
    let target = try directory.setAside(as: "damaged", now: now)
    return JournalNotice(
      .error, .setAside,
      "\(directory.database) is damaged: \(damage). It was renamed to \(target), and a new one was started: what earlier runs "
        + "knew is lost, what was made through the API and the audit history among it. See whether the disk is sound, and make "
        + "again what was made through the API")
  }

  private static func newFileIsBad(_ directory: JournalDirectory, _ what: String) -> JournalFailure {
    JournalFailure(.inputOutput, "\(directory.database), just made, is damaged: \(what)", remedy: "see whether the disk is sound")
  }
}
