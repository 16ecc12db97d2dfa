import CLinux
import Glibc
import Model

/// The listening sockets of one listener, at least one for each worker: TCP workers share the port by SO_REUSEPORT, so that the kernel spreads
/// connections over them; a unix socket has one accept queue, which they share.
struct ListeningSockets {
  /// The first is the first worker's, and so on, and over again where there are more than workers.
  let descriptors: [Int32]
  var isHeldElsewhere = false
  /// With the port the kernel chose, where the specification said 0.
  let address: SocketAddress
  let file: UnixSocketFile?

  static func open(_ specification: ListenerSpecification, workers: Int) throws(ListenError) -> ListeningSockets {
    switch specification.address {
    case .ip: try openTCP(specification, workers: workers)
    case .unix(let path): try openUnix(specification, path: path, workers: workers)
    }
  }

  /// Takes sockets over that listen already. All of them are accepted from: each has a backlog of its own, which would be lost. Where there
  /// are fewer than workers, some workers share one.
  static func adopt(
    _ inherited: [ListeningSocket], for specification: ListenerSpecification, workers: Int
  ) throws(ListenError) -> ListeningSockets {
    guard let first = inherited.first, let address = first.address else { throw ListenError(specification, .badPath) }
    var descriptors = inherited.map(\.descriptor)
    while descriptors.count < workers {
      // Not a socket of its own on the shared port: it would take connections at once, and whoever takes over may not be ready yet.
      guard let copy = inherited[descriptors.count % inherited.count].copy() else {
        let error = errno
        for descriptor in descriptors { Glibc.close(descriptor) }
        throw ListenError(specification, errno: error)
      }
      descriptors.append(copy.descriptor)
    }
    let file: UnixSocketFile? =
      if case .unix(let path) = address, !first.isHeldElsewhere { UnixSocketFile(path: path) } else { nil }
    return ListeningSockets(descriptors: descriptors, isHeldElsewhere: first.isHeldElsewhere, address: address, file: file)
  }

  func close() {
    for descriptor in descriptors { Glibc.close(descriptor) }
    file?.remove()
  }

  // MARK: TCP

  private static func openTCP(_ specification: ListenerSpecification, workers: Int) throws(ListenError) -> ListeningSockets {
    var address = specification.address
    var descriptors: [Int32] = []
    do {
      for worker in 0..<workers {
        // The first is bound without sharing, so that a port which somebody else shares is a taken port and not half ours.
        let descriptor = try bindTCP(address, specification, shared: worker > 0)
        descriptors.append(descriptor)
        if workers > 1 { _ = leba_set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
        if let bound = KernelAddress(localAddressOf: descriptor)?.ip { address = bound }
      }
      for descriptor in descriptors { try listen(descriptor, specification) }
    } catch {
      for descriptor in descriptors { Glibc.close(descriptor) }
      throw error
    }
    return ListeningSockets(descriptors: descriptors, address: address, file: nil)
  }

  private static func bindTCP(
    _ address: SocketAddress, _ specification: ListenerSpecification, shared: Bool
  ) throws(ListenError) -> Int32 {
    guard let kernelAddress = KernelAddress(address) else { throw ListenError(specification, .badPath) }
    let descriptor = leba_stream_socket(kernelAddress.family)
    guard descriptor >= 0 else { throw ListenError(specification, errno: -descriptor) }
    // A port whose last owner's connections linger in TIME_WAIT is not taken.
    _ = leba_set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
    if shared { _ = leba_set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
    // A v4 listener at the same port is a listener of its own.
    if kernelAddress.family == AF_INET6 { _ = leba_set_option(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    leba_tune_tcp(descriptor, 60, 15, 4)
    if kernelAddress.isLoopback { leba_use_reno(descriptor) }
    try bind(descriptor, kernelAddress, specification)
    return descriptor
  }

  // MARK: Unix

  private static func openUnix(
    _ specification: ListenerSpecification, path: String, workers: Int
  ) throws(ListenError) -> ListeningSockets {
    guard let kernelAddress = KernelAddress(specification.address) else { throw ListenError(specification, .badPath) }
    try UnixSocketFile.clear(path, kernelAddress, specification)
    let descriptor = leba_stream_socket(AF_UNIX)
    guard descriptor >= 0 else { throw ListenError(specification, errno: -descriptor) }
    try bind(descriptor, kernelAddress, specification)
    let file = UnixSocketFile(path: path)
    do {
      try listen(descriptor, specification)
    } catch {
      Glibc.close(descriptor)
      file?.remove()
      throw error
    }
    var descriptors = [descriptor]
    while descriptors.count < workers {
      let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
      guard copy >= 0 else {
        let error = errno
        for descriptor in descriptors { Glibc.close(descriptor) }
        file?.remove()
        throw ListenError(specification, errno: error)
      }
      descriptors.append(copy)
    }
    return ListeningSockets(descriptors: descriptors, address: specification.address, file: file)
  }

  // MARK: Both

  /// Closes the descriptor when it throws.
  private static func bind(
    _ descriptor: Int32, _ address: KernelAddress, _ specification: ListenerSpecification
  ) throws(ListenError) {
    guard address.withSockaddr({ Glibc.bind(descriptor, $0, address.length) }) != 0 else { return }
    let error = errno
    Glibc.close(descriptor)
    throw ListenError(specification, errno: error)
  }

  private static func listen(_ descriptor: Int32, _ specification: ListenerSpecification) throws(ListenError) {
    // The kernel caps it at net.core.somaxconn.
    guard Glibc.listen(descriptor, SOMAXCONN) != 0 else { return }
    throw ListenError(specification, errno: errno)
  }
}

/// The file a unix listener is bound to: removed when the listener closes, unless somebody has put another one in its place.
struct UnixSocketFile: Sendable {
  private let path: String
  private let device: UInt
  private let inode: UInt

  /// Nil when there is no socket at the path.
  init?(path: String) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
    self.path = path
    device = status.st_dev
    inode = status.st_ino
  }

  func remove() {
    guard let now = UnixSocketFile(path: path), now.device == device, now.inode == inode else { return }
    unlink(path)
  }

  /// Makes room at the path: a socket that nobody answers on was left by a process that died.
  static func clear(_ path: String, _ address: KernelAddress, _ specification: ListenerSpecification) throws(ListenError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard let file = UnixSocketFile(path: path) else { throw ListenError(specification, .pathOccupied) }
    let probe = leba_stream_socket(AF_UNIX)
    guard probe >= 0 else { throw ListenError(specification, errno: -probe) }
    defer { Glibc.close(probe) }
    let result = address.withSockaddr { leba_connect(probe, $0, address.length) }
    // Anything but a refusal, a full backlog for one, means that there is a listener.
    guard result == -ECONNREFUSED else { throw ListenError(specification, result == -EACCES ? .permissionDenied : .addressInUse) }
    file.remove()
  }
}
