import CLinux
import Glibc
import Model
import Synchronization

/// One run of a program, waited for on a thread of its own and cancelled from any other.
///
/// The program leads a process group; whatever the end, the whole group is killed before its leader is reaped, so that its number
/// cannot belong to anybody else by then. What leaves the group (a daemon) is beyond us.
final class Execution: Sendable {
  enum Ending: Hashable, Sendable {
    /// With the first line that it printed.
    case exited(Int32, String)
    case signalled(Int32, String)
    case notRun(ProbeFailure)
  }

  private enum State {
    case waiting
    case starting
    case cancelled
    case running(pid_t)
    case ended
  }

  /// Of those that wait or run, in the process. Far above what probes begin in time; reached when no program can be killed.
  private static let maximumOutstanding = 1024
  private static let outstanding = Atomic(0)

  private let command: [String]
  private let state = Mutex(State.waiting)

  init(_ command: [String]) {
    self.command = command
    Self.outstanding.add(1, ordering: .relaxed)
  }

  deinit { Self.outstanding.subtract(1, ordering: .relaxed) }

  var hasStarted: Bool { state.withLock { if case .waiting = $0 { false } else { true } } }

  /// Kills the program and all it has started, or sees to it that it is never started.
  func cancel() {
    state.withLock { state in
      switch state {
      case .waiting, .starting: state = .cancelled
      case .running(let leader): kill(-leader, SIGKILL)
      case .cancelled, .ended: break
      }
    }
  }

  /// Blocks until the program has ended.
  func run() -> Ending {
    guard Self.outstanding.load(ordering: .relaxed) <= Self.maximumOutstanding else {
      return .notRun(ProbeFailure(.local, "too many programs that cannot be killed"))
    }
    do throws(ProbeFailure) {
      let pipes = try OutputPipes()
      let leader = try start(pipes)
      let ended = leba_pidfd_open(leader)
      guard ended >= 0 else {
        _ = reap(leader)
        throw ProbeFailure(.local, "pidfd_open: \(String(cString: strerror(-ended)))")
      }
      defer { close(ended) }
      pipes.drain(until: ended)
      return reap(leader, line: pipes.firstLine)
    } catch {
      return .notRun(error)
    }
  }

  /// Without the lock around `spawn`: it returns when the program's file has been read, and a disk that does not answer must not hold
  /// up whoever cancels.
  private func start(_ pipes: OutputPipes) throws(ProbeFailure) -> pid_t {
    let isWanted = state.withLock { state in
      guard case .waiting = state else { return false }
      state = .starting
      return true
    }
    guard isWanted else { throw ProbeFailure(.timedOut, "cancelled") }
    let leader = try spawn(command, output: pipes.output.write, error: pipes.error.write)
    pipes.closeWriteEnds()
    state.withLock { state in
      if case .cancelled = state { kill(-leader, SIGKILL) }
      state = .running(leader)
    }
    return leader
  }

  private func reap(_ leader: pid_t, line: String = "") -> Ending {
    // Whoever cancels must not signal a number that is free again.
    state.withLock { state in
      kill(-leader, SIGKILL)
      state = .ended
    }
    var status: Int32 = 0
    while waitpid(leader, &status, 0) < 0 {
      guard errno == EINTR else { return .notRun(ProbeFailure(.local, "waitpid: \(String(cString: strerror(errno)))")) }
    }
    return status & 0x7f == 0 ? .exited((status >> 8) & 0xff, line) : .signalled(status & 0x7f, line)
  }
}
