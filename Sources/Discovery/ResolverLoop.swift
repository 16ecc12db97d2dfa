import CLinux
import Glibc
import Model
import Threads

/// The resolver thread: carries events to the pure parts and their actions to the system.
///
/// Each turn takes orders, ends what has ended, begins what is due, and sleeps until the next event or the next timer. What a turn
/// costs goes by what happens in it and not by the number of names.
final class ResolverLoop {
  /// A lookup on its way, its open questions, and the names that wait for it.
  struct Running {
    let key: LookupKey
    var machine: Lookup
    var questions: [UInt32] = []
    var askers: [UInt32]
  }

  /// A question on its way: which lookup asks, and its number there.
  struct Question {
    let channel: AresChannel
    let lookup: UInt32
    let tryNumber: Int
  }

  /// Keeps the descriptors of a DNS outage with a thousand names within reason.
  static let maximumQuestions = 128
  /// From so many names on the first refreshes are spread in time.
  private static let many = 200

  let settings: ResolverSettings
  let files: SystemFiles
  var filter: AddressFilter
  let policy: RefreshPolicy
  let mailbox: ResolverMailbox
  let poller: Poller
  let onUpdate: @Sendable (DiscoveryUpdate) -> Void
  let onNotice: @Sendable (DiscoveryNotice) -> Void

  /// By number; nil for numbers that are not in use.
  private var domains: [WatchedDomain?] = []
  private var numbers: [DomainName: UInt32] = [:]
  private var domainNumbers = NumberPool()
  /// When names are to be looked up, and when their rounds want attention; each name is in one of the two.
  private var due = DeadlineHeap()
  private var alarms = DeadlineHeap()

  /// By number; `inFlight` finds the one for a question.
  private var lookups: [UInt32: Running] = [:]
  private var inFlight: [LookupKey: UInt32] = [:]
  private var lookupNumbers = NumberPool()
  private var ticks = DeadlineHeap()

  private var questions: [UInt32: Question] = [:]
  private var idleChannels = IdleChannels()
  private var completions: [(question: UInt32, completion: AresChannel.Completion)] = []
  private var lastQuestion: UInt32 = 0

  var scores = ServerScores([])
  var hosts = HostsFile.empty
  private var budget: QueryBudget
  var notices = NoticeLimiter()
  private var random: SeededGenerator
  var lastLoaded: Instant?
  private var localAddresses: (read: Instant, addresses: Set<IPAddress>)?

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
      for inquiry in orders.inquiries { inquiry.fulfil(domains.compactMap(\.?.status)) }
      if orders.mustStop { break }
      obey(orders)
      takeCompletions()
      tickLookups()
      tickDomains()
      let next = beginDueLookups()
      let timer = [next, alarms.earliest, ticks.earliest].compactMap { $0 }.min()
      // A completion may have come from within a call above; then there is nothing to wait for.
      for event in poller.wait(completions.isEmpty ? timer.map { $0 - Self.now() } : .zero) { handle(event) }
    }
    for question in questions.values { question.channel.close() }
    questions = [:]
    idleChannels.keep([])
    mailbox.end()
  }

  private func handle(_ event: Poller.Event) {
    switch event.token {
    case .wakeUp: break
    case .fileWatch:
      files.takeEvents()
      loadFiles()
    default: questions[event.token.owner]?.channel.process(event)
    }
  }
}

// MARK: Names

extension ResolverLoop {
  private func obey(_ orders: ResolverMailbox.Orders) {
    let now = Self.now()
    if let listeners = orders.ownListeners {
      filter = AddressFilter(allowed: settings.allowedRanges, ownListeners: listeners)
    }
    if let wanted = orders.domains {
      domains.reserveCapacity(wanted.count)
      for domain in numbers.keys where wanted[domain] == nil { forget(domain) }
      for (domain, specification) in wanted {
        if let number = numbers[domain] {
          change(number) { $0.update(specification, now: now) }
        } else {
          let number = domainNumbers.take()
          numbers[domain] = number
          if number == domains.count { domains.append(nil) }
          domains[Int(number)] = WatchedDomain(specification, remembered: orders.remembered[domain], now: now)
          change(number) { _ in }
        }
      }
      budget.resize(names: numbers.count, now: now)
    }
    for domain in orders.refreshed {
      if let number = numbers[domain] { change(number) { $0.requestRefresh(now: now) } }
    }
  }

  private func forget(_ domain: DomainName) {
    guard let number = numbers.removeValue(forKey: domain), let watched = domains[Int(number)] else { return }
    domains[Int(number)] = nil
    for key in watched.pending { leave(key, number) }
    due.remove(number)
    alarms.remove(number)
    domainNumbers.release(number)
  }

  /// Every change of a name goes through here: its timers follow.
  @discardableResult
  private func change<Result>(_ number: UInt32, _ body: (inout WatchedDomain) -> Result) -> Result? {
    // Taken out meanwhile: a copy would share its storage, and every change would copy that too.
    guard var domain = domains[Int(number)].take() else { return nil }
    let result = body(&domain)
    domains[Int(number)] = domain
    if let at = domain.due { due.set(number, at: at) } else { due.remove(number) }
    if let at = domain.nextTick { alarms.set(number, at: at) } else { alarms.remove(number) }
    return result
  }

  func refreshAll() {
    let now = Self.now()
    for number in numbers.values { change(number) { $0.requestRefresh(now: now) } }
  }

  /// Begins the lookups that are due, as far as the budget goes, oldest first. Returns when the next should begin.
  private func beginDueLookups() -> Instant? {
    let now = Self.now()
    while let earliest = due.earliest, earliest <= now {
      let available = budget.available(2, now: now)
      guard available <= now else { return available }
      // An ended question wakes the loop.
      guard questions.count < Self.maximumQuestions else { return nil }
      guard let number = due.popExpired(at: now) else { break }
      begin(number, now: now)
    }
    return due.earliest
  }

  private func begin(_ number: UInt32, now: Instant) {
    guard let domain = domains[Int(number)]?.specification.domain else { return }
    do {
      switch try NameSource(domain, searching: settings.searchDomains) {
      case .literal(let address): answer(number, [address], source: .literal, now: now)
      case .localhost: answer(number, hosts.loopback(domain), source: .hostsFile, now: now)
      case .plain(let names):
        if let addresses = hosts[domain] {
          answer(number, addresses, source: .hostsFile, now: now)
        } else {
          ask(number, names, now: now)
        }
      case .dns(let name): ask(number, [name], now: now)
      }
    } catch {
      notify(.error, .badName, domain, "'\(domain)' cannot be looked up: \(error)")
      fail(number, .other, detail: "\(error)", now: now)
    }
  }

  private func ask(_ number: UInt32, _ names: [WireName], now: Instant) {
    guard !scores.servers.isEmpty else { return fail(number, .noServer, detail: "no name server is known", now: now) }
    let keys = change(number) { $0.begin(names, source: .dns, now: now) } ?? []
    for key in keys { want(key, number, now: now) }
  }

  /// Addresses that needed no name server. They are good until their source changes, which is watched.
  private func answer(_ number: UInt32, _ addresses: [IPAddress], source: DomainStatus.Source, now: Instant) {
    settle(number, source: source, now: now) { key in
      let ours = addresses.filter { $0.recordType == key.type }.map(RecordData.address)
      let answer: DNSAnswer = ours.isEmpty ? .empty(.noSuchRecord, timeToLive: .max) : .records(ours, timeToLive: .max)
      return .answered(answer, server: nil)
    }
  }

  private func fail(_ number: UInt32, _ failure: DNSFailure, detail: String, now: Instant) {
    settle(number, source: .dns, now: now) { _ in .failed(failure, detail: detail, server: nil) }
  }

  /// A lookup whose results are known at once.
  private func settle(_ number: UInt32, source: DomainStatus.Source, now: Instant, _ result: (LookupKey) -> Lookup.Result) {
    let keys = change(number) { $0.begin([WireName($0.specification.domain.rawValue) ?? .root], source: source, now: now) } ?? []
    for key in keys { deliver(result(key), of: key, to: number, now: now) }
  }

  private func tickDomains() {
    let now = Self.now()
    while let number = alarms.popExpired(at: now) {
      let waiting = domains[Int(number)]?.pending ?? []
      let context = context(now: now)
      guard let (news, completion) = change(number, { $0.tick(context, now: now) }) else { continue }
      if let news { tell(news) }
      guard let completion else { continue }
      for key in waiting { leave(key, number) }
      complete(number, completion)
    }
  }

  private func deliver(_ result: Lookup.Result, of key: LookupKey, to number: UInt32, now: Instant) {
    let context = context(now: now)
    switch change(number, { $0.finished(key, result, context, now: now) }) {
    case .wait, nil: break
    case .ask(let keys): for key in keys { want(key, number, now: now) }
    case .completed(let completion): complete(number, completion)
    }
  }

  private func complete(_ number: UInt32, _ completion: WatchedDomain.Completion) {
    guard let knowsEndpoints = domains[Int(number)]?.knowsEndpoints else { return }
    mailbox.publish(scores.statuses)
    report(completion, knowsEndpoints: knowsEndpoints)
    tell(completion.update)
    switch completion.label {
    // The file may have changed without word, in a container that mounts it.
    case .failed(.timedOut), .failed(.noServer): loadFiles(ifOlderThan: .seconds(1))
    case .answer, .empty, .failed: break
    }
  }

  private func tell(_ update: DiscoveryUpdate) {
    if let age = update.age { report(memoryOf: update.domain, age: age) }
    onUpdate(update)
  }

  private func context(now: Instant) -> WatchedDomain.Context {
    WatchedDomain.Context(policy: policy, random: random.next(), isOneOfMany: numbers.count > Self.many) {
      [unowned self] addresses, ports, refused in
      let local = filter.needsLocalAddresses(ports: ports) ? currentLocalAddresses(now: now) : []
      return addresses.filter { address in
        guard let refusal = filter.refusal(of: address, ports: ports, localAddresses: local) else { return true }
        refused.append(DomainStatus.Refused(address: address, reason: refusal.rawValue))
        return false
      }
    }
  }

  private func currentLocalAddresses(now: Instant) -> Set<IPAddress> {
    if let localAddresses, now - localAddresses.read < .seconds(1) { return localAddresses.addresses }
    let addresses = LocalAddresses.read()
    localAddresses = (now, addresses)
    return addresses
  }
}

// MARK: Lookups

extension ResolverLoop {
  /// Joins the lookup that asks this already, or begins one.
  private func want(_ key: LookupKey, _ number: UInt32, now: Instant) {
    if let running = inFlight[key] {
      lookups[running]?.askers.append(number)
      return
    }
    guard let domain = domains[Int(number)] else { return }
    let lookup = lookupNumbers.take()
    let deadline = now + max(domain.specification.lookupTimeout, .milliseconds(10))
    inFlight[key] = lookup
    lookups[lookup] = Running(
      key: key, machine: Lookup(servers: scores.order(now: now), plan: Lookup.Plan(settings), deadline: deadline),
      askers: [number])
    advance(lookup, now: now) { machine, _ in machine.start(now: now) }
  }

  /// A name no longer waits for an answer; a question nobody waits for is ended.
  private func leave(_ key: LookupKey, _ number: UInt32) {
    guard let lookup = inFlight[key] else { return }
    lookups[lookup]?.askers.removeAll { $0 == number }
    if lookups[lookup]?.askers.isEmpty == true { end(lookup) }
  }

  @discardableResult
  private func end(_ lookup: UInt32) -> Running? {
    guard let running = lookups.removeValue(forKey: lookup) else { return nil }
    for id in running.questions { questions.removeValue(forKey: id)?.channel.close() }
    inFlight[running.key] = nil
    ticks.remove(lookup)
    lookupNumbers.release(lookup)
    return running
  }

  private func tickLookups() {
    let now = Self.now()
    while let lookup = ticks.popExpired(at: now) { advance(lookup, now: now) { $0.tick(now: now, scores: &$1) } }
  }

  private func takeCompletions() {
    let now = Self.now()
    while !completions.isEmpty {
      let batch = completions
      completions = []
      for (id, completion) in batch {
        // Nobody waits for it any more, or it was answered twice.
        guard let question = questions.removeValue(forKey: id), let key = lookups[question.lookup]?.key else { continue }
        idleChannels.giveBack(question.channel)
        let reply = Lookup.Reply(completion, key)
        advance(question.lookup, now: now) {
          $0.received(reply, tryNumber: question.tryNumber, now: now, scores: &$1)
        }
      }
    }
  }

  private func makeChannel(_ server: SocketAddress) -> AresChannel {
    AresChannel(server: server, poller: poller) { [unowned self] in completions.append(($0, $1)) }
  }

  func closeIdleChannels() { idleChannels.keep(scores.servers) }

  private func advance(_ lookup: UInt32, now: Instant, _ step: (inout Lookup, inout ServerScores) -> Lookup.Action) {
    guard var running = lookups.removeValue(forKey: lookup) else { return }
    let action = step(&running.machine, &scores)
    if let tick = running.machine.nextTick { ticks.set(lookup, at: tick) }
    lookups[lookup] = running
    switch action {
    case .wait: break
    case .ask(let server, let tryNumber): ask(server, lookup, running.key, tryNumber, now: now)
    case .finish(let result):
      guard let ended = end(lookup) else { return }
      for number in ended.askers { deliver(result, of: ended.key, to: number, now: now) }
    }
  }

  private func ask(_ server: SocketAddress, _ lookup: UInt32, _ key: LookupKey, _ tryNumber: Int, now: Instant) {
    budget.spend(1, now: now)
    // Zero is the owner of the loop's own descriptors; a number comes again after years.
    lastQuestion = lastQuestion == .max ? 1 : lastQuestion + 1
    let id = lastQuestion
    let channel = idleChannels.take(server) ?? makeChannel(server)
    questions[id] = Question(channel: channel, lookup: lookup, tryNumber: tryNumber)
    lookups[lookup]?.questions.append(id)
    channel.ask(key, as: id)
  }
}

extension Lookup.Reply {
  init(_ completion: AresChannel.Completion, _ key: LookupKey) {
    switch completion {
    case .response(let bytes):
      do {
        self = .answer(try DNSAnswer(parsing: bytes, name: key.name, type: key.type))
      } catch {
        self = .error(error)
      }
    case .unreadable: self = .error(.unreadable)
    case .timedOut: self = .timedOut
    case .failed: self = .unreachable
    }
  }
}
