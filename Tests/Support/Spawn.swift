import Foundation
import Synchronization

/// The one thread that starts children, alive as long as the process.
///
/// `setpriv --pdeathsig` has the kernel kill a child when the *thread* that forked it ends, and threads of the
/// cooperative pool come and go.
final class ForkingThread: Sendable {
  static let shared = ForkingThread()

  private let jobs = Mutex<[@Sendable () -> Void]>([])
  private let wakeUp = DispatchSemaphore(value: 0)

  private init() {
    Thread { [self] in
      while true {
        wakeUp.wait()
        let job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        job?()
      }
    }.start()
  }

  /// Waits for `body`, which takes a millisecond or two: the time of a fork.
  func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
    let result = Mutex<Result<T, any Error>?>(nil)
    let done = DispatchSemaphore(value: 0)
    jobs.withLock {
      $0.append {
        let outcome = Result(catching: body)
        result.withLock { $0 = outcome }
        done.signal()
      }
    }
    wakeUp.signal()
    done.wait()
    guard let outcome = result.withLock({ $0 }) else { throw TestFailure("the forking thread gave no answer") }
    return try outcome.get()
  }
}

/// Starts a program with nothing inherited but the environment: no descriptors of other tests, no blocked signals.
func spawn(_ command: [String], environment: [String: String], output: String, error: String) throws -> Int32 {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
  posix_spawn_file_actions_addopen(&actions, 2, error, O_WRONLY | O_CREAT | O_APPEND, 0o644)
  for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
    if let descriptor = Int32(entry), descriptor > 2 { posix_spawn_file_actions_addclose(&actions, descriptor) }
  }

  // Threads of the runtime block signals, and a mask is inherited: SIGTERM would never arrive.
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var none = sigset_t()
  sigemptyset(&none)
  posix_spawnattr_setsigmask(&attributes, &none)
  var usual = sigset_t()
  sigemptyset(&usual)
  for signal in [SIGPIPE, SIGINT, SIGTERM, SIGHUP] { sigaddset(&usual, signal) }
  posix_spawnattr_setsigdefault(&attributes, &usual)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

  var arguments = command.map { strdup($0) } + [nil]
  var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
  defer { for pointer in arguments + variables { free(pointer) } }
  var pid: Int32 = 0
  let code = posix_spawnp(&pid, command[0], &actions, &attributes, &arguments, &variables)
  guard code == 0 else { throw TestFailure("cannot start \(command.joined(separator: " ")): \(errnoText(code))") }
  return pid
}
