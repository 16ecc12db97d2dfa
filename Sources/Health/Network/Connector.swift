import CLinux
import Glibc
import Model
import NIOCore

/// Whoever asked for a connection. Lives on the connector's event loop.
protocol ConnectionOwner: AnyObject {
  func connectionOpened(_ connection: Connector.Ticket)
  /// The last event: it could not be opened, or has ended.
  func connectionEnded(_ connection: Connector.Ticket, _ failure: ProbeFailure)
}

/// Connects for probes that need nothing but a connect, without a channel: three system calls for a probe of a TCP port.
///
/// A probe's connection is undone by a reset, and its acknowledgement of the server's SYN-ACK is withheld until then: the server's
/// kernel answers, and its program never hears of it (TCP_DEFER_ACCEPT, which a connecting socket has too, and keeps). No line in its log, no
/// slot taken, nothing to accept. A close in good order would cost
/// both sides more than twice the CPU, leave each of us a TIME_WAIT for a minute (at 17 000 probes a second a million of them, of 131 072 that
/// the kernel keeps) and firewalls an entry for two; a reset after a complete handshake is written to logs by some servers (Postgres). HAProxy has
/// probed like this for many years. The socket then connects anew: `connect(2)` to AF_UNSPEC undoes a TCP connect.
///
/// Lives on one event loop. Its descriptors are in its slots, and each is closed by `vacate` alone.
final class Connector {
  /// A connection; means nothing once it has been closed or undone.
  struct Ticket: Equatable {
    fileprivate let slot: UInt32
    fileprivate let use: UInt32
  }

  /// Whom to tell what becomes of a connection.
  enum Owner {
    case prober(any ConnectionOwner)
    /// Whose plain probe it is: it is undone as soon as it is open.
    case member(ProbeSchedule.Number)
  }

  /// How often somebody is woken for news.
  private enum Attention {
    case none, asked
    /// News has just been heard. What comes within a moment is heard together: thousands of answers a second are not as many wake-ups.
    case resting
  }

  private enum Phase {
    case vacant
    /// Unconnected, for the next who asks.
    case pooled
    case connecting
    case open
  }

  private struct Slot {
    var descriptor: CInt = -1
    var phase = Phase.vacant
    /// Set apart what the kernel says of descriptors that came before in this slot.
    var generation: UInt32 = 0
    /// Set apart tickets.
    var use: UInt32 = 0
    var family: CInt = 0
    var owner: Owner?
  }

  /// As many as a large plan has in flight where answers take ten milliseconds.
  private static let pooledPerFamily = 256
  private static let rest = TimeAmount.milliseconds(1)
  /// A descriptor here and a slot there each.
  private static let maximumSentinels = 2000
  private static let eventsAtOnce = 256
  private static let everything = LEBA_EPOLL_IN | LEBA_EPOLL_OUT | LEBA_EPOLL_RDHUP | LEBA_EPOLL_EDGE

  let seats = SentinelSeats(count: maximumSentinels)
  private let epoll = leba_epoll_create()
  private let events = UnsafeMutableRawPointer.allocate(byteCount: leba_epoll_event_size() * eventsAtOnce, alignment: 16)
  private var slots: [Slot] = []
  private var vacant: [UInt32] = []
  private var pools: (v4: [UInt32], v6: [UInt32]) = ([], [])
  /// Slots with an owner.
  private var used = 0
  private var isHarvesting = false
  private var watch: EpollWatch?
  private var attention = Attention.none
  private lazy var presence = Presence(of: self)
  /// It is time for `harvest`.
  var onNews: () -> Void = {}
  /// Why there was no new socket.
  private var lastError: CInt = 0

  init(loop: any EventLoop) {
    let bound = NIOLoopBound(WeakConnector(presence: presence), eventLoop: loop)
    watch = EpollWatch(of: epoll) {
      loop.execute {
        guard let connector = bound.value.presence?.owner else { return }
        connector.attention = .resting
        connector.onNews()
        loop.assumeIsolated().scheduleTask(in: Self.rest) {
          guard let connector = bound.value.presence?.owner else { return }
          connector.attention = .none
          connector.expectNews()
        }
      }
    }
  }

  deinit {
    watch?.end()
    for slot in slots where slot.descriptor >= 0 { Glibc.close(slot.descriptor) }
    if epoll >= 0 { Glibc.close(epoll) }
    events.deallocate()
  }

  /// Nothing is told before this has returned. For a member, `expectNews` is to follow when all that begin now have begun, and were harvested
  /// once: what is near has answered by then.
  func connect(to address: Model.SocketAddress, for owner: Owner) throws(ProbeFailure) -> Ticket {
    guard epoll >= 0, watch != nil else { throw ProbeFailure(.local, "no epoll on this host") }
    guard let result = address.withKernelAddress({ family, name, length in start(family, name, length, owner) }) else {
      throw ProbeFailure(.local, "not an address: \(printable(address.description))")
    }
    return try result.get()
  }

  /// Of a connection that is open: undoes it, as if nothing had happened.
  func undo(_ ticket: Ticket) {
    guard let number = slot(ticket) else { return }
    recycle(number)
  }

  /// In good order.
  func close(_ ticket: Ticket) {
    guard let number = slot(ticket) else { return }
    vacate(number)
  }

  /// Lets the server's program see the connection, at once and not with the first byte.
  func keep(_ ticket: Ticket) {
    guard let number = slot(ticket) else { return }
    _ = leba_set_option(slots[number].descriptor, Int32(IPPROTO_TCP), TCP_QUICKACK, 1)
  }

  /// Has `onNews` called, if there is anything to come.
  func expectNews() {
    guard attention == .none, used > 0 else { return }
    attention = .asked
    watch?.ask()
  }

  /// Tells the owners what has happened up to now. `tell`: the probe of that member is over, and has passed where there is no failure.
  func harvest(_ tell: (_ member: ProbeSchedule.Number, _ failure: ProbeFailure?, _ at: Instant) -> Void) {
    // Owners begin new probes, which look for what has happened.
    guard !isHarvesting, epoll >= 0 else { return }
    isHarvesting = true
    defer { isHarvesting = false }
    while true {
      let count = leba_epoll_wait(epoll, events, CInt(Self.eventsAtOnce), 0)
      // Also what undoing connections has caused: it would be news otherwise.
      guard count > 0 else { return }
      let now = Instant.now
      for index in 0..<count { happened(leba_epoll_events(events, index), to: leba_epoll_data(events, index), at: now, tell) }
    }
  }

  private func slot(_ ticket: Ticket) -> Int? {
    let number = Int(ticket.slot)
    return number < slots.count && slots[number].use == ticket.use && slots[number].owner != nil ? number : nil
  }

  private func start(
    _ family: CInt, _ name: UnsafeRawPointer, _ length: UInt32, _ owner: Owner
  ) -> Result<Ticket, ProbeFailure> {
    let reused = family == AF_INET ? pools.v4.popLast() : family == AF_INET6 ? pools.v6.popLast() : nil
    guard let number = reused ?? newSocket(family) else { return .failure(ProbeFailure(errno: lastError)) }
    let index = Int(number)
    let descriptor = slots[index].descriptor
    slots[index].phase = .connecting
    slots[index].use &+= 1
    slots[index].owner = owner
    used += 1
    var result = leba_connect(descriptor, name, length)
    if result == -EINPROGRESS { result = 0 }
    // Not before the connect: the kernel calls a socket that never tried hung up.
    if result == 0, reused == nil {
      result = leba_epoll_add(epoll, descriptor, Self.everything, UInt64(slots[index].generation) << 32 | UInt64(number))
    }
    guard result == 0 else {
      vacate(index)
      return .failure(ProbeFailure(errno: -result))
    }
    if case .prober = owner { expectNews() }
    return .success(Ticket(slot: number, use: slots[index].use))
  }

  private func newSocket(_ family: CInt) -> UInt32? {
    let descriptor = leba_stream_socket(family)
    guard descriptor >= 0 else {
      lastError = -descriptor
      return nil
    }
    if vacant.isEmpty {
      vacant.append(UInt32(slots.count))
      slots.append(Slot())
    }
    guard let number = vacant.popLast() else { return nil }
    if family != AF_UNIX {
      _ = leba_set_option(descriptor, Int32(IPPROTO_TCP), TCP_DEFER_ACCEPT, 1)
      // Nothing is ever sent: the cheapest way to control the congestion, which every kernel has. BBR is set up anew with each connect.
      leba_use_reno(descriptor)
    }
    slots[Int(number)].descriptor = descriptor
    slots[Int(number)].family = family
    return number
  }

  private func happened(
    _ mask: UInt32, to data: UInt64, at now: Instant, _ tell: (ProbeSchedule.Number, ProbeFailure?, Instant) -> Void
  ) {
    let number = Int(data & 0xffff_ffff)
    guard number < slots.count, slots[number].generation == UInt32(data >> 32) else { return }
    let hasEnded = mask & (LEBA_EPOLL_RDHUP | LEBA_EPOLL_HUP | LEBA_EPOLL_ERR) != 0
    switch slots[number].phase {
    case .vacant, .pooled: return
    case .connecting:
      guard mask & (LEBA_EPOLL_ERR | LEBA_EPOLL_HUP) != 0 else {
        switch slots[number].owner {
        case .member(let member):
          recycle(number)
          tell(member, nil, now)
        case .prober(let prober):
          let ticket = Ticket(slot: UInt32(number), use: slots[number].use)
          slots[number].phase = .open
          prober.connectionOpened(ticket)
          // Hung up already: told as two events.
          if hasEnded, slot(ticket) != nil { end(number, .connectionClosed, at: now, tell) }
        case nil: break
        }
        return
      }
      // No error: this is news of the connection before, which was undone since.
      let error = leba_socket_error(slots[number].descriptor)
      if error != 0 { end(number, ProbeFailure(errno: error), at: now, tell) }
    case .open:
      guard hasEnded else { return }
      let error = leba_socket_error(slots[number].descriptor)
      end(number, error == 0 ? .connectionClosed : ProbeFailure(errno: error), at: now, tell)
    }
  }

  private func end(
    _ number: Int, _ failure: ProbeFailure, at now: Instant, _ tell: (ProbeSchedule.Number, ProbeFailure?, Instant) -> Void
  ) {
    let (owner, ticket) = (slots[number].owner, Ticket(slot: UInt32(number), use: slots[number].use))
    recycle(number)
    switch owner {
    case .member(let member): tell(member, failure, now)
    case .prober(let prober): prober.connectionEnded(ticket, failure)
    case nil: break
    }
  }

  private func recycle(_ number: Int) {
    let family = slots[number].family
    let pooled = family == AF_INET ? pools.v4.count : pools.v6.count
    guard family != AF_UNIX, pooled < Self.pooledPerFamily, leba_disconnect(slots[number].descriptor) == 0 else {
      vacate(number)
      return
    }
    used -= 1
    slots[number].owner = nil
    slots[number].phase = .pooled
    if family == AF_INET { pools.v4.append(UInt32(number)) } else { pools.v6.append(UInt32(number)) }
  }

  private func vacate(_ number: Int) {
    used -= 1
    Glibc.close(slots[number].descriptor)
    slots[number].descriptor = -1
    slots[number].owner = nil
    slots[number].phase = .vacant
    slots[number].generation &+= 1
    vacant.append(UInt32(number))
  }
}

/// The watch may outlive the connector by a moment.
private struct WeakConnector {
  weak var presence: Presence<Connector>?
}
