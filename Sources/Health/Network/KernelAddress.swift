import Glibc
import Model

extension SocketAddress {
  /// The address as `connect(2)` takes it, with its family. Nil for a path that does not fit.
  ///
  /// Byte by byte, after the kernel's ABI: of the C types there are two in this target, Glibc's and NIO's.
  func withKernelAddress<Result>(_ body: (_ family: CInt, UnsafeRawPointer, _ length: UInt32) -> Result) -> Result? {
    // The largest is `sockaddr_un`: the family, and a path of 108 bytes with its terminating zero.
    let pathCapacity = 108
    return withUnsafeTemporaryAllocation(byteCount: 2 + pathCapacity, alignment: 8) { bytes -> Result? in
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      guard let start = bytes.baseAddress else { return nil }
      func call(_ family: CInt, length: Int) -> Result {
        bytes.storeBytes(of: UInt16(family), as: UInt16.self)
        return body(family, start, UInt32(length))
      }
      switch self {
      case .ip(.v4(let value), let port):
        bytes.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
        bytes.storeBytes(of: value.bigEndian, toByteOffset: 4, as: UInt32.self)
        return call(AF_INET, length: 16)
      case .ip(.v6(let value), let port):
        bytes.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
        bytes.storeBytes(of: value.number.bigEndian, toByteOffset: 8, as: UInt128.self)
        return call(AF_INET6, length: 28)
      case .unix(let path):
        guard path.utf8.count < pathCapacity, !path.utf8.isEmpty else { return nil }
        for (index, byte) in path.utf8.enumerated() { bytes[2 + index] = byte }
        return call(AF_UNIX, length: 2 + path.utf8.count + 1)
      }
    }
  }
}
