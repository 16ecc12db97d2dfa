import Model

/// The two sockets of a session.
enum Side: UInt32, BitwiseCopyable {
  case client = 0
  case upstream = 1

  var other: Side { self == .client ? .upstream : .client }
}

/// One accepted connection and what has become of it. A plain value in a slab: two sockets, two flows, and the links of the lists it is in.
///
/// ```
/// waitingForFirstByte ──► connecting ◄──► held
///          │                  │  ▲         │
///          │                  ▼  │ reset before a byte went either way
///          │               relaying        │
///          └──────────► closing ◄──────────┘      every phase may also go straight to free
/// ```
struct Session: BitwiseCopyable {
  enum Phase: UInt8, BitwiseCopyable {
    case free
    /// The client of a protocol in which it speaks first has not spoken: it costs no upstream connection.
    case waitingForFirstByte
    /// A try at one backend is running.
    case connecting
    /// Nobody could serve it yet; it stands in its route's queue.
    case held
    case relaying
    /// Our decision to end: the client has been sent our end of stream, and what it still says is read and dropped, because a
    /// close over unread bytes is a reset.
    case closing
  }

  var phase: Phase = .free
  /// How it will be counted once it is free. Set when it begins to end.
  var outcome: Outcome = .completed
  /// The last bytes that moved came from the client: an answer is being waited for, as far as bytes can tell.
  var awaitsAnswer = false
  /// A byte went to the backend, or came from it: from here on another backend could only get half a conversation.
  var isCommitted = false
  /// The client ended its stream while nobody was reading it.
  var clientHungUp = false
  /// The upstream refused bytes for good, with an error that a receive will not see again.
  var upstreamBroke = false
  var clientIsOpen = false
  var upstreamIsOpen = false
  /// A session has two slots for upstream sockets, and this is the second one: a hedge was faster.
  var upstreamIsSecond = false
  /// Connected; the header of the PROXY protocol is on its way, and nothing may go before it.
  var isIntroducing = false
  /// Connected to a backend that is mistrusted: nothing may go to it yet.
  var waitsForTrust = false
  /// How much of the header was sent, and of which kind it is.
  var headerSent: UInt8 = 0
  var header: ProxyProtocol?
  /// It stood in a queue for the connection it waits for.
  var wasHeld = false

  var clientGeneration: UInt32 = 0
  var upstreamGeneration: UInt32 = 0
  var listener: Int32 = -1
  /// The backend it is connected or connecting to.
  var backend = Int32.noSlot
  /// Where a second connect is on its way to.
  var hedge = Int32.noSlot

  var toUpstream = Flow()
  var toClient = Flow()

  /// When it began to wait for a backend: what `hold_timeout` is measured from, however many tries it makes.
  var waitingSince: Instant = .zero
  var lastActivity: Instant = .zero
  var acceptedAt: Instant = .zero
  var hedgedAt: Instant = .zero
  /// When the newest measurement of the backend's latency began: the connect, or the first byte of a client to whom no answer was owed.
  var askedAt: Instant = .zero
  /// Of the client's address, where the balance looked at it when it came.
  var clientHash = StableHash.noAddress
  /// The number of the failover that its backend was lost in, 0 for none.
  var staleSince: UInt32 = 0
  var tried = TriedBackends()

  /// Neighbours among the sessions of the same backend.
  var backendLinks = Links()
  /// Neighbours in a hold queue; the slab threads its free list through it too.
  var holdLinks = Links()

  subscript(kind: SessionList.Kind) -> Links {
    get {
      switch kind {
      case .backend: backendLinks
      case .hold: holdLinks
      }
    }
    set {
      switch kind {
      case .backend: backendLinks = newValue
      case .hold: holdLinks = newValue
      }
    }
  }

  subscript(flowFrom side: Side) -> Flow {
    get { side == .client ? toUpstream : toClient }
    set { if side == .client { toUpstream = newValue } else { toClient = newValue } }
  }

  var hasUpstream: Bool { backend != .noSlot }

  var bytesPending: Bool { toUpstream.state == .sending || toClient.state == .sending }
}

/// The backends that one round of tries has asked. Bounded: after this many refusals a pause is better than another try.
struct TriedBackends: BitwiseCopyable {
  static let limit = 8
  private var numbers = InlineArray<8, Int32>(repeating: -1)
  private(set) var count = 0

  var isFull: Bool { count == Self.limit }

  func contains(_ backend: Int32) -> Bool {
    for i in 0..<count where numbers[i] == backend { return true }
    return false
  }

  mutating func insert(_ backend: Int32) {
    guard !isFull else { return }
    numbers[count] = backend
    count += 1
  }
}
