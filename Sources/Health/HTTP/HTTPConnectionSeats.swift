import Synchronization

/// How many connections may be kept between probes: each costs a descriptor and some kilobytes here, and a place at its server.
/// Who comes too late asks over a new one each time.
final class HTTPConnectionSeats: Sendable {
  /// One number for the process, as descriptors are.
  static let shared = HTTPConnectionSeats(2000)

  /// With rarer probes a kept connection saves little, and many servers would have ended it by then.
  static let longestInterval = Duration.seconds(1)

  private let free: Mutex<Int>

  init(_ count: Int) { free = Mutex(count) }

  func take() -> Bool {
    free.withLock { free in
      guard free > 0 else { return false }
      free -= 1
      return true
    }
  }

  func leave() { free.withLock { $0 += 1 } }
}
