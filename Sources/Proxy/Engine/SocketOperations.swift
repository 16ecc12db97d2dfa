/// Operations on a socket: those that its owner asked for, or those that the kernel is at.
struct SocketOperations: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  static let connect = SocketOperations(rawValue: 1)
  static let send = SocketOperations(rawValue: 2)
  static let receive = SocketOperations(rawValue: 4)
  static let peek = SocketOperations(rawValue: 8)
  /// Asked with `receive`: into a pipe if there is one. In the kernel: a poll for bytes, because pipes are filled by plain system calls.
  static let intoPipe = SocketOperations(rawValue: 16)
  /// The same with `send`: from a pipe; a poll for room.
  static let fromPipe = SocketOperations(rawValue: 32)
  /// Never asked for: a poll for the end of a stream that nobody reads.
  static let watch = SocketOperations(rawValue: 64)

  /// While one of these is asked for, its answer tells of an end.
  static let reading: SocketOperations = [.receive, .peek]
  /// All that is asked for, or not, with a read.
  static let anyReading: SocketOperations = [.receive, .peek, .intoPipe]
}
