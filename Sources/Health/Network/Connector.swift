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
/// kernel answers, and its program never hears of it. No line in its log, no slot taken, nothing to accept. A close in good order would cost
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
    var owner: (any ConnectionOwner)?
  }

  private static let pooledPerFamily = 64
  /// A descriptor here and a slot there each.
  private static let maximumSentinels = 2000
  private static let eventsAtOnce = 256
  private static let everything = LEBA_EPOLL_IN | LEBA_EPOLL_OUT | LEBA_EPOLL_RDHUP | LEBA_EPOLL_EDGE

  let seats = SentinelSeats(count: maximumSentinels)
  private let epoll = leba_epoll_create()
  private let events = UnsafeMutableRawPointer.allocate(byteCount: leba_epoll_event_size() * eventsAtOnce, alignment: 16)
  private var slots: [Slot] = []
  private var vacant: [UInt32] = []
  private var pools: [CInt: [UInt32]] = [:]
  private var isHarvesting = false
  private var watch: EpollWatch?
  /// Why there was no new socket.
  private var lastError: CInt = 0

  init(loop: any EventLoop) {
    let bound = NIOLoopBound(WeakConnector(connector: self), eventLoop: loop)
    watch = EpollWatch(of: epoll) { again in
      loop.execute {
        guard let connector = bound.value.connector else { return }
        connector.harvest()
        again()
      }
    }
  }

  deinit {
    watch?.end()
    for slot in slots where slot.descriptor >= 0 { Glibc.close(slot.descriptor) }
    if epoll >= 0 { Glibc.close(epoll) }
    events.deallocate()
  }

  /// Nothing is told before this has returned.
  func connect(to address: Model.SocketAddress, for owner: any ConnectionOwner) throws(ProbeFailure) -> Ticket {
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

  /// Tells the owners what has happened up to now.
  func harvest() {
    // Owners begin new probes, which look for what has happened.
    guard !isHarvesting, epoll >= 0 else { return }
    isHarvesting = true
    defer { isHarvesting = false }
    while true {
      let count = leba_epoll_wait(epoll, events, CInt(Self.eventsAtOnce), 0)
      for index in 0..<max(0, count) { happened(leba_epoll_events(events, index), to: leba_epoll_data(events, index)) }
      if count < Self.eventsAtOnce { return }
    }
  }

  private func slot(_ ticket: Ticket) -> Int? {
    let number = Int(ticket.slot)
    return number < slots.count && slots[number].use == ticket.use && slots[number].owner != nil ? number : nil
  }

  private func start(
    _ family: CInt, _ name: UnsafeRawPointer, _ length: UInt32, _ owner: any ConnectionOwner
  ) -> Result<Ticket, ProbeFailure> {
    let reused = pools[family]?.popLast()
    guard let number = reused ?? newSocket(family) else { return .failure(ProbeFailure(errno: lastError)) }
    let index = Int(number)
    let descriptor = slots[index].descriptor
    if family != AF_UNIX { _ = leba_set_option(descriptor, Int32(IPPROTO_TCP), TCP_QUICKACK, 0) }
    slots[index].phase = .connecting
    slots[index].use &+= 1
    slots[index].owner = owner
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
    slots[Int(number)].descriptor = descriptor
    slots[Int(number)].family = family
    return number
  }

  private func happened(_ mask: UInt32, to data: UInt64) {
    let number = Int(data & 0xffff_ffff)
    guard number < slots.count, slots[number].generation == UInt32(data >> 32) else { return }
    let hasEnded = mask & (LEBA_EPOLL_RDHUP | LEBA_EPOLL_HUP | LEBA_EPOLL_ERR) != 0
    switch slots[number].phase {
    case .vacant, .pooled: return
    case .connecting:
      guard mask & (LEBA_EPOLL_ERR | LEBA_EPOLL_HUP) != 0 else {
        let ticket = Ticket(slot: UInt32(number), use: slots[number].use)
        slots[number].phase = .open
        slots[number].owner?.connectionOpened(ticket)
        // Hung up already: told as two events.
        if hasEnded, slot(ticket) != nil { end(number, .connectionClosed) }
        return
      }
      // No error: this is news of the connection before, which was undone since.
      let error = leba_socket_error(slots[number].descriptor)
      if error != 0 { end(number, ProbeFailure(errno: error)) }
    case .open:
      guard hasEnded else { return }
      let error = leba_socket_error(slots[number].descriptor)
      end(number, error == 0 ? .connectionClosed : ProbeFailure(errno: error))
    }
  }

  private func end(_ number: Int, _ failure: ProbeFailure) {
    let (owner, ticket) = (slots[number].owner, Ticket(slot: UInt32(number), use: slots[number].use))
    recycle(number)
    owner?.connectionEnded(ticket, failure)
  }

  private func recycle(_ number: Int) {
    let family = slots[number].family
    guard family != AF_UNIX, leba_disconnect(slots[number].descriptor) == 0,
      pools[family, default: []].count < Self.pooledPerFamily
    else {
      vacate(number)
      return
    }
    slots[number].owner = nil
    slots[number].phase = .pooled
    pools[family, default: []].append(UInt32(number))
  }

  private func vacate(_ number: Int) {
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
  weak var connector: Connector?
}
