import Foundation

/// Why a helper gave up. The message is what a person reads in a red test.
package struct TestFailure: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// Thrown by a condition that can no longer come true, so that nobody waits for it: the server has died.
package struct Hopeless: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// How long a condition may take on a loaded two-core machine before it counts as never. Generous on purpose: a test is
/// red when the thing does not happen, not when it happens late.
package let patience = Duration.seconds(30)

/// Asks again and again until `condition` gives a value, and gives up with what it saw last when `limit` has passed.
///
/// An error thrown by `condition` means "not yet": a server that is still starting refuses connections. `Hopeless` ends the wait.
@discardableResult
package func eventually<T: Sendable>(
  _ what: String, within limit: Duration = patience, every pause: Duration = .milliseconds(20),
  isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> T?
) async throws -> T {
  let end = ContinuousClock.now + limit
  var lastError: (any Error)?
  while true {
    // Asked once more after the end: on a starved machine the last pause may have taken all the time there was.
    let isLast = ContinuousClock.now >= end
    do {
      if let value = try await condition() { return value }
      lastError = nil
    } catch let error as Hopeless {
      throw error
    } catch {
      lastError = error
    }
    if isLast { break }
    try await Task.sleep(for: pause)
  }
  throw TestFailure("not within \(limit): \(what)" + (lastError.map { "; last error: \($0)" } ?? ""))
}

/// The same for a plain yes or no.
package func eventually(
  _ what: String, within limit: Duration = patience, every pause: Duration = .milliseconds(20),
  isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool
) async throws {
  try await eventually(what, within: limit, every: pause) { try await condition() ? true : nil }
}

/// Runs blocking code on a thread of its own. The cooperative pool has one thread a core; a read that waits for a peer
/// would stop every other test.
package func onOwnThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    Thread { continuation.resume(with: Result(catching: body)) }.start()
  }
}
