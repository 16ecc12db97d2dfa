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
      demotedDeadline: settings.demotedDeadline, workers: count)
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
  @discardableResult
  package func open(_ listener: ListenerSpecification) throws(ListenError) -> SocketAddress {
    let isNew = listeners.withLock { open in
      guard open[listener.name] == nil else { return false }
      open[listener.name] = OpenListener(sockets: nil)
      return true
    }
    guard isNew else { throw ListenError(listener, .nameInUse) }
    do {
      let sockets = try ListeningSockets.open(listener, workers: workers.count)
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
    for (worker, descriptor) in zip(workers, sockets.descriptors) {
      let reply = Reply<EngineError?>()
      if !worker.mailbox.post(.addListener(listener, descriptor: descriptor, reply)) {
        Glibc.close(descriptor)
        failure = ListenError(listener, .stopped)
      } else if let error = reply.wait() {
        failure = error.errno == ECANCELED ? ListenError(listener, .stopped) : ListenError(listener, errno: error.errno)
      }
    }
    guard let failure else { return }
    removeFromWorkers(listener.name)
    sockets.file?.remove()
    throw failure
  }

  /// Returns when the address is free again. Sessions that came through the listener go on.
  package func close(_ name: ListenerName) {
    let file = listeners.withLock { open -> UnixSocketFile?? in
      guard let listener = open[name], let file = listener.sockets else { return nil }
      open[name] = OpenListener(sockets: nil)
      return .some(file)
    }
    guard let file else { return }
    file?.remove()
    removeFromWorkers(name)
    listeners.withLock { $0[name] = nil }
  }

  private func removeFromWorkers(_ name: ListenerName) {
    let replies = workers.compactMap { worker -> Reply<Void>? in
      let reply = Reply<Void>()
      return worker.mailbox.post(.removeListener(name, reply)) ? reply : nil
    }
    for reply in replies { reply.wait() }
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

  /// Closes the listeners at once. Held connections keep their chance; sessions go on until they end, fall quiet for a while with
  /// no answer owed (`Departure.drainQuiet`), or `timeout` passes. Returns when none is left. `stop` is still to be called.
  package func drain(timeout: Duration) async {
    await withCheckedContinuation { continuation in
      drain(timeout: timeout) { continuation.resume() }
    }
  }

  /// The same for callers outside concurrency; `whenDrained` runs on a worker's thread, or at once when the proxy has stopped.
  package func drain(timeout: Duration, whenDrained: @escaping @Sendable () -> Void) {
    removeUnixFiles()
    let endsAt = Instant(nanoseconds: leba_monotonic_ns()) + timeout
    let left = Countdown(workers.count, then: whenDrained)
    for worker in workers where !worker.mailbox.post(.drain(endsAt: endsAt, whenDrained: left.count)) { left.count() }
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
