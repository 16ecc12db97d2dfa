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
///
/// `tls: prefer` encrypts where a user logs in and the server offers it. Where nobody is named there is nothing to hide, and a handshake
/// for each probe would cost the server more than the probe.
///
/// An account of `caching_sha2_password` that the server has not cached must send the password itself, over TLS or a unix socket. The
/// other way, RSA with a public key that the server sends, is not spoken: the key comes from whoever answers, and servers of this age
/// offer TLS.
struct MySQLConversation: Conversation {
  /// Who else may hear what is said.
  enum Link {
    /// A unix socket: nobody.
    case local
    /// Everybody on the way, before TLS begins.
    case open
    /// The handshake has failed, and the check does not insist.
    case openWithoutTLS
    case encrypted
  }

  private enum State {
    case connecting
    case greeting
    /// The login follows when TLS has begun.
    case securing(MySQLGreeting)
    case login(MySQLPassword)
    /// The server was given an answer that it must refuse, and this is what will be reported.
    case declined(ProbeFailure)
    case ready
    case pinging
  }

  private enum Capability {
    static let longPassword: UInt32 = 1 << 0
    static let protocol41: UInt32 = 1 << 9
    static let tls: UInt32 = 1 << 11
    static let secureConnection: UInt32 = 1 << 15
    static let pluginAuthentication: UInt32 = 1 << 19
    static let required = protocol41 | secureConnection
    static let known = required | longPassword | pluginAuthentication
  }

  private static let quit: [UInt8] = MySQLPacketReader.packet([0x01], sequence: 0)
  private static let ping: [UInt8] = MySQLPacketReader.packet([0x0e], sequence: 0)

  private let check: MySQLCheck
  private var link: Link
  private var state = State.connecting
  private var reader = MySQLPacketReader()

  init(_ check: MySQLCheck, link: Link) {
    self.check = check
    self.link = link
  }

  var waitingFor: String {
    switch state {
    case .connecting: "connection"
    case .greeting: "greeting"
    case .securing: "TLS handshake"
    case .login, .declined: "answer to the login"
    case .ready, .pinging: "answer to the ping"
    }
  }

  /// Inside the handshake there is no way to say good-bye.
  var farewell: [UInt8]? {
    switch state {
    case .connecting, .greeting, .securing, .login, .declined: nil
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
      // Bytes from before TLS would be taken for what comes under its protection.
      if case .securing = state, !reader.isEmpty { throw Self.spokeBeforeTLS }
    } catch {
      if case .securing = state { steps = [] }
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
      return try greeted(MySQLGreeting(packet.payload))
    case .securing:
      throw Self.spokeBeforeTLS
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

  private mutating func greeted(_ greeting: MySQLGreeting) throws(ProbeFailure) -> [ConversationStep] {
    guard greeting.capabilities & Capability.required == Capability.required else {
      throw ProbeFailure(.badResponse, "the server is too old: it does not speak the protocol of MySQL 4.1")
    }
    guard wantsTLS else { return [.send(login(greeting, sequence: 1))] }
    if greeting.capabilities & Capability.tls != 0 {
      state = .securing(greeting)
      let request = opening(greeting.capabilities & (Capability.known | Capability.tls))
      return [.send(MySQLPacketReader.packet(request, sequence: 1)), .startTLS(isOptional: check.tls == .prefer)]
    }
    if check.tls == .prefer { return [.send(login(greeting, sequence: 1))] }
    // Somebody who is nobody, and is refused: to hang up would be counted towards `max_connect_errors`.
    let login = login(greeting, as: nil, sequence: 1)
    state = .declined(ProbeFailure(.authentication, "the server does not offer TLS, which `tls: require` asks for"))
    return [.send(login)]
  }

  private var wantsTLS: Bool {
    switch (link, check.tls) {
    case (.open, .require): true
    case (.open, .prefer): check.user != nil
    case (.open, .disable), (.local, _), (.openWithoutTLS, _), (.encrypted, _): false
    }
  }

  mutating func secured() -> [ConversationStep] {
    guard case .securing(let greeting) = state else { return [] }
    link = .encrypted
    return [.send(login(greeting, sequence: 2))]
  }

  private mutating func login(_ greeting: MySQLGreeting, sequence: UInt8) -> [UInt8] {
    login(greeting, as: check.user, sequence: sequence)
  }

  private mutating func login(_ greeting: MySQLGreeting, as user: String?, sequence: UInt8) -> [UInt8] {
    let method = greeting.plugin.flatMap { MySQLPassword(rawValue: $0) } ?? .native
    // A server that wants it in the clear asks again, and is answered then.
    let chosen = method == .clear ? .native : method
    state = .login(chosen)
    let isEncrypted = link == .encrypted
    let capabilities = greeting.capabilities & (isEncrypted ? Capability.known | Capability.tls : Capability.known)
    let response = user == nil ? [] : chosen.response(password, nonce: greeting.nonce)
    var payload = opening(capabilities)
    payload += Array((user ?? "leba").utf8) + [0]
    // 20 or 32 bytes, or none.
    payload += [UInt8(truncatingIfNeeded: response.count)] + response
    if capabilities & Capability.pluginAuthentication != 0 { payload += Array(chosen.rawValue.utf8) + [0] }
    return MySQLPacketReader.packet(payload, sequence: sequence)
  }

  /// What a login begins with, and all there is of a request for TLS: capabilities, the largest packet, utf8mb4, 23 zeros.
  private func opening(_ capabilities: UInt32) -> [UInt8] {
    var payload: [UInt8] = []
    for number in [capabilities, 1 << 24] {
      for shift in stride(from: 0, to: 32, by: 8) { payload.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
    return payload + [45] + [UInt8](repeating: 0, count: 23)
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
      let answer = linkIsPrivate ? MySQLPassword.clear.response(password, nonce: []) : decline(fullExchange)
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

  private var linkIsPrivate: Bool {
    switch link {
    case .local, .encrypted: true
    case .open, .openWithoutTLS: false
    }
  }

  private var fullExchange: ProbeFailure {
    let obstacle = check.tls == .disable ? "`tls: disable` forbids" : "it does not offer"
    return ProbeFailure(
      .authentication,
      "the server has not cached this user's password (caching_sha2_password) and wants it over TLS, which \(obstacle):"
        + " use TLS, a unix socket or an account of mysql_native_password")
  }

  private static let spokeBeforeTLS = ProbeFailure(.protocolError, "the server spoke in the clear after TLS was asked for")
}
