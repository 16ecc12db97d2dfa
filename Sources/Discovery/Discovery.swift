import CLinux
import Glibc
package import Model
import Synchronization

/// Keeps names resolved and tells what became of them.
///
/// One thread does all the work; it sleeps until a socket, a file or a timer wants it. `onUpdate` and `onNotice` are called
/// on it and must not block. Updates come after every lookup, changed or not; each holds the whole set of the name.
///
/// Nothing a name server says stops or breaks discovery: what is no answer is a failure, and failures change no set.
package final class Discovery: Sendable {
  private enum Phase {
    case idle(ResolverLoop)
    case running(pthread_t)
    case stopped
  }

  private let mailbox: ResolverMailbox
  private let phase: Mutex<Phase>

  /// Takes what it needs of the host (three descriptors) but does nothing before `start`.
  package convenience init(
    settings: ResolverSettings, ownListeners: [SocketAddress], seed: UInt64,
    onUpdate: @escaping @Sendable (DiscoveryUpdate) -> Void,
    onNotice: @escaping @Sendable (DiscoveryNotice) -> Void
  ) throws(DiscoveryError) {
    try self.init(
      settings: settings, ownListeners: ownListeners, seed: seed, files: SystemFiles.Paths(), onUpdate: onUpdate, onNotice: onNotice
    )
  }

  init(
    settings: ResolverSettings, ownListeners: [SocketAddress], seed: UInt64, files: SystemFiles.Paths,
    onUpdate: @escaping @Sendable (DiscoveryUpdate) -> Void,
    onNotice: @escaping @Sendable (DiscoveryNotice) -> Void
  ) throws(DiscoveryError) {
    mailbox = try ResolverMailbox()
    let loop = try ResolverLoop(
      settings: settings, ownListeners: ownListeners, seed: seed, files: files, mailbox: mailbox, onUpdate: onUpdate,
      onNotice: onNotice)
    phase = Mutex(.idle(loop))
  }

  deinit { stop() }

  /// Starts the thread. Once; a stopped discovery does not start again.
  package func start() throws(DiscoveryError) {
    try phase.withLock { (phase) throws(DiscoveryError) in
      guard case .idle(let loop) = phase else { return }
      var thread = pthread_t()
      let context = Unmanaged.passRetained(loop)
      mailbox.begin()
      let status = pthread_create(&thread, nil, runResolver, context.toOpaque())
      guard status == 0 else {
        context.release()
        mailbox.end()
        throw DiscoveryError("pthread_create", status)
      }
      phase = .running(thread)
    }
  }

  /// Ends the thread and waits for it. No callback comes after that. From within a callback it does not wait.
  package func stop() {
    let before = phase.withLock { phase in
      defer { phase = .stopped }
      return phase
    }
    guard case .running(let thread) = before else { return }
    mailbox.stop()
    // A callback may be what drops the last reference; a thread cannot wait for itself.
    if pthread_equal(thread, pthread_self()) != 0 { pthread_detach(thread) } else { pthread_join(thread, nil) }
  }

  /// Replaces the set of names. New ones are looked up at once, others are forgotten.
  ///
  /// - Parameter remembered: answers of an earlier run. One is told when no server has answered within 300 ms, or the lookup failed.
  package func watch(_ domains: [DomainSpecification], remembered: [DomainName: RememberedAnswer] = [:]) {
    mailbox.watch(domains, remembered: remembered)
  }

  /// Replaces the addresses that answers may not lead back to. They count from the next lookups on.
  package func setOwnListeners(_ listeners: [SocketAddress]) { mailbox.setOwnListeners(listeners) }

  /// Asks for an early lookup of one name, or of all: at most one a second and name. Any number of calls is cheap.
  ///
  /// - Returns: the names concerned; none when `domain` is not watched.
  @discardableResult
  package func refresh(_ domain: DomainName?) -> Set<DomainName> { mailbox.refresh(domain) }

  /// What is known of each name, by name. Not from within a callback: it waits for the thread.
  package func status() -> [DomainStatus] { mailbox.statuses() }

  /// The name servers in use, in the configured order.
  package func servers() -> [ServerStatus] { mailbox.servers }
}

private func runResolver(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  pthread_setname_np(pthread_self(), "leba-dns")
  // Signals are for the main thread. SIGPIPE above all must not come here: c-ares writes to TCP sockets without a care.
  var all = sigset_t()
  sigfillset(&all)
  pthread_sigmask(SIG_BLOCK, &all, nil)
  Unmanaged<ResolverLoop>.fromOpaque(context).takeRetainedValue().run()
  return nil
}
