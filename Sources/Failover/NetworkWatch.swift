import Model

/// "Is it me?": when most backends that answered fall silent before any of them answers again, this host is a likelier cause than all
/// of them.
///
/// The intuition: a network that works brings an answer from somebody every few milliseconds, and a refusal, a reset or an error is an
/// answer like any other. So silences are counted from one answer to the next. A backend or a host that dies while others answer never
/// makes it to the majority; where it is close, the candidate is asked out of turn, and its answer ends the doubt within a round trip.
///
/// While this host is suspected, automatic changes of primary are frozen and sessions of silent members are not reset. The first answer
/// ends it. Members that had fallen silent then have the time they need to come back before silence counts against them: else whoever
/// is probed first after an outage of this host would take the primary's place.
///
/// Members on this host itself are not watched: they say nothing about the network. Silence of name servers is no evidence either:
/// resolvers fail by themselves far oftener than hosts do.
///
/// Counters only: an event costs the same however many members there are; the beginning and the end of a suspicion cost what the groups
/// with silent members cost.
struct NetworkWatch: Hashable, Sendable {
  /// One that falls silent is a backend that died. Two at once are a pattern where nobody else answers.
  private static let fewestSilent = 2

  /// Members whose last probe was answered.
  var answering = 0
  /// Members that answered and fell silent since the last answer of anybody.
  private var fallen = 0
  /// Number of this run of silences.
  private var run: UInt16 = 0
  private(set) var suspicion = NetworkSuspicion()
  /// Slots of the groups that a suspicion is about.
  var affected: Set<Int> = []

  /// Nobody has fallen silent since the last answer: another answer is no news.
  var isQuiet: Bool { fallen == 0 }

  /// A member that had answered was silent. `answering` is without it by now.
  ///
  /// - Returns: the number of the run it fell in, and whether this host is suspected since just now.
  mutating func fell(in slot: Int) -> (run: UInt16, begins: Bool) {
    if fallen == 0 { run = run == .max ? 1 : run + 1 }
    fallen += 1
    affected.insert(slot)
    let begins = !suspicion.holds && fallen >= Self.fewestSilent && fallen > answering
    if begins { suspicion = NetworkSuspicion(run: run, silent: fallen, of: fallen + answering) }
    return (run, begins)
  }

  /// - Returns: the slots to look at again, because this host is not suspected any more.
  mutating func answered(now: Instant) -> Set<Int> {
    if fallen == 0 { return [] }
    fallen = 0
    defer { affected = [] }
    if !suspicion.holds { return [] }
    suspicion.ended = now
    return affected
  }
}

/// The last suspicion against this host's network, as the groups have it.
struct NetworkSuspicion: Hashable, Sendable {
  /// Which run of silences it is about; 0: there was none.
  var run: UInt16 = 0
  var silent = 0
  var of = 0
  /// When somebody answered again.
  var ended: Instant?

  var holds: Bool { run != 0 && ended == nil }
}

/// What one member's probes say about the network.
struct Reach: Hashable, Sendable {
  enum State: UInt8, Hashable, Sendable {
    case unheard, answering, silent
  }

  var state = State.unheard
  /// The run of silences in which it last fell silent.
  var run: UInt16 = 0
}

extension ProbeOutcome {
  /// Nobody answered. A refused or reset connection is an answer: the network works.
  var isSilence: Bool {
    switch self {
    case .passed: false
    case .failed(let failure): failure.kind.isSilence
    }
  }
}

extension ProbeFailure.Kind {
  var isSilence: Bool {
    switch self {
    case .timedOut, .unreachable, .local: true
    case .refused, .reset, .closed, .badResponse, .protocolError, .authentication: false
    }
  }
}

extension SocketAddress {
  /// No network lies between.
  var isOnThisHost: Bool {
    switch self {
    case .unix: true
    case .ip(.v4(let number), _): number >> 24 == 127
    case .ip(.v6(let number), _): number.number == 1 || number.number >> 24 == 0xffff_7f
    }
  }
}
