import CLinux
import Glibc

/// The pipes that large flows pass through without a copy: the kernel moves references to its pages from a socket into a pipe and from
/// there to another socket. A few serve many flows, because a pipe is held like a buffer: only while bytes are in it.
///
/// Made when first needed and closed again when a burst has passed. A pipe that is given back with bytes in it is closed: nobody's bytes
/// can reach anybody else.
struct PipePool: ~Copyable {
  /// The most that one receive takes, and what a peer that does not read can leave in a pipe.
  static let size = 256 * 1024
  /// Free pipes that stay open.
  private static let kept = 1
  /// What a new pipe has without asking. Once the pipes of a user are beyond their share, the kernel makes them smaller than is of use.
  private static let leastSize: Int32 = 64 * 1024

  private struct Pipe: BitwiseCopyable {
    static let closed = Pipe(readEnd: -1, writeEnd: -1, room: 0, count: 0)

    var readEnd: Int32
    var writeEnd: Int32
    var room: Int32
    var count: Int32
  }

  private let pipes: UnsafeMutablePointer<Pipe>
  private let capacity: Int
  private var free: FreeList
  /// The kernel refused a pipe since the last trim. It is not asked again for every receive.
  private var isRefused = false

  init(capacity: Int) {
    self.capacity = capacity
    pipes = .allocate(capacity: capacity)
    pipes.initialize(repeating: .closed, count: capacity)
    free = FreeList(capacity: capacity)
  }

  deinit {
    for number in 0..<capacity { Self.close(pipes + number) }
    pipes.deallocate()
  }

  /// Pipes that have descriptors, two each.
  var openCount: Int { (0..<capacity).count { pipes[$0].readEnd >= 0 } }

  mutating func take() -> Buffer? {
    guard let next = free.top, pipes[Int(next)].readEnd >= 0 || open(Int(next)) else { return nil }
    return free.take().map { Buffer(pipe: Int($0)) }
  }

  mutating func give(_ pipe: Buffer) {
    let number = pipe.pipeNumber
    if pipes[number].count > 0 { Self.close(pipes + number) }
    free.give(UInt32(truncatingIfNeeded: number))
  }

  /// How many bytes came, 0 at the end of the stream, or a negative errno. An empty pipe has room for at least one.
  mutating func fill(_ pipe: Buffer, from socket: Int32) -> Int {
    let pipe = pipes + pipe.pipeNumber
    let count = leba_splice(socket, pipe.pointee.writeEnd, Int(pipe.pointee.room))
    if count > 0 { pipe.pointee.count &+= Int32(truncatingIfNeeded: count) }
    return count
  }

  /// How many bytes went and how many are left. Negative numbers that went are an errno.
  mutating func drain(_ pipe: Buffer, to socket: Int32) -> (count: Int, left: Int) {
    let pipe = pipes + pipe.pipeNumber
    let count = leba_splice(pipe.pointee.readEnd, socket, Int(pipe.pointee.count))
    if count > 0 { pipe.pointee.count &-= Int32(truncatingIfNeeded: count) }
    return (count, Int(pipe.pointee.count))
  }

  /// Whether a trim would close pipes, or let a refusal be forgotten.
  var isBloated: Bool { isRefused || free.warmCount > Self.kept }

  /// Closes the pipes that nobody needed since the last trim.
  mutating func trim() {
    let pipes = pipes
    free.trim(keeping: Self.kept, limit: capacity) { Self.close(pipes + Int($0)) }
    isRefused = false
  }

  private mutating func open(_ number: Int) -> Bool {
    guard !isRefused else { return false }
    var ends: (Int32, Int32) = (-1, -1)
    let room = withUnsafeMutablePointer(to: &ends) { ends in
      ends.withMemoryRebound(to: Int32.self, capacity: 2) { leba_pipe($0, Int32(Self.size)) }
    }
    pipes[number] = Pipe(readEnd: ends.0, writeEnd: ends.1, room: room, count: 0)
    guard room < Self.leastSize else { return true }
    Self.close(pipes + number)
    isRefused = true
    return false
  }

  private static func close(_ pipe: UnsafeMutablePointer<Pipe>) {
    guard pipe.pointee.readEnd >= 0 else { return }
    Glibc.close(pipe.pointee.readEnd)
    Glibc.close(pipe.pointee.writeEnd)
    pipe.pointee = .closed
  }
}
