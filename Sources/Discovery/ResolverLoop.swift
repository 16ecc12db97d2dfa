import CLinux
import Glibc
import Model

/// The resolver thread: carries events to the pure parts and their actions to the system.
///
/// Each turn takes orders, ends what has ended, begins what is due, and sleeps until the next event or the next timer.
final class ResolverLoop {
  /// A lookup of one family of one name, and its open questions by the number of the try.
  struct Running {
    let domain: DomainName
    let family: WatchedDomain.Family
    let name: WireName
    var machine: Lookup
    var questions: [UInt32] = []
  }

  /// A question on its way: which lookup asks, and its number there.
  struct Question {
    let query: AresQuery
    let lookup: UInt64
    let tryNumber: Int
  }

  /// Keeps the descriptors of a DNS outage with a thousand names within reason.
  static let maximumQuestions = 256

  let settings: ResolverSettings
  let files: SystemFiles
  let filter: AddressFilter
  let policy: RefreshPolicy
  let mailbox: ResolverMailbox
  let poller: Poller
  let onUpdate: @Sendable (DiscoveryUpdate) -> Void
  let onNotice: @Sendable (DiscoveryNotice) -> Void

  var domains: [DomainName: WatchedDomain] = [:]
  var running: [UInt64: Running] = [:]
  var questions: [UInt32: Question] = [:]
  var completions: [(question: UInt32, completion: AresQuery.Completion)] = []
  var scores = ServerScores([])
  var hosts = HostsFile.empty
  var budget: QueryBudget
  var notices = NoticeLimiter()
  var random: SeededGenerator
  var lastLoaded: Instant?
  var localAddresses: (read: Instant, addresses: Set<IPAddress>)?
  private var lastLookup: UInt64 = 0
  private var lastQuestion: UInt32 = 0

  init(
    settings: ResolverSettings, ownListeners: [SocketAddress], seed: UInt64, files: SystemFiles.Paths, mailbox: ResolverMailbox,
    onUpdate: @escaping @Sendable (DiscoveryUpdate) -> Void, onNotice: @escaping @Sendable (DiscoveryNotice) -> Void
  ) throws(DiscoveryError) {
    self.settings = settings
    self.files = SystemFiles(files)
    filter = AddressFilter(allowed: settings.allowedRanges, ownListeners: ownListeners)
    policy = RefreshPolicy(settings)
    self.mailbox = mailbox
    poller = try Poller()
    self.onUpdate = onUpdate
    self.onNotice = onNotice
    budget = QueryBudget(now: Self.now())
    random = SeededGenerator(seed: seed)
  }

  static func now() -> Instant { Instant(nanoseconds: leba_monotonic_ns()) }

  func run() {
    poller.add(mailbox.descriptor, .wakeUp)
    if let descriptor = files.descriptor {
      poller.add(descriptor, .fileWatch)
    } else {
      notify(
        .warning, .filesNotWatched, nil, "changes of resolv.conf and the hosts file are seen only when lookups fail: no inotify")
    }
    loadFiles()
    while true {
      let orders = mailbox.take()
      if orders.mustStop { break }
      obey(orders)
      takeCompletions()
      endOverdueTries()
      tellNewsAhead()
      let next = beginDueLookups()
      let timers = running.values.compactMap(\.machine.nextTick) + domains.values.compactMap(\.newsDue) + [next].compactMap { $0 }
      // A completion may have come from within a call above; then there is nothing to wait for.
      let timeout = completions.isEmpty ? timers.min().map { $0 - Self.now() } : .zero
      for event in poller.wait(timeout) { handle(event) }
    }
    for question in questions.values { question.query.end() }
    questions = [:]
  }

  private func handle(_ event: Poller.Event) {
    switch event.token {
    case .wakeUp: break
    case .fileWatch:
      files.takeEvents()
      loadFiles()
    default: questions[event.token.owner]?.query.process(event)
    }
  }

  private func obey(_ orders: ResolverMailbox.Orders) {
    let now = Self.now()
    if let wanted = orders.domains {
      for domain in domains.keys where wanted[domain] == nil { forget(domain) }
      for (domain, specification) in wanted {
        domains[domain, default: WatchedDomain(specification, now: now)].update(specification, now: now)
        publish(domain)
      }
    }
    for domain in orders.refreshed {
      domains[domain]?.requestRefresh(now: now)
      publish(domain)
    }
  }

  private func forget(_ domain: DomainName) {
    domains[domain] = nil
    mailbox.withdraw(domain)
    for (id, lookup) in running where lookup.domain == domain { endQuestions(of: running.removeValue(forKey: id)) }
  }

  func publish(_ domain: DomainName) {
    if let status = domains[domain]?.status { mailbox.publish(status) }
  }
}

// MARK: Questions

extension ResolverLoop {
  /// Begins the lookup of one family in DNS.
  func look(up domain: DomainName, _ family: WatchedDomain.Family, _ name: WireName, servers: [SocketAddress], now: Instant) {
    guard let specification = domains[domain]?.specification else { return }
    lastLookup += 1
    let deadline = now + max(specification.lookupTimeout, .milliseconds(10))
    running[lastLookup] = Running(
      domain: domain, family: family, name: name,
      machine: Lookup(servers: servers, plan: Lookup.Plan(settings), deadline: deadline))
    if let action = running[lastLookup]?.machine.start(now: now) { perform(action, lastLookup, now: now) }
  }

  private func endOverdueTries() {
    let now = Self.now()
    for id in running.filter({ $0.value.machine.nextTick.map { $0 <= now } ?? false }).keys {
      guard let action = running[id]?.machine.tick(now: now, scores: &scores) else { continue }
      perform(action, id, now: now)
    }
  }

  private func takeCompletions() {
    let now = Self.now()
    while !completions.isEmpty {
      let batch = completions
      completions = []
      for (id, completion) in batch {
        // Nobody waits for it any more, or it was answered twice.
        guard let question = questions.removeValue(forKey: id), let lookup = running[question.lookup] else { continue }
        question.query.end()
        let reply = Lookup.Reply(completion, lookup.name, lookup.family.recordType)
        guard
          let action = running[question.lookup]?.machine.received(
            reply, tryNumber: question.tryNumber, now: now, scores: &scores)
        else { continue }
        perform(action, question.lookup, now: now)
      }
    }
  }

  private func perform(_ action: Lookup.Action, _ id: UInt64, now: Instant) {
    switch action {
    case .wait: break
    case .ask(let server, let tryNumber): ask(server, id, tryNumber, now: now)
    case .finish(let result):
      guard let lookup = running.removeValue(forKey: id) else { return }
      endQuestions(of: lookup)
      finished(lookup, result, now: now)
    }
  }

  private func ask(_ server: SocketAddress, _ id: UInt64, _ tryNumber: Int, now: Instant) {
    guard let lookup = running[id], let domain = domains[lookup.domain] else { return }
    budget.spend(1, now: now)
    // Zero is the owner of the loop's own descriptors; a number comes again after years.
    lastQuestion = lastQuestion == .max ? 1 : lastQuestion + 1
    let question = lastQuestion
    let query = AresQuery(
      id: question, server: server, timeout: domain.specification.lookupTimeout + .seconds(1), poller: poller
    ) { [unowned self] in completions.append(($0, $1)) }
    questions[question] = Question(query: query, lookup: id, tryNumber: tryNumber)
    running[id]?.questions.append(question)
    query.ask(lookup.domain, lookup.family.recordType)
  }

  private func endQuestions(of lookup: Running?) {
    for id in lookup?.questions ?? [] { questions.removeValue(forKey: id)?.query.end() }
  }
}

extension Lookup.Reply {
  init(_ completion: AresQuery.Completion, _ name: WireName, _ type: RecordType) {
    switch completion {
    case .response(let bytes):
      do {
        self = .answer(try DNSAnswer(parsing: bytes, name: name, type: type))
      } catch {
        self = .error(error)
      }
    case .unreadable: self = .error(.unreadable)
    case .timedOut: self = .timedOut
    case .failed: self = .unreachable
    }
  }
}
