import Model

/// The bytes that belong on one direction of one connection and nowhere else. All streams are the same noise begun at different
/// places, so that making and checking one costs a copy and a comparison, and a byte that is lost, repeated, swapped or somebody
/// else's shows.
enum KeyedStream {
  enum Direction { case toServer, toClient }

  private static let period = 1 << 20
  /// Twice, so that any stretch of up to a period is in one piece.
  private static let bytes = {
    let once = noise(period)
    return once + once
  }()

  /// The multiplier is odd, so that no two keys below half a million begin at the same place, whatever the directions. Up to a
  /// period of bytes may be looked at.
  static func withBytes<Result>(
    _ key: Int, _ direction: Direction, from position: Int, _ body: (UnsafeRawPointer) -> Result
  ) -> Result {
    let start = (key &* 1009 &+ position &+ (direction == .toServer ? 0 : period / 2)) & (period - 1)
    return bytes.withUnsafeBytes { body($0.baseAddress! + start) }
  }
}
