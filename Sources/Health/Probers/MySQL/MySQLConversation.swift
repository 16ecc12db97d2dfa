import Model
import NIOCore

/// Logs in to a MySQL or MariaDB server and keeps the session, asked again with COM_PING; or, without a user, asks only whether
/// the server takes sessions.
///
/// Without a user it still logs in, as `leba` without a password, and a refusal of that user is a pass. Whoever leaves during the
/// handshake in any other way (FIN, RST, COM_QUIT: measured with MariaDB 10.11) is counted by the server towards
/// `max_connect_errors`, and after that many nobody on this host gets in until FLUSH HOSTS: HAProxy's `mysql-check` without a user,
/// which reads the greeting and hangs up, is documented to end that way. A login that is refused is not counted. It
/// leaves a line in the server's log; a user `leba` without rights (`CREATE USER leba`) spares it that.
struct MySQLConversation: Conversation {
  private enum State {
    case connecting
    case greeting
    case login(MySQLPassword)
    /// The server was given an answer that it must refuse, and this is what will be reported.
    case declined(ProbeFailure)
    case ready
    case pinging
  }

  private enum Capability {
    static let longPassword: UInt32 = 1 << 0
    static let protocol41: UInt32 = 1 << 9
    static let secureConnection: UInt32 = 1 << 15
    static let pluginAuthentication: UInt32 = 1 << 19
  }

  private static let quit: [UInt8] = MySQLPacketReader.packet([0x01], sequence: 0)
  private static let ping: [UInt8] = MySQLPacketReader.packet([0x0e], sequence: 0)

  private let check: MySQLCheck
  private let linkIsPrivate: Bool
  private var state = State.connecting
  private var reader = MySQLPacketReader()

  init(_ check: MySQLCheck, linkIsPrivate: Bool) {
    self.check = check
    self.linkIsPrivate = linkIsPrivate
  }

  var waitingFor: String {
    switch state {
    case .connecting: "connection"
    case .greeting: "greeting"
    case .login, .declined: "answer to the login"
    case .ready, .pinging: "answer to the ping"
    }
  }

  /// Inside the handshake there is no way to say good-bye.
  var farewell: [UInt8]? {
    switch state {
    case .connecting, .greeting, .login, .declined: nil
    case .ready, .pinging: Self.quit
    }
  }

  mutating func connected() -> [ConversationStep] {
    state = .greeting
    return []
  }

  mutating func ask() -> [ConversationStep] {
    state = .pinging
    return [.send(Self.ping)]
  }

  mutating func received(_ bytes: ByteBufferView) -> [ConversationStep] {
    var steps: [ConversationStep] = []
    do throws(ProbeFailure) {
      for packet in try reader.append(bytes) { steps += try received(packet) }
    } catch {
      steps.append(.fail(error))
    }
    return steps
  }

  private mutating func received(_ packet: MySQLPacketReader.Packet) throws(ProbeFailure) -> [ConversationStep] {
    if case .declined(let failure) = state { throw failure }
    if let error = MySQLError(packet.payload) { return try refused(error) }
    switch state {
    case .connecting:
      throw ProbeFailure(.protocolError, "not a MySQL server: it spoke too early")
    case .greeting:
      return [.send(try login(MySQLGreeting(packet.payload), sequence: packet.sequence &+ 1))]
    case .login(let method):
      return try continueLogin(packet, method)
    case .declined(let failure):
      throw failure
    case .pinging where packet.payload.first == 0x00:
      state = .ready
      return [.pass]
    case .ready, .pinging:
      throw ProbeFailure(.protocolError, "not an answer to a MySQL ping")
    }
  }

  private func refused(_ error: MySQLError) throws(ProbeFailure) -> [ConversationStep] {
    if error.isIdleTimeout { return [.idleTooLong] }
    if case .login = state, check.user == nil, error.failure.kind == .authentication, !error.refusesTheHost {
      return [.passAndLeave]
    }
    throw error.failure
  }

  private mutating func login(_ greeting: MySQLGreeting, sequence: UInt8) throws(ProbeFailure) -> [UInt8] {
    let required = Capability.protocol41 | Capability.secureConnection
    guard greeting.capabilities & required == required else {
      throw ProbeFailure(.badResponse, "the server is too old: it does not speak the protocol of MySQL 4.1")
    }
    let method = greeting.plugin.flatMap { MySQLPassword(rawValue: $0) } ?? .native
    // A server that wants it in the clear asks again, and is answered then.
    let chosen = method == .clear ? .native : method
    state = .login(chosen)
    let capabilities = (required | Capability.longPassword | Capability.pluginAuthentication) & greeting.capabilities
    let response = chosen.response(password, nonce: greeting.nonce)
    var payload: [UInt8] = []
    // Capabilities, the largest packet, utf8mb4, 23 zeros.
    for number in [capabilities, 1 << 24] {
      for shift in stride(from: 0, to: 32, by: 8) { payload.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
    payload += [45] + [UInt8](repeating: 0, count: 23)
    payload += Array((check.user ?? "leba").utf8) + [0]
    // 20 or 32 bytes, or none.
    payload += [UInt8(truncatingIfNeeded: response.count)] + response
    if capabilities & Capability.pluginAuthentication != 0 { payload += Array(chosen.rawValue.utf8) + [0] }
    return MySQLPacketReader.packet(payload, sequence: sequence)
  }

  private mutating func continueLogin(
    _ packet: MySQLPacketReader.Packet, _ method: MySQLPassword
  ) throws(ProbeFailure) -> [ConversationStep] {
    let next = packet.sequence &+ 1
    switch (packet.payload.first, packet.payload.dropFirst().first) {
    case (0x00, _):
      state = .ready
      return [check.user == nil ? .passAndLeave : .pass]
    case (0xfe, _):
      return [.send(MySQLPacketReader.packet(switchMethod(packet.payload), sequence: next))]
    case (0x01, 0x03) where method == .cachingSHA2:
      return []
    case (0x01, 0x04) where method == .cachingSHA2:
      let answer = linkIsPrivate ? MySQLPassword.clear.response(password, nonce: []) : decline(Self.fullExchange)
      return [.send(MySQLPacketReader.packet(answer, sequence: next))]
    default:
      throw ProbeFailure(.protocolError, "not an answer to a MySQL login")
    }
  }

  /// The account is authenticated in another way than the server's usual one.
  private mutating func switchMethod(_ payload: [UInt8]) -> [UInt8] {
    var fields = MySQLFields(payload)
    _ = fields.byte()
    let name = fields.text() ?? "mysql_old_password"
    // Without a password the answer is empty whatever the way.
    if password.isEmpty { return [] }
    guard let method = MySQLPassword(rawValue: name) else {
      return decline(ProbeFailure(.authentication, "the server asks for \(printable(name)), which is not supported"))
    }
    if method == .clear, !linkIsPrivate {
      return decline(
        ProbeFailure(.authentication, "the server asks for the password in the clear over an unencrypted connection"))
    }
    let nonce = Array(fields.rest.prefix(20))
    state = .login(method)
    return method.response(password, nonce: nonce)
  }

  /// An answer that no server takes for a password: the login ends with the server's refusal, which is not counted towards
  /// `max_connect_errors`. To hang up would be.
  private mutating func decline(_ failure: ProbeFailure) -> [UInt8] {
    state = .declined(failure)
    return [0]
  }

  private var password: String { check.user == nil ? "" : check.password?.revealed ?? "" }

  private static let fullExchange = ProbeFailure(
    .authentication,
    "the server has not cached this user's password (caching_sha2_password) and wants it over TLS, which probes of MySQL do not speak:"
      + " use mysql_native_password, a unix socket, or log in once over TLS")
}
