import Model
import NIOCore
import NIOPosix

/// One member's way of being asked. Lives on the event loop it was made for.
///
/// A new kind of probe is a class that conforms to this and a line in `makeProber`; when to probe, timeouts, reports and
/// statistics are not its business.
protocol Prober: AnyObject {
  /// Begins one probe; it ends with one `passed` or `failed`, unless `timeOut` or `stop` is called first.
  /// Not called again before the probe has ended.
  func begin()
  /// The probe's time is over: drops it, with whatever connection it used, and says what it was waiting for.
  func timeOut(after timeout: Duration) -> ProbeFailure
  /// Closes everything; no events from now on.
  func stop()
  /// Between probes: whether there is anything that the next one needs. If not, the next one gets a new prober.
  var keepsSession: Bool { get }
}

extension Prober {
  var keepsSession: Bool { false }
}

enum ProberEvent: Hashable, Sendable {
  case passed(Role?, Replication?)
  /// `sessionEnded`: the kept session broke while it was being asked.
  case failed(ProbeFailure, sessionEnded: Bool)
  /// The kept session broke while nothing was asked of it.
  case sessionEnded(ProbeFailure)
  /// The kept session was ended in good order while nothing was asked of it, as servers do with those that are idle: no
  /// verdict, but worth asking again at once.
  case sessionClosed
}

/// `hashing`: for what would hold up the loop. `connector`: for what needs a connection and no channel. `isForOneProbe`: it need not
/// keep a connection for the next.
func makeProber(
  for target: ProbeTarget, on loop: any EventLoop, hashing: NIOThreadPool, connector: Connector, isForOneProbe: Bool = false,
  onEvent: @escaping (ProberEvent) -> Void
) -> any Prober {
  switch target.check.kind {
  case .tcp:
    let wantsSentinel = !isForOneProbe && target.check.wantsSentinel
    return TCPProber(address: target.address, wantsSentinel: wantsSentinel, connector: connector, onEvent: onEvent)
  case .tls(let check):
    return TLSProber(check: check, address: target.address, header: target.check.proxyProtocol, loop: loop, onEvent: onEvent)
  case .http(let check):
    let isKept = !isForOneProbe && target.check.interval <= HTTPConnectionSeats.longestInterval
    return HTTPProber(
      check: check, address: target.address, header: target.check.proxyProtocol, loop: loop,
      keptIn: isKept ? HTTPConnectionSeats.shared : nil, onEvent: onEvent)
  case .postgres(let check):
    return PostgresProber(
      check: check, address: target.address, header: target.check.proxyProtocol, loop: loop, hashing: hashing, onEvent: onEvent)
  case .mysql(let check):
    let isPrivate = if case .unix = target.address { true } else { false }
    return SessionProber(address: target.address, header: target.check.proxyProtocol, loop: loop, onEvent: onEvent) { mayEncrypt in
      MySQLConversation(check, link: isPrivate ? .local : mayEncrypt ? .open : .openWithoutTLS)
    }
  case .redis(let check):
    return SessionProber(address: target.address, header: target.check.proxyProtocol, loop: loop, onEvent: onEvent) { _ in
      RedisConversation(check)
    }
  case .exec(let check):
    return ExecProber(check: check, address: target.address, loop: loop, onEvent: onEvent)
  case .criteria(let criteria):
    return CriteriaProber(criteria, target: target, loop: loop, onEvent: onEvent) { part, onEvent in
      makeProber(for: part, on: loop, hashing: hashing, connector: connector, onEvent: onEvent)
    }
  }
}
