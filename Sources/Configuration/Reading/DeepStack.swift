import Foundation

/// Runs code that recurses as deep as its input says, on a thread whose stack is large enough for the deepest input there can be.
///
/// libYAML bounds nesting at a thousand levels, and eight anchored values can be chained; Yams hashes, compares and frees such trees
/// by recursion. The stack of whoever loads a configuration may be small (a thread of Swift's pool) or limited by the user.
enum DeepStack {
  /// Reserved, not used: pages are only taken when the recursion gets there.
  private static let size = 256 << 20

  static func run<Output>(_ body: @escaping @Sendable () -> Output) -> Output {
    let result = Handover<Output>()
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      result.value = body()
      done.signal()
    }
    thread.stackSize = size
    thread.start()
    done.wait()
    return result.value!
  }

  /// Written before the semaphore is signalled and read after: never touched by two threads at a time.
  private final class Handover<Value>: @unchecked Sendable { var value: Value? }
}
