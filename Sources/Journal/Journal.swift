import Dispatch
package import Model
import Synchronization

/// What outlives the process: the last good DNS answers, what was made and chosen through the API, what became of the groups, and the
/// audit history, in SQLite.
///
/// It serves, and is never in the way. Facts are taken in memory and written by a queue of the journal's own; what the disk does
/// not take is kept, merged by name, until it does. Nothing here fails: what cannot be is told through `onNotice` and `state`, and
/// the sidecar runs without memory of earlier runs.
///
/// `onNotice` and `whenTried` are called on the journal's queue, or on the thread that calls `init`, `rememberedAnswers` or `close`.
package final class Journal: Sendable {
  package enum State: Hashable, Sendable {
    case open(path: String)
    case unavailable(reason: String)
  }

  /// Sizes and times; other ones than these are for tests.
  struct Limits: Sendable {
    /// Of a changed answer on its way to the disk.
    var writeDelay = Duration.milliseconds(100)
    /// Between two writes that only say that answers still hold.
    var refreshInterval = Duration.seconds(30)
    /// From a failure to the first new try; doubles up to `longestRetryInterval`.
    var retryInterval = Duration.seconds(1)
    /// To open a file reads all of it, so one that stays unusable is not tried every second.
    var longestRetryInterval = Duration.seconds(30)
    /// Names with an answer.
    var rows = 100_000
    /// Seconds that an answer is kept without a name server vouching for it.
    var age = 30.0 * 86_400
    /// Of all kinds.
    var facts = 100_000
    /// Of the text of one.
    var factBytes = 1 << 20
    /// Audit records.
    var records: [AuditRecord.Chain: Int] = [.decisions: 100_000, .routine: 50_000]
    /// Seconds that they are kept.
    var recordAge = 400.0 * 86_400
    /// Records in memory while the disk does not take them.
    var pendingRecords = 20_000
    /// Of the whole file; nil: what SQLite allows.
    var pages: Int?
  }

  private enum Storage: Sendable {
    /// Not to be had now; tried again later.
    ///
    /// - Parameter damage: what was found wrong with the file while it was in use.
    case unavailable(damage: String?)
    case open(JournalDatabase)
    /// The file is another process's for the time being: nothing is tried, what is learned is kept in memory.
    case suspended
    case closed
  }

  private enum WakeUp: Hashable, Sendable {
    case atOnce, soon, lazily, retry

    init(_ urgency: PendingFacts.Urgency) {
      switch urgency {
      case .atOnce: self = .atOnce
      case .soon: self = .soon
      case .lazily: self = .lazily
      }
    }
  }

  /// What callers and the queue share; held for moments only.
  private struct Inbox: Sendable {
    var facts: PendingFacts
    var waiting: [@Sendable (Bool) -> Void] = []
    /// One of a kind at a time, however many facts come.
    var wakeUps: Set<WakeUp> = []
    var state = State.unavailable(reason: "it was not opened yet")
    var hasFailed = false
    /// From the last try to the next one; nil while the journal works.
    var retryInterval: Duration?
    var limiter = JournalNoticeLimiter()

    mutating func nextRetry(_ limits: Limits) -> Duration {
      let interval = min(retryInterval.map { $0 * 2 } ?? limits.retryInterval, limits.longestRetryInterval)
      retryInterval = interval
      return interval
    }

    mutating func takeWaiting() -> [@Sendable (Bool) -> Void] {
      defer { waiting = [] }
      return waiting
    }
  }

  /// Told when no lock is held any more, so that a callback may call the journal.
  private struct Report: Sendable {
    var notices: [JournalNotice] = []
    var waiting: [@Sendable (Bool) -> Void] = []
    var isWritten = false
  }

  private let directory: JournalDirectory
  private let limits: Limits
  private let now: @Sendable () -> Double
  private let onNotice: @Sendable (JournalNotice) -> Void
  private let queue = DispatchQueue(label: "leba.journal", qos: .utility)
  private let inbox: Mutex<Inbox>
  /// Held while the disk works. Taken before `inbox` where both are.
  private let storage = Mutex(Storage.unavailable(damage: nil))

  /// Opens or makes `leba.sqlite` in `directory`, which is made if it is missing, and tries again later where that fails.
  ///
  /// - Parameters:
  ///   - suspended: whether another process has the file, which lets go of it before `resume`.
  ///   - now: seconds since 1970.
  package convenience init(
    directory: String, suspended: Bool = false, now: @escaping @Sendable () -> Double,
    onNotice: @escaping @Sendable (JournalNotice) -> Void
  ) {
    self.init(directory: directory, limits: Limits(), suspended: suspended, now: now, onNotice: onNotice)
  }

  init(
    directory: String, limits: Limits, suspended: Bool = false, now: @escaping @Sendable () -> Double,
    onNotice: @escaping @Sendable (JournalNotice) -> Void
  ) {
    self.directory = JournalDirectory(path: directory)
    self.limits = limits
    // A time that is none would be refused by the database, and everything with it.
    self.now = {
      let now = now()
      return now.isFinite ? now : 0
    }
    self.onNotice = onNotice
    inbox = Mutex(Inbox(facts: PendingFacts(limits: limits)))
    onStorage { storage, report in
      if suspended { storage = .suspended } else { write(&storage, refreshes: false, report: &report) }
    }
  }

  deinit { close() }

  package var state: State { inbox.withLock { $0.state } }

  // MARK: Facts

  /// The last good answers of earlier runs, and of this one as far as they are written. Reads the disk: for the start.
  package func rememberedAnswers() -> [DomainName: RememberedAnswer] {
    var answers: [DomainName: RememberedAnswer] = [:]
    onStorage { storage, report in
      guard case .open(let database) = storage else { return }
      do throws(JournalFailure) {
        let read = try database.answers(now: now())
        answers = read.answers
        guard read.skipped > 0 else { return }
        report.notices.append(
          JournalNotice(
            .warning, .rowsSkipped,
            "\(read.skipped) remembered answers in \(database.path) are not readable and are not used; the names are looked up anyway"
          ))
      } catch {
        fail(&storage, error, report: &report)
      }
    }
    return answers
  }

  /// A name server vouches for this answer, now. Returns at once.
  ///
  /// A changed answer is on the disk within some 200 ms. That an unchanged one still holds is written every half minute.
  package func note(_ domain: DomainName, endpoints: [DiscoveredEndpoint], attributes: TextAttributes?) {
    take { $0.note(domain, endpoints: endpoints, attributes: attributes, at: $1) }
  }

  /// The authority says that the name leads nowhere: there is no good answer any more. Returns at once.
  package func forget(_ domain: DomainName) {
    take { $0.forget(domain, at: $1) }
  }

  /// All of one kind, by name. Takes no look at the disk.
  package func facts(of kind: FactKind) -> [(name: String, json: String)] {
    inbox.withLock { $0.facts.kept }.filter { $0.key.kind == kind }.map { (name: $0.key.name, json: $0.value) }
      .sorted { $0.name < $1.name }
  }

  /// Keeps a fact under its name. Returns at once.
  ///
  /// - Parameter whenTried: called once. True: it is on the disk and survives the loss of power. False: it is not; unless there was no
  ///   room for it (a notice tells), it is kept in memory, and written as soon as the disk takes it.
  package func store(_ key: FactKey, json: String, whenTried: (@Sendable (Bool) -> Void)? = nil) {
    take(waiting: whenTried) { facts, _ in facts.store(key, json: json) }
  }

  /// The other way round; `whenTried` as above.
  package func remove(_ key: FactKey, whenTried: (@Sendable (Bool) -> Void)? = nil) {
    take(waiting: whenTried) { facts, _ in facts.remove(key) }
  }

  // MARK: Audit

  /// Returns at once; a decision is on the disk within milliseconds where that works.
  ///
  /// - Returns: the record with its number.
  @discardableResult
  package func append(_ record: AuditRecord) -> AuditRecord {
    inbox.withLock { inbox in
      let numbered = inbox.facts.append(record)
      wake(record.chain == .decisions ? .atOnce : .soon, &inbox)
      return numbered
    }
  }

  /// The number of the newest record, of earlier runs too; 0 when there is none.
  package var lastRecord: Int64 { inbox.withLock { $0.facts.audit.lastID } }

  /// Those that the disk does not have yet are among them. Reads the disk, away from the caller's thread.
  package func records(_ query: AuditQuery) async -> [AuditRecord] {
    await onQueue { storage, report in
      // Looked at together: while the storage is held, nothing leaves memory for the disk.
      let waiting = self.inbox.withLock { $0.facts.audit.matching(query) }
      var stored: [AuditRecord] = []
      if case .open(let database) = storage {
        do throws(JournalFailure) {
          stored = try database.records(query)
        } catch {
          self.fail(&storage, error, report: &report)
        }
      }
      // What waits is newer than all that is stored.
      return Array((query.oldestFirst ? stored + waiting : waiting + stored).prefix(query.limit))
    }
  }

  /// Whether the history on the disk is whole.
  package func verifyAudit() async -> AuditVerdict {
    await onQueue { storage, report in
      guard case .open(let database) = storage else { return .unavailable(reason: "the journal is not open") }
      do throws(JournalFailure) {
        return try database.verifyAudit()
      } catch {
        self.fail(&storage, error, report: &report)
        return .unavailable(reason: error.reason)
      }
    }
  }

  private func onQueue<Answer: Sendable>(_ body: @escaping @Sendable (inout Storage, inout Report) -> Answer) async -> Answer {
    await withCheckedContinuation { continuation in
      queue.async { [self] in
        var answer: Answer?
        onStorage { answer = body(&$0, &$1) }
        if let answer { continuation.resume(returning: answer) }
      }
    }
  }

  /// Writes what is pending and lets go of the file, so that another process can have it; waits for the disk. What is told from now on
  /// stays in memory, and goes to the disk with `resume`, or nowhere if that does not come.
  package func suspend() {
    onStorage { storage, report in
      if case .closed = storage { return }
      write(&storage, refreshes: true, report: &report)
      if case .open(let database) = storage { database.close() }
      storage = .suspended
      inbox.withLock { $0.state = .unavailable(reason: "another process has it") }
    }
  }

  /// Opens the file, again or for the first time, and writes what was told meanwhile. Does nothing but after `suspend`.
  package func resume() {
    onStorage { storage, report in
      guard case .suspended = storage else { return }
      storage = .unavailable(damage: nil)
      write(&storage, refreshes: true, report: &report)
    }
  }

  /// Writes what is pending and closes; waits for the disk. A second call does nothing, and what is told later is not kept.
  package func close() {
    onStorage { storage, report in
      if case .closed = storage { return }
      // A disk that did not work gets a last chance. Not so a file that another process has.
      if case .suspended = storage {} else { write(&storage, refreshes: true, report: &report) }
      if case .open(let database) = storage { database.close() }
      storage = .closed
      inbox.withLock { $0.state = .unavailable(reason: "it was closed") }
    }
  }

  // MARK: When to write

  private func take(
    waiting: (@Sendable (Bool) -> Void)? = nil, _ change: (inout PendingFacts, Double) -> PendingFacts.Urgency?
  ) {
    let now = now()
    let isTaken = inbox.withLock { inbox in
      let urgency = change(&inbox.facts, now)
      if let urgency { wake(WakeUp(urgency), &inbox) }
      if inbox.facts.hasRefused { wake(.soon, &inbox) }
      if let waiting, urgency != nil { inbox.waiting.append(waiting) }
      return urgency != nil
    }
    if !isTaken { waiting?(false) }
  }

  private func wake(_ wakeUp: WakeUp, _ inbox: inout Inbox) {
    guard inbox.wakeUps.insert(wakeUp).inserted else { return }
    let delay: Duration =
      switch wakeUp {
      case .atOnce: .zero
      case .soon: limits.writeDelay
      case .lazily: limits.refreshInterval
      case .retry: inbox.nextRetry(limits)
      }
    queue.asyncAfter(deadline: .now() + .nanoseconds(Int(delay.nanoseconds))) { [weak self] in self?.awake(wakeUp) }
  }

  private func awake(_ wakeUp: WakeUp) {
    inbox.withLock { _ = $0.wakeUps.remove(wakeUp) }
    onStorage { storage, report in
      switch storage {
      case .open: write(&storage, refreshes: wakeUp == .lazily, report: &report)
      case .unavailable where wakeUp == .retry: write(&storage, refreshes: true, report: &report)
      case .unavailable, .suspended, .closed: report.waiting = inbox.withLock { $0.takeWaiting() }
      }
    }
  }

  // MARK: With the storage held

  private func onStorage(_ body: (inout Storage, inout Report) -> Void) {
    var report = Report()
    storage.withLock { storage in
      body(&storage, &report)
      if case .unavailable = storage { inbox.withLock { wake(.retry, &$0) } }
    }
    let now = now()
    let notices = inbox.withLock { inbox in report.notices.compactMap { inbox.limiter.pass($0, now: now) } }
    for notice in notices { onNotice(notice) }
    for answer in report.waiting { answer(report.isWritten) }
  }

  /// Opens the file if it is not open, and writes what is pending.
  private func write(_ storage: inout Storage, refreshes: Bool, report: inout Report) {
    do throws(JournalFailure) {
      let database = try open(&storage, report: &report)
      let batch = inbox.withLock { inbox in
        report.waiting = inbox.takeWaiting()
        if let refused = inbox.facts.takeRefused() { report.notices.append(tooMany(refused)) }
        return inbox.facts.take(refreshes: refreshes)
      }
      do throws(JournalFailure) {
        try database.write(batch)
        inbox.withLock { $0.facts.arrived() }
      } catch {
        inbox.withLock { $0.facts.putBack(batch) }
        throw error
      }
      report.isWritten = true
      if refreshes { try database.trim(limits, now: now()) }
      succeed(database, report: &report)
    } catch {
      fail(&storage, error, report: &report)
    }
  }

  private func open(_ storage: inout Storage, report: inout Report) throws(JournalFailure) -> JournalDatabase {
    var damage: String?
    switch storage {
    case .open(let database): return database
    case .unavailable(let found): damage = found
    case .suspended, .closed: break
    }
    let database = try JournalDatabase.open(in: directory, damage: damage, limits: limits, now: now()) { report.notices.append($0) }
    do throws(JournalFailure) {
      let facts = try database.facts()
      let lastRecord = try database.lastAuditID()
      inbox.withLock { $0.facts.opened(facts: facts, lastRecord: lastRecord, isNew: database.isNew) }
    } catch {
      database.close()
      throw error
    }
    storage = .open(database)
    return database
  }

  private func succeed(_ database: JournalDatabase, report: inout Report) {
    let hadFailed = inbox.withLock { inbox in
      defer { inbox.hasFailed = false }
      inbox.retryInterval = nil
      inbox.state = .open(path: database.path)
      return inbox.hasFailed
    }
    if hadFailed { report.notices.append(JournalNotice(.info, .recovered, "the journal \(database.path) works again")) }
  }

  private func fail(_ storage: inout Storage, _ failure: JournalFailure, report: inout Report) {
    if case .open(let database) = storage { database.close() }
    storage = .unavailable(damage: failure.damage == .certain ? failure.reason : nil)
    inbox.withLock { inbox in
      inbox.hasFailed = true
      inbox.state = .unavailable(reason: failure.reason)
    }
    report.notices.append(
      JournalNotice(
        failure.kind == .inUse ? .warning : .error, failure.kind,
        "the journal does not work: \(failure.reason); \(failure.remedy). Traffic is not affected; what is learned is kept in "
          + "memory, is lost if leba ends, and is written when this works again, which is tried at least every \(limits.longestRetryInterval.text)"
      )
    )
  }

  private func tooMany(_ count: Int) -> JournalNotice {
    JournalNotice(
      .warning, .tooMany,
      "\(count) facts are not kept in the journal: it takes \(limits.rows) names, \(limits.facts) things made "
        + "through the API or known of groups, of \(limits.factBytes) bytes each, and \(limits.pendingRecords) audit records that "
        + "wait for the disk")
  }
}
