import Model

/// Damages packets where it hurts: lengths, pointers, counts, order.
struct PacketMutator {
  var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  /// One to six injuries. `others` are packets to take parts from.
  mutating func mutated(_ packet: [UInt8], others: [[UInt8]]) -> [UInt8] {
    var bytes = packet
    for _ in 0..<Int.random(in: 1...6, using: &random) { injure(&bytes, others) }
    return bytes
  }

  private mutating func injure(_ bytes: inout [UInt8], _ others: [[UInt8]]) {
    guard !bytes.isEmpty else { return bytes.append(UInt8.random(in: 0...255, using: &random)) }
    let index = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<10, using: &random) {
    case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
    case 3: bytes.remove(at: index)
    case 4: bytes[index] = [0, 1, 12, 0x3F, 0x40, 0x80, 0xC0, 0xFF].randomElement(using: &random) ?? 0
    case 5: bytes.removeLast(bytes.count - index)
    case 6: if bytes.count >= 12 { bytes[[5, 7, 9, 11].randomElement(using: &random) ?? 5] &+= 1 }
    case 7: if index + 1 < bytes.count { bytes.replaceSubrange(index...(index + 1), with: pointer(below: bytes.count)) }
    case 8:
      let end = Int.random(in: index...min(bytes.count, index + 40), using: &random)
      bytes.insert(contentsOf: bytes[index..<end], at: index)
    default:
      let other = others.randomElement(using: &random) ?? []
      bytes.replaceSubrange(index..., with: other.dropFirst(index))
    }
  }

  private mutating func pointer(below end: Int) -> [UInt8] {
    let target = Int.random(in: 0..<end, using: &random)
    return [0xC0 | UInt8(target >> 8 & 0x3F), UInt8(target & 0xFF)]
  }
}
