import CLinux
import Glibc
import Model

@testable import Proxy

/// Both ends of many connections through a proxy, moved by one thread with one epoll.
///
/// A client begins with its key, four bytes, so that the server's end of the connection knows what to expect and what to answer;
/// the rest of both directions is a `KeyedStream`, sent and taken in pieces of random size. Every byte is checked where it arrives.
final class Crowd {
  /// How large the pieces are that one end sends and takes.
  struct Manner {
    var write = 1...100_000
    var read = 1...100_000
    /// A small one makes a slow reader felt on the other side of the proxy soon.
    var receiveBuffer: Int32?

    /// One byte at a time.
    static let slices = Manner(write: 1...1, read: 1...1)
    static let slow = Manner(write: 1...3000, read: 1...3000, receiveBuffer: 8192)
  }

  enum Ending {
    /// Each end ends its stream after its last byte.
    case inGoodOrder
    /// One end has sent and received everything, and resets; the other one waits for it.
    case clientResets, serverResets
  }

  struct Plan {
    var toServer: Int
    var toClient: Int
    var client = Manner()
    var server = Manner()
    var ending = Ending.inGoodOrder
  }

  private struct End {
    let descriptor: Int32
    let isClient: Bool
    /// Number of the plan. A server's end learns it from the first bytes.
    var key: Int?
    /// Bytes of the keyed stream; the header is counted below zero.
    var sent: Int
    var received: Int
    var header: UInt32
    var isConnected: Bool
    var hasEndedSending = false
    var sawEnd = false
    var interest: UInt32
  }

  private static let headerSize = 4
  private static let scratchSize = 1 << 17

  let address: SocketAddress
  /// What went wrong. The first fault ends a run.
  private(set) var faults: [String] = []
  private(set) var endsLeft = 0
  private let plans: [Plan]
  private let listener: Int32
  private let epoll: Int32
  private let events: UnsafeMutableRawPointer
  private let scratch = UnsafeMutableRawPointer.allocate(byteCount: Crowd.scratchSize, alignment: 16)
  private var ends: [Int: End] = [:]
  private var nextNumber = 1
  private var generator: SeededGenerator
  private static let eventsPerWait = 256

  init(_ plans: [Plan], seed: UInt64 = 1) {
    self.plans = plans
    generator = SeededGenerator(seed: seed)
    (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 4096)
    _ = fcntl(listener, F_SETFL, O_NONBLOCK)
    epoll = leba_epoll_create()
    events = .allocate(byteCount: Self.eventsPerWait * leba_epoll_event_size(), alignment: 16)
    _ = leba_epoll_add(epoll, listener, LEBA_EPOLL_IN, 0)
  }

  deinit {
    for end in ends.values { close(end.descriptor) }
    close(listener)
    close(epoll)
    events.deallocate()
    scratch.deallocate()
  }

  /// Opens the connections of these plans all at once and moves their bytes until all have ended. False when they do not within the
  /// deadline.
  func run(_ keys: Range<Int>, through front: SocketAddress, within seconds: Double = 60) -> Bool {
    guard let front = KernelAddress(front) else { return false }
    endsLeft += 2 * keys.count
    for key in keys { connect(key, to: front) }
    let deadline = leba_monotonic_ns() + Int64(seconds * 1e9)
    while endsLeft > 0, faults.isEmpty {
      guard leba_monotonic_ns() < deadline else {
        fault("\(endsLeft) ends have not ended: \(ends.values.prefix(3))")
        break
      }
      let count = leba_epoll_wait(epoll, events, Int32(Self.eventsPerWait), 100)
      for index in 0..<max(0, count) {
        let number = Int(leba_epoll_data(events, index))
        if number == 0 { acceptAll() } else { turn(number, leba_epoll_events(events, index)) }
      }
    }
    return endsLeft == 0 && faults.isEmpty
  }

  private func fault(_ text: String) { faults.append(text) }

  // MARK: Opening

  private func connect(_ key: Int, to front: KernelAddress) {
    let descriptor = leba_stream_socket(front.family)
    guard descriptor >= 0 else { return fault("socket: \(errorText(-descriptor))") }
    if let size = plans[key].client.receiveBuffer { _ = leba_set_option(descriptor, SOL_SOCKET, SO_RCVBUF, size) }
    let status = front.withSockaddr { leba_connect(descriptor, $0, front.length) }
    guard status == 0 || status == -EINPROGRESS else { return fault("connect: \(errorText(-status))") }
    add(
      End(
        descriptor: descriptor, isClient: true, key: key, sent: -Self.headerSize, received: 0, header: UInt32(key).littleEndian,
        isConnected: status == 0, interest: LEBA_EPOLL_IN | LEBA_EPOLL_OUT))
  }

  private func acceptAll() {
    while true {
      let descriptor = leba_accept(listener)
      guard descriptor >= 0 else { return }
      add(
        End(
          descriptor: descriptor, isClient: false, key: nil, sent: 0, received: -Self.headerSize, header: 0, isConnected: true,
          interest: LEBA_EPOLL_IN))
    }
  }

  private func add(_ end: End) {
    _ = leba_set_option(end.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    _ = leba_epoll_add(epoll, end.descriptor, end.interest, UInt64(nextNumber))
    ends[nextNumber] = end
    nextNumber += 1
  }

  // MARK: Moving

  private func turn(_ number: Int, _ mask: UInt32) {
    guard var end = ends[number] else { return }
    if !end.isConnected {
      let error = leba_socket_error(end.descriptor)
      guard error == 0 else { return give(up: number, end, "connect: \(errorText(error))") }
      end.isConnected = true
    }
    if mask & ~LEBA_EPOLL_OUT != 0, !end.sawEnd {
      let count = receive(&end)
      if count == 0 {
        end.sawEnd = true
        if !mayEnd(end) { return give(up: number, end, "an end after \(end.received) bytes") }
      } else if count < 0, count != -Int(EAGAIN) {
        return isResetByPeer(end) ? finish(number, end) : give(up: number, end, errorText(Int32(-count)))
      }
    }
    if mask & LEBA_EPOLL_OUT != 0, wantsToSend(end) {
      let count = send(&end)
      if count < 0, count != -Int(EAGAIN) {
        return isResetByPeer(end) ? finish(number, end) : give(up: number, end, "sending: \(errorText(Int32(-count)))")
      }
    }
    settle(number, end)
  }

  /// What comes after the bytes.
  private func settle(_ number: Int, _ settled: End) {
    var end = settled
    if let plan = plan(of: end), !wantsToSend(end) {
      switch (plan.ending, end.isClient) {
      case (.inGoodOrder, _):
        if !end.hasEndedSending { shutdown(end.descriptor, Int32(SHUT_WR)) }
        end.hasEndedSending = true
        if end.sawEnd { return finish(number, end) }
      case (.clientResets, true), (.serverResets, false):
        if end.received == expected(end, plan) { return finish(number, end, reset: true) }
      case (.clientResets, false), (.serverResets, true): break
      }
    }
    let interest = (end.sawEnd ? 0 : LEBA_EPOLL_IN) | (wantsToSend(end) ? LEBA_EPOLL_OUT : 0)
    if interest != end.interest { _ = leba_epoll_change(epoll, end.descriptor, interest, UInt64(number)) }
    end.interest = interest
    ends[number] = end
  }

  private func receive(_ end: inout End) -> Int {
    let manner = plan(of: end).map { end.isClient ? $0.client : $0.server } ?? Manner()
    let limit = end.received < 0 ? -end.received : min(Int.random(in: manner.read, using: &generator), Self.scratchSize)
    let count = leba_receive(end.descriptor, scratch, limit)
    guard count > 0 else { return count }
    if end.received < 0 {
      for byte in UnsafeRawBufferPointer(start: scratch, count: count) {
        end.header |= UInt32(byte) << (8 * UInt32(Self.headerSize + end.received))
        end.received += 1
      }
      if end.received == 0 { learnKey(&end) }
      return count
    }
    guard let key = end.key else { return count }
    let isRight = KeyedStream.withBytes(key, end.isClient ? .toClient : .toServer, from: end.received) {
      memcmp($0, scratch, count) == 0
    }
    if !isRight { fault("connection \(key) got wrong bytes between \(end.received) and \(end.received + count)") }
    end.received += count
    return count
  }

  private func learnKey(_ end: inout End) {
    guard plans.indices.contains(Int(end.header)) else { return fault("a header says \(end.header)") }
    end.key = Int(end.header)
    if let size = plans[Int(end.header)].server.receiveBuffer {
      _ = leba_set_option(end.descriptor, SOL_SOCKET, SO_RCVBUF, size)
    }
  }

  private func send(_ end: inout End) -> Int {
    guard let key = end.key else { return 0 }
    let plan = plans[key]
    let count: Int
    if end.sent < 0 {
      count = withUnsafeBytes(of: end.header) {
        leba_send(end.descriptor, $0.baseAddress.map { $0 + Self.headerSize + end.sent }, -end.sent)
      }
    } else {
      let total = end.isClient ? plan.toServer : plan.toClient
      let piece = min(total - end.sent, Int.random(in: end.isClient ? plan.client.write : plan.server.write, using: &generator))
      count = KeyedStream.withBytes(key, end.isClient ? .toServer : .toClient, from: end.sent) {
        leba_send(end.descriptor, $0, piece)
      }
    }
    if count > 0 { end.sent += count }
    return count
  }

  private func plan(of end: End) -> Plan? { end.key.map { plans[$0] } }

  private func wantsToSend(_ end: End) -> Bool {
    guard let plan = plan(of: end) else { return false }
    return end.sent < (end.isClient ? plan.toServer : plan.toClient)
  }

  private func expected(_ end: End, _ plan: Plan) -> Int { end.isClient ? plan.toClient : plan.toServer }

  private func mayEnd(_ end: End) -> Bool {
    plan(of: end).map { $0.ending == .inGoodOrder && end.received == expected(end, $0) } ?? false
  }

  private func isResetByPeer(_ end: End) -> Bool {
    switch plan(of: end)?.ending {
    case .clientResets: !end.isClient
    case .serverResets: end.isClient
    case .inGoodOrder, nil: false
    }
  }

  // MARK: Closing

  private func give(up number: Int, _ end: End, _ what: String) {
    fault("\(end.isClient ? "client" : "server") of connection \(end.key.map(String.init) ?? "?"): \(what)")
    finish(number, end)
  }

  private func finish(_ number: Int, _ end: End, reset: Bool = false) {
    if reset { leba_close_with_reset(end.descriptor) } else { close(end.descriptor) }
    ends[number] = nil
    endsLeft -= 1
  }
}
