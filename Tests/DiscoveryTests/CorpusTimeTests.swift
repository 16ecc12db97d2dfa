import Glibc
import TestSupport
import Testing

@testable import Discovery

/// The time that reading takes grows with the size of the message, whatever is in it.
///
/// Processor time of this thread and the best of several, compared with itself at another size: no clock of a wall is asked.
@Suite(.serialized) struct CorpusTimeTests {
  /// What can be packed most tightly: names of 127 labels, each behind a pointer of its own, referred to by two bytes.
  private static func worst(_ kind: Kind, _ length: Int) -> [UInt8] {
    var packet = PacketBuilder(answers: 1)
    packet.question("a", .a)
    var data: [UInt8] = [1, 0x61, 0]
    let start = packet.bytes.count + 1 + 10
    for index in 1..<127 {
      let target = start + (index == 1 ? 0 : 3 + 4 * (index - 2))
      data += [1, 0x61, 0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)]
    }
    packet.record([0], type: 99, ttl: 1, data: data)
    let last = start + 3 + 4 * 125
    let name: [UInt8] = [0xC0 | UInt8(last >> 8), UInt8(last & 0xFF)]
    var count: UInt16 = 1
    while packet.bytes.count < length - 64 {
      switch kind {
      case .owners: packet.record(name, type: 99, ttl: 1, data: [])
      case .services: packet.record(name, type: 33, ttl: 1, data: [0, 0, 0, 0, 0, 0] + name)
      case .authorities: packet.record(name, type: 6, ttl: 1, data: name + name + [UInt8](repeating: 0, count: 20))
      case .aliases: packet.record(name, type: 5, ttl: 1, data: name)
      case .strings: packet.record(name, type: 16, ttl: 1, data: [UInt8](repeating: 0, count: 200))
      }
      count += 1
    }
    packet.bytes[6] = UInt8(count >> 8)
    packet.bytes[7] = UInt8(count & 0xFF)
    return packet.bytes
  }

  enum Kind: CaseIterable, Sendable { case owners, services, authorities, aliases, strings }

  @Test(arguments: Kind.allCases)
  func `time is linear`(kind: Kind) throws {
    let small = Self.worst(kind, 8000)
    let large = Self.worst(kind, 64_000)
    let message = try DNSMessage(parsing: large)
    #expect(message.answers.last?.owner.bytes.count == 254, "the names are as long as names can be")
    // Eight times the bytes; a square law would need sixty-four times the time.
    let ratio = try seconds(large) / seconds(small)
    #expect(ratio < 24, "\(kind): \(ratio)")
  }

  private func seconds(_ bytes: [UInt8]) throws -> Double {
    let name = try #require(WireName("a"))
    return (0..<5).map { _ in
      let start = Self.processorTime()
      _ = try? DNSAnswer(parsing: bytes, name: name, type: .a)
      return Self.processorTime() - start
    }.min() ?? 0
  }

  private static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
