extension ProgrammableDNSServer {
  /// One packet in answer to a query, and how it is sent. Array literals are packets, `Reply(bytes)` makes one of an array.
  ///
  /// The methods give distorted copies, so that a behaviour reads as the good answer and what happens to it:
  /// `[$0.zoneAnswer.truncated()]`, `[$0.answer([v4]).fromAnotherPort(), $0.answer([v4])]`.
  package struct Reply: Hashable, Sendable, ExpressibleByArrayLiteral {
    package var bytes: [UInt8]
    package private(set) var delay = Duration.zero
    package private(set) var isFromAnotherPort = false
    package private(set) var framing = Framing.whole

    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(arrayLiteral elements: UInt8...) { bytes = elements }
  }

  /// What becomes of a reply over TCP, where a length goes before the message. UDP knows no difference.
  package enum Framing: Hashable, Sendable {
    /// Right, though in two pieces: one read may bring less than a message.
    case whole
    /// Right, a byte every millisecond.
    case byteByByte
    /// The length, then the end of the stream.
    case lengthAlone
    /// So many bytes of the message, then the end of the stream.
    case cutOff(after: Int)
    /// All of the message behind a length that is not its own; the stream stays open.
    case claiming(length: UInt16)
  }
}

extension ProgrammableDNSServer.Reply {
  private func with(_ change: (inout Self) -> Void) -> Self {
    var copy = self
    change(&copy)
    return copy
  }

  private func setting(_ offset: Int, _ value: UInt16) -> Self {
    with {
      guard $0.bytes.count >= offset + 2 else { return }
      $0.bytes[offset] = UInt8(value >> 8)
      $0.bytes[offset + 1] = UInt8(value & 0xFF)
    }
  }

  // MARK: How it is sent

  /// Sent later. Over UDP other queries are answered meanwhile; over TCP only those of other connections.
  package func delayed(_ delay: Duration) -> Self { with { $0.delay = delay } }

  /// As somebody sends it who guessed all but the server's port. UDP only.
  package func fromAnotherPort() -> Self { with { $0.isFromAnotherPort = true } }

  package func framed(_ framing: ProgrammableDNSServer.Framing) -> Self { with { $0.framing = framing } }

  // MARK: What it says

  /// The TC bit: ask again over TCP.
  package func truncated() -> Self { with { if $0.bytes.count > 2 { $0.bytes[2] |= 0x02 } } }

  package func withID(_ id: UInt16) -> Self { setting(0, id) }

  /// Lies about how many records there are.
  package func counting(
    questions: UInt16? = nil, answers: UInt16? = nil, authority: UInt16? = nil, additional: UInt16? = nil
  ) -> Self {
    var reply = self
    for (offset, count) in [(4, questions), (6, answers), (8, authority), (10, additional)] {
      if let count { reply = reply.setting(offset, count) }
    }
    return reply
  }

  /// Ends early, in the middle of whatever is there.
  package func cut(to length: Int) -> Self { with { $0.bytes = Array($0.bytes.prefix(length)) } }

  /// Grows by bytes that belong to nothing.
  package func padded(to length: Int) -> Self {
    with { $0.bytes += [UInt8](repeating: 0, count: max(0, length - $0.bytes.count)) }
  }
}
