import Model

/// A connect that succeeds is a pass. What the server sees of it is told in `Connector`.
///
/// Where it is asked for and probes are frequent, a connection is kept between them as a sentinel: a process that dies ends it at once.
/// But a server may also hang up on a client that says nothing, so its end by itself is no verdict: the server is asked again
/// at once, and if that fails there are two witnesses, a millisecond after the death. If it passes, the server does not like
/// quiet clients, and has none of ours for a while that grows.
final class TCPProber: Prober {
  private struct Sentinel {
    let seat: SentinelSeats.Seat
    var connection: Connector.Ticket?
    /// How the last one ended, while nobody has been told.
    var end: ProbeFailure?
    /// The last while without one, and its end.
    var pause: (length: Duration, end: Instant)?
  }

  static let firstPause = Duration.seconds(10)
  static let longestPause = Duration.seconds(3600)
  /// With rarer probes nobody waits for milliseconds.
  static let longestInterval = Duration.seconds(1)

  private let address: SocketAddress
  private let connector: Connector
  private let wantsSentinel: Bool
  private let onEvent: (ProberEvent) -> Void
  private var probe: Connector.Ticket?
  private var sentinel: Sentinel?

  var keepsSession: Bool { sentinel != nil }

  init(address: SocketAddress, wantsSentinel: Bool, connector: Connector, onEvent: @escaping (ProberEvent) -> Void) {
    self.address = address
    self.connector = connector
    self.wantsSentinel = wantsSentinel
    self.onEvent = onEvent
  }

  func begin() {
    do {
      probe = try connector.connect(to: address, from: sentinel?.end == nil ? .any : .apart, for: self)
    } catch {
      fail(error)
    }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    if let probe { connector.close(probe) }
    probe = nil
    let failure = ProbeFailure.noConnection(within: timeout)
    confirm(failure)
    return failure
  }

  func stop() {
    for connection in [probe, sentinel?.connection] { if let connection { connector.close(connection) } }
    probe = nil
    sentinel = nil
  }

  private func pass(_ connection: Connector.Ticket) {
    forgiveEnd()
    if sentinel == nil, wantsSentinel { sentinel = connector.seats.take().map { Sentinel(seat: $0) } }
    if let sentinel, sentinel.connection == nil, sentinel.pause.map({ $0.end <= .now }) ?? true {
      connector.keep(connection)
      self.sentinel?.connection = connection
    } else {
      connector.undo(connection)
    }
    onEvent(.passed(nil, nil))
  }

  private func fail(_ failure: ProbeFailure) {
    confirm(failure)
    onEvent(.failed(failure, sessionEnded: false))
  }

  /// The sentinel has ended, and the server is well.
  private func forgiveEnd() {
    guard sentinel?.end != nil else { return }
    let length = min(sentinel?.pause.map { $0.length * 2 } ?? Self.firstPause, Self.longestPause)
    sentinel?.end = nil
    sentinel?.pause = (length, .now + length)
  }

  /// A failed probe is the second witness for a sentinel that has ended. One that has not ended may be to a server that fell silent.
  private func confirm(_ failure: ProbeFailure) {
    // It is this host that could not ask.
    if failure.kind == .local { return }
    guard let ended = sentinel else { return }
    if let connection = ended.connection { connector.close(connection) }
    sentinel = ended.pause == nil ? nil : Sentinel(seat: ended.seat, pause: ended.pause)
    if let end = ended.end { onEvent(.sessionEnded(end)) }
  }
}

extension TCPProber: ConnectionOwner {
  func connectionOpened(_ connection: Connector.Ticket) {
    guard connection == probe else { return }
    probe = nil
    pass(connection)
  }

  func connectionEnded(_ connection: Connector.Ticket, _ failure: ProbeFailure) {
    if connection == probe {
      probe = nil
      fail(failure)
    } else if connection == sentinel?.connection {
      sentinel?.connection = nil
      sentinel?.end = failure
      // A probe in flight is answer enough.
      if probe == nil { onEvent(.sessionClosed) }
    }
  }
}

/// How many sentinels there may be: first come, first served. Lives on one event loop.
final class SentinelSeats {
  /// Free again when the last reference goes.
  final class Seat {
    private let seats: SentinelSeats

    fileprivate init(_ seats: SentinelSeats) {
      self.seats = seats
      seats.taken += 1
    }

    deinit { seats.taken -= 1 }
  }

  private let count: Int
  private var taken = 0

  init(count: Int) { self.count = count }

  func take() -> Seat? { taken < count ? Seat(self) : nil }
}
