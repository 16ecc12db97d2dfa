import CLinux
import Glibc

/// What a thread runs, from its start to its end.
final class ThreadBody {
  private let run: () -> Void

  private init(_ run: @escaping () -> Void) { self.run = run }

  /// To be joined by the caller.
  static func start(_ run: @escaping () -> Void) throws(EngineError) -> pthread_t {
    var identifier = pthread_t()
    let argument = Unmanaged.passRetained(ThreadBody(run))
    let status = leba_start_thread(&identifier, entry, argument.toOpaque())
    guard status == 0 else {
      argument.release()
      throw EngineError(operation: "starting a thread", errno: status)
    }
    return identifier
  }

  private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
    if let argument { Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run() }
    return nil
  }
}
