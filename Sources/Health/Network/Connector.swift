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
/// What is near, this host's own servers above all, has answered before `connect(2)` returns; its plain probes are over at once, and nobody watches their
/// sockets. Any other connection has a slot until it is closed or undone.
///
/// Lives on one event loop.
final class Connector {
  /// A connection; means nothing once it has been closed or undone.
  struct Ticket: Equatable {
    fileprivate let slot: UInt32
    fileprivate let use: UInt32
  }

  /// Whom to tell what becomes of a connection.
  private enum Owner {
    case prober(any ConnectionOwner)
    /// Whose plain probe it is: it is undone as soon as it is open.
    case member(ProbeSchedule.Number)
  }

  /// Which source ports a connect may have.
  enum SourcePorts {
    case any
    /// Not those that ordinary connects have: of these the server may remember some, for a minute after it closed a connection (TIME_WAIT). With
    /// nobody listening any more its kernel answers them with an acknowledgement instead of a refusal, and the refusal comes only after our kernel
    /// has tried again, two timer ticks later.
    case apart
  }

  /// How often somebody is woken for news.
  private enum Attention {
    case none, asked
    /// News has just been heard. What comes within a moment is heard together: thousands of answers a second are not as many wake-ups.
    case resting
  }

  private struct Connecting {
    let descriptor: CInt
    let family: CInt
    /// The server has answered.
    let isOpen: Bool
  }

  private struct Slot {
    var descriptor: CInt = -1
    var family: CInt = 0
    /// Sets apart tickets, and what the kernel says, of connections that had this slot before.
    var use: UInt32 = 0
    var isOpen = false
    /// Nil: vacant.
    var owner: Owner?
  }

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
  private var unconnected = UnconnectedSockets()
  private var isHarvesting = false
  private var watch: EpollWatch?
  private var attention = Attention.none
  private lazy var presence = Presence(of: self)
  /// It is time for `harvest`.
  var onNews: () -> Void = {}

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
    for slot in slots where slot.owner != nil { Glibc.close(slot.descriptor) }
    if epoll >= 0 { Glibc.close(epoll) }
    events.deallocate()
  }

  /// Nothing is told before this has returned.
  func connect(
    to address: Model.SocketAddress, from ports: SourcePorts = .any, for prober: any ConnectionOwner
  ) throws(ProbeFailure) -> Ticket {
    let ticket = try watch(try start(address, ports), for: .prober(prober))
    expectNews()
    return ticket
  }

  /// A plain probe. Nil: it has passed already. If not, `harvest` tells its end; `expectNews` is to follow when all that begin now have begun.
  func probe(
    _ address: Model.SocketAddress, from ports: SourcePorts = .any, of member: ProbeSchedule.Number
  ) throws(ProbeFailure) -> Ticket? {
    let connecting = try start(address, ports)
    guard connecting.isOpen else { return try watch(connecting, for: .member(member)) }
    unconnected.putBack(connecting.descriptor, connecting.family)
    return nil
  }

  /// Of a connection that is open: undoes it, as if nothing had happened.
  func undo(_ ticket: Ticket) {
    guard let number = slot(ticket) else { return }
    recycle(number)
  }

  /// In good order.
  func close(_ ticket: Ticket) {
    guard let number = slot(ticket) else { return }
    Glibc.close(slots[number].descriptor)
    vacate(number)
  }

  /// Lets the server's program see the connection, at once and not with the first byte.
  func keep(_ ticket: Ticket) {
    guard let number = slot(ticket) else { return }
    _ = leba_set_option(slots[number].descriptor, Int32(IPPROTO_TCP), TCP_QUICKACK, 1)
  }

  /// Has `onNews` called, if there is anything to come.
  func expectNews() {
    guard attention == .none, slots.count > vacant.count else { return }
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
      guard count > 0 else { return }
      let now = Instant.now
      for index in 0..<count { happened(leba_epoll_events(events, index), to: leba_epoll_data(events, index), at: now, tell) }
    }
  }

  private func slot(_ ticket: Ticket) -> Int? {
    let number = Int(ticket.slot)
    return number < slots.count && slots[number].use == ticket.use && slots[number].owner != nil ? number : nil
  }

  private func start(_ address: Model.SocketAddress, _ ports: SourcePorts) throws(ProbeFailure) -> Connecting {
    guard epoll >= 0, watch != nil else { throw ProbeFailure(.local, "no epoll on this host") }
    guard let result = address.withKernelAddress({ family, name, length in start(family, name, length, ports) }) else {
      throw ProbeFailure(.local, "not an address: \(printable(address.description))")
    }
    return try result.get()
  }

  private func start(
    _ family: CInt, _ name: UnsafeRawPointer, _ length: UInt32, _ ports: SourcePorts
  ) -> Result<Connecting, ProbeFailure> {
    let descriptor = unconnected.take(family)
    guard descriptor >= 0 else { return .failure(ProbeFailure(errno: -descriptor)) }
    // Undone with the connect. Where no port is left there may still be one towards this server.
    if ports == .apart, family != AF_UNIX { _ = leba_bind_any_port(descriptor, family) }
    var result = leba_connect(descriptor, name, length)
    // The same call once more says how the first one goes, for less than it costs to have the socket watched.
    if result == -EINPROGRESS { result = leba_connect(descriptor, name, length) }
    guard result == 0 || result == -EALREADY else {
      unconnected.putBack(descriptor, family)
      return .failure(ProbeFailure(errno: -result))
    }
    return .success(Connecting(descriptor: descriptor, family: family, isOpen: result == 0))
  }

  private func watch(_ connecting: Connecting, for owner: Owner) throws(ProbeFailure) -> Ticket {
    let number = vacant.popLast() ?? UInt32(slots.count)
    if Int(number) == slots.count { slots.append(Slot()) }
    let index = Int(number)
    let ticket = Ticket(slot: number, use: slots[index].use)
    slots[index].descriptor = connecting.descriptor
    slots[index].family = connecting.family
    slots[index].isOpen = false
    slots[index].owner = owner
    // What has happened already is news, too.
    let result = leba_epoll_add(epoll, connecting.descriptor, Self.everything, UInt64(ticket.use) << 32 | UInt64(number))
    guard result == 0 else {
      recycle(index)
      throw ProbeFailure(errno: -result)
    }
    return ticket
  }

  private func happened(
    _ mask: UInt32, to data: UInt64, at now: Instant, _ tell: (ProbeSchedule.Number, ProbeFailure?, Instant) -> Void
  ) {
    let ticket = Ticket(slot: UInt32(truncatingIfNeeded: data), use: UInt32(data >> 32))
    guard let number = slot(ticket), let owner = slots[number].owner else { return }
    let hasEnded = mask & (LEBA_EPOLL_RDHUP | LEBA_EPOLL_HUP | LEBA_EPOLL_ERR) != 0
    if slots[number].isOpen {
      if hasEnded { end(number, at: now, tell) }
      return
    }
    guard mask & (LEBA_EPOLL_ERR | LEBA_EPOLL_HUP) == 0 else { return end(number, at: now, tell) }
    switch owner {
    case .member(let member):
      recycle(number)
      tell(member, nil, now)
    case .prober(let prober):
      slots[number].isOpen = true
      prober.connectionOpened(ticket)
      // Hung up already: told as two events.
      if hasEnded, slot(ticket) != nil { end(number, at: now, tell) }
    }
  }

  private func end(_ number: Int, at now: Instant, _ tell: (ProbeSchedule.Number, ProbeFailure?, Instant) -> Void) {
    let error = leba_socket_error(slots[number].descriptor)
    let failure = error == 0 ? ProbeFailure.connectionClosed : ProbeFailure(errno: error)
    let (owner, ticket) = (slots[number].owner, Ticket(slot: UInt32(number), use: slots[number].use))
    recycle(number)
    switch owner {
    case .member(let member): tell(member, failure, now)
    case .prober(let prober): prober.connectionEnded(ticket, failure)
    case nil: break
    }
  }

  private func recycle(_ number: Int) {
    leba_epoll_remove(epoll, slots[number].descriptor)
    unconnected.putBack(slots[number].descriptor, slots[number].family)
    vacate(number)
  }

  private func vacate(_ number: Int) {
    slots[number].owner = nil
    slots[number].use &+= 1
    vacant.append(UInt32(number))
  }
}

/// The watch may outlive the connector by a moment.
private struct WeakConnector {
  weak var presence: Presence<Connector>?
}
