import CLinux
import Glibc
package import Model
import Synchronization
import Threads

/// The data plane: accepts connections, gives each a backend by the routing table in force, and relays bytes until an end.
///
/// The control path opens listeners, publishes changes of the routing table and asks for counts; worker threads do the rest and
/// never wait for it. What workers see of backends comes back through `onSignal`, as evidence.
package final class Proxy: Sendable {
  package struct Settings: Equatable, Sendable {
    package var workers = 1
    package var engine = EngineChoice.auto
    /// One try at one backend.
    package var connectTimeout = Duration.seconds(1)
    /// How long a busy session may go on after its backend lost its role.
    package var demotedDeadline = Duration.seconds(2)
    /// How long nothing is said on new connections to a backend that broke a session, but for the engine's word.
    package var mistrust = Mistrust.length
    /// Connections that wait for a backend, in all.
    package var heldLimit = 4096
    /// Buffers of 64 KiB, in all: what bytes in flight may take. Idle sessions hold none, busy ones at most two.
    package var bufferLimit = 4096
    /// Pipes of 256 KiB, in all, for large flows; two descriptors each. Flows that find none free use buffers. None where descriptors are few.
    package var pipeLimit = 64
    /// Descriptors left to probes, DNS, the API and the journal.
    package var descriptorReserve = 256
    /// Fewer connections than the descriptors allow.
    package var connectionLimit: Int?
    /// Or only after `startAccepting`, while connections wait in the backlogs.
    package var acceptsAtOnce = true

    package init() {}
  }

  package let engine: EngineInUse
  /// Connections at a time, in all, from RLIMIT_NOFILE at start: each may need two descriptors.
  package let connectionLimit: Int

  private let workers: [WorkerThread]
  private let listeners = Mutex<[ListenerName: OpenListener]>([:])

  private struct OpenListener: Sendable {
    /// Nil while it is being opened.
    var sockets: UnixSocketFile??
  }

  /// Starts the workers. `onSignal` runs on their threads: it must return at once, and not call back into the proxy.
  package init(settings: Settings, onSignal: @escaping @Sendable (DataPathSignal) -> Void) throws(ProxyError) {
    engine = try EngineInUse(settings.engine)
    let count = max(1, settings.workers)
    let descriptors = Int(leba_raise_descriptor_limit())
    let pipesPerWorker = Self.pipesPerWorker(settings, workers: count, descriptors: descriptors)
    let perWorker = Self.connectionsPerWorker(
      settings, workers: count, descriptors: descriptors - 2 * pipesPerWorker * count)
    connectionLimit = perWorker * count
    var shares = WorkerSettings(
      sessionLimit: perWorker,
      // Two suffice for one connection, and less than two would stop it for ever.
      bufferLimit: max(2, settings.bufferLimit / count),
      pipeLimit: pipesPerWorker,
      heldLimit: max(0, settings.heldLimit / count),
      connectTimeout: settings.connectTimeout,
      demotedDeadline: settings.demotedDeadline,
      mistrust: settings.mistrust,
      workers: count,
      acceptsAtOnce: settings.acceptsAtOnce)
    var started: [WorkerThread] = []
    do {
      let seed = UInt64(bitPattern: leba_monotonic_ns())
      for number in 0..<count {
        shares.seed = seed &+ UInt64(number)
        shares.number = number
        let worker =
          switch engine.kind {
          case .epoll: try WorkerThread(engine: EpollEngine.self, number: number, settings: shares, onSignal: onSignal)
          case .ioUring: try WorkerThread(engine: UringEngine.self, number: number, settings: shares, onSignal: onSignal)
          }
        shares.neighbours.moveIn(worker.mailbox)
        started.append(worker)
      }
    } catch {
      for worker in started { worker.stop() }
      throw ProxyError.cannotStart(error.description)
    }
    workers = started
  }

  deinit { stop() }

  /// More than a host's applications open, and few enough that an unlimited RLIMIT_NOFILE reserves tens of megabytes and not gigabytes.
  private static let mostConnections = 1 << 17

  private static func connectionsPerWorker(_ settings: Settings, workers: Int, descriptors: Int) -> Int {
    let reserve = min(max(0, settings.descriptorReserve), descriptors / 2)
    let affordable = min((descriptors - reserve) / 2, settings.connectionLimit ?? .max, mostConnections)
    return max(1, affordable / workers)
  }

  /// At most a sixteenth of the descriptors.
  private static func pipesPerWorker(_ settings: Settings, workers: Int, descriptors: Int) -> Int {
    min(max(0, settings.pipeLimit), descriptors / 32) / workers
  }

  // MARK: Listeners

  /// Binds and listens before it returns. Returns the address, with the port the kernel chose where the specification says 0.
  ///
  /// - Parameter inherited: sockets that listen already, to be used instead; closed when it throws.
  @discardableResult
  package func open(
    _ listener: ListenerSpecification, inherited: [ListeningSocket] = []
  ) throws(ListenError) -> SocketAddress {
    let isNew = listeners.withLock { open in
      guard open[listener.name] == nil else { return false }
      open[listener.name] = OpenListener(sockets: nil)
      return true
    }
    guard isNew else {
      for socket in inherited { socket.close() }
      throw ListenError(listener, .nameInUse)
    }
    do {
      let sockets =
        inherited.isEmpty
        ? try ListeningSockets.open(listener, workers: workers.count)
        : try ListeningSockets.adopt(inherited, for: listener, workers: workers.count)
      try hand(sockets, to: listener)
      listeners.withLock { $0[listener.name] = OpenListener(sockets: .some(sockets.file)) }
      return sockets.address
    } catch {
      listeners.withLock { $0[listener.name] = nil }
      throw error
    }
  }

  private func hand(_ sockets: ListeningSockets, to listener: ListenerSpecification) throws(ListenError) {
    var failure: ListenError?
    for (position, descriptor) in sockets.descriptors.enumerated() {
      let reply = Reply<EngineError?>()
      let socket = ListeningSocket(descriptor: descriptor, isHeldElsewhere: sockets.isHeldElsewhere)
      if !workers[position % workers.count].mailbox.post(.addListener(listener, socket, reply)) {
        Glibc.close(descriptor)
        failure = ListenError(listener, .stopped)
      } else if let error = reply.wait() {
        failure = ListenError(listener, error)
      }
    }
    guard let failure else { return }
    removeFromWorkers([listener.name])
    sockets.file?.remove()
    throw failure
  }

  /// Returns when the addresses are free again, after the time that handshakes under way get. Sessions that came through the listeners go on.
  package func close(_ names: [ListenerName]) {
    let files = listeners.withLock { open in
      names.compactMap { name -> (name: ListenerName, file: UnixSocketFile?)? in
        guard let file = open[name]?.sockets else { return nil }
        open[name] = OpenListener(sockets: nil)
        return (name, file)
      }
    }
    for closing in files { closing.file?.remove() }
    removeFromWorkers(files.map(\.name))
    listeners.withLock { open in for closing in files { open[closing.name] = nil } }
  }

  package func close(_ name: ListenerName) { close([name]) }

  private func removeFromWorkers(_ names: [ListenerName]) {
    let replies = names.flatMap { name in
      workers.compactMap { worker -> Reply<Void>? in
        let reply = Reply<Void>()
        return worker.mailbox.post(.removeListener(name, reply)) ? reply : nil
      }
    }
    for reply in replies { reply.wait() }
  }

  /// Another name, group or role for sockets that stay open: who connects meanwhile notices nothing. Sessions that came through the
  /// listener as it was stay with it. When it throws, both are closed.
  package func replace(_ name: ListenerName, with next: ListenerSpecification) throws(ListenError) {
    let file = listeners.withLock { open -> UnixSocketFile?? in
      guard let file = open[name]?.sockets, name == next.name || open[next.name] == nil else { return nil }
      open[name] = nil
      open[next.name] = OpenListener(sockets: nil)
      return .some(file)
    }
    guard let file else { throw ListenError(next, .nameInUse) }
    var failure: ListenError?
    for worker in workers {
      let reply = Reply<EngineError?>()
      if !worker.mailbox.post(.replaceListener(name, with: next, reply)) {
        failure = ListenError(next, .stopped)
      } else if let error = reply.wait() {
        failure = ListenError(next, error)
      }
    }
    guard let failure else { return listeners.withLock { $0[next.name] = OpenListener(sockets: .some(file)) } }
    file?.remove()
    removeFromWorkers([name, next.name])
    listeners.withLock { $0[next.name] = nil }
    throw failure
  }

  /// Copies of all listening sockets, for the process that takes over; the caller closes them. They live as long as one copy does.
  package func copyListeners() -> [InheritedListener] {
    let copies = workers.flatMap { worker -> [ListenerCopy] in
      let reply = Reply<[ListenerCopy]>()
      return worker.mailbox.post(.copyListeners(reply)) ? reply.wait() : []
    }
    var known: Set<UInt> = []
    var byName: [ListenerName: [ListeningSocket]] = [:]
    // Workers share the socket of a unix listener: one is enough.
    for copy in copies {
      if known.insert(copy.socket.identity).inserted {
        byName[copy.name, default: []].append(copy.socket)
      } else {
        copy.socket.close()
      }
    }
    return byName.sorted { $0.key < $1.key }.compactMap { name, sockets in
      guard let address = sockets.first?.address else { return nil }
      return InheritedListener(name: name.rawValue, address: address, sockets: sockets)
    }
  }

  package func startAccepting() {
    for worker in workers { _ = worker.mailbox.post(.startAccepting) }
  }

  // MARK: Routing

  /// Workers take changes over one after the other, in the order of these calls.
  package func publish(_ change: RoutingChange) {
    for worker in workers { _ = worker.mailbox.post(.apply(change)) }
  }

  /// Waits for each worker to answer between two passes: microseconds, a few milliseconds under saturation.
  package func statistics() -> ProxyStatistics {
    var sum = ProxyStatistics()
    for worker in workers { sum.add(worker.statistics()) }
    return sum
  }

  // MARK: The end

  /// Closes the listeners, so that who comes is refused and who came is served. Held connections keep their chance; sessions go on until they end, fall quiet for a while with
  /// no answer owed (`Departure.drainQuiet`), or `timeout` passes. Returns when none is left. `stop` is still to be called.
  ///
  /// - Parameter handedOver: whether another process has the listening sockets: they and their files are left as they are.
  package func drain(timeout: Duration, handedOver: Bool = false) async {
    await withCheckedContinuation { continuation in
      drain(timeout: timeout, handedOver: handedOver) { continuation.resume() }
    }
  }

  /// The same for callers outside concurrency; `whenDrained` runs on a worker's thread, or at once when the proxy has stopped.
  package func drain(timeout: Duration, handedOver: Bool = false, whenDrained: @escaping @Sendable () -> Void) {
    if handedOver {
      listeners.withLock { open in for name in open.keys { open[name] = OpenListener(sockets: .some(nil)) } }
    } else {
      removeUnixFiles()
    }
    let endsAt = Instant(nanoseconds: leba_monotonic_ns()) + timeout
    let left = Countdown(workers.count, then: whenDrained)
    let end = handedOver ? ListenerEnd.passOn : .refuse
    for worker in workers where !worker.mailbox.post(.drain(endsAt: endsAt, end, whenDrained: left.count)) { left.count() }
  }

  /// Ends every session and every worker before it returns. Calling it again does nothing.
  package func stop() {
    removeUnixFiles()
    for worker in workers { worker.stop() }
  }

  private func removeUnixFiles() {
    let open = listeners.withLock { $0 }
    for case let file?? in open.values.map(\.sockets) { file.remove() }
  }
}

/// Calls back when it was counted down to zero.
private final class Countdown: Sendable {
  private let left: Atomic<Int>
  private let then: @Sendable () -> Void

  init(_ count: Int, then: @escaping @Sendable () -> Void) {
    left = Atomic(count)
    self.then = then
  }

  @Sendable func count() {
    if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { then() }
  }
}

package enum ProxyError: Error, Equatable, CustomStringConvertible {
  case engineNotAvailable(EngineChoice, reason: String)
  case cannotStart(String)

  package var description: String {
    switch self {
    case .engineNotAvailable(let engine, let reason):
      "engine \(engine.rawValue) cannot be used here: \(reason); use auto or epoll"
    case .cannotStart(let reason): "the data plane cannot start: \(reason)"
    }
  }
}
