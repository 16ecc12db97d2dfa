import Model
import Testing

@testable import PostgresWire

@Suite struct HashesOfTheTests {
  private let hashes = ReferenceHashes()

  @Test func vectors() {
    #expect(hex(hashes.md5(Array("abc".utf8))) == "900150983cd24fb0d6963f7d28e17f72")
    #expect(hex(hashes.md5([])) == "d41d8cd98f00b204e9800998ecf8427e")
    #expect(hex(hashes.sha256(Array("abc".utf8))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    // RFC 4231, case 2.
    #expect(
      hex(hashes.hmacSHA256(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8)))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
  }
}

@Suite struct AuthenticatorTests {
  private static let nonce: [UInt8] = Array(0..<18)

  private func authenticator(user: String = "leba", password: String? = "pencil", private isPrivate: Bool = false) -> Authenticator
  {
    Authenticator(
      credentials: Credentials(user: user, password: password.map(Password.init), linkIsPrivate: isPrivate), nonce: Self.nonce,
      hashes: ReferenceHashes())
  }

  @Test func trust() {
    var machine = authenticator(password: nil)
    #expect(machine.received(.ok) == .succeed)
    #expect(machine.received(.ok) == .fail(.outOfOrder))
  }

  /// The expected digest was computed with Python's hashlib.
  @Test func md5() {
    var machine = authenticator(user: "postgres", password: "sekret")
    let expected = "md584ba75aee006937624eb527de2f170b1"
    #expect(machine.received(.md5Password(salt: [1, 2, 3, 4])) == .send(.password(Array(expected.utf8))))
    #expect(machine.received(.ok) == .succeed)
  }

  @Test func cleartextOnlyWhereNobodyListens() {
    var open = authenticator()
    #expect(open.received(.cleartextPassword) == .fail(.cleartextPasswordRefused))
    var local = authenticator(private: true)
    #expect(local.received(.cleartextPassword) == .send(.password(Array("pencil".utf8))))
    #expect(local.received(.ok) == .succeed)
  }

  @Test(
    arguments: [.cleartextPassword, .md5Password(salt: [1, 2, 3, 4]), .sasl(mechanisms: ["SCRAM-SHA-256"])]
      as [AuthenticationRequest])
  func noPasswordConfigured(request: AuthenticationRequest) {
    var machine = authenticator(password: nil, private: true)
    #expect(machine.received(request) == .fail(.passwordRequired))
    #expect(machine.received(.ok) == .fail(.outOfOrder))
  }

  @Test func methodsWeDoNotSpeak() {
    var machine = authenticator()
    #expect(machine.received(.unsupported(code: 7)) == .fail(.unsupportedMethod(code: 7)))
    machine = authenticator()
    #expect(
      machine.received(.sasl(mechanisms: ["SCRAM-SHA-256-PLUS"])) == .fail(.unsupportedMechanisms(["SCRAM-SHA-256-PLUS"])))
  }

  @Test func outOfOrder() {
    for request in [.saslContinue([]), .saslFinal([])] as [AuthenticationRequest] {
      var machine = authenticator()
      #expect(machine.received(request) == .fail(.outOfOrder))
    }
    var machine = authenticator()
    _ = machine.received(.md5Password(salt: [1, 2, 3, 4]))
    #expect(machine.received(.md5Password(salt: [1, 2, 3, 4])) == .fail(.outOfOrder))
  }
}

@Suite struct SCRAMTests {
  private static let nonce: [UInt8] = Array(0..<18)
  private static let clientNonce = "AAECAwQFBgcICQoLDA0ODxAR"

  /// An authenticator that has sent its first message.
  private func begun(password: String = "pencil") -> Authenticator {
    var machine = Authenticator(
      credentials: Credentials(user: "leba", password: Password(password), linkIsPrivate: false), nonce: Self.nonce,
      hashes: ReferenceHashes())
    #expect(
      machine.received(.sasl(mechanisms: ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]))
        == .send(.saslInitialResponse(mechanism: "SCRAM-SHA-256", data: Array("n,,n=,r=\(Self.clientNonce)".utf8))))
    return machine
  }

  private func challenge(_ text: String) -> Authenticator.Action {
    var machine = begun()
    return machine.received(.saslContinue(Array(text.utf8)))
  }

  @Test func wholeExchange() throws {
    var machine = begun()
    let server = TestServer(salted: [1, 2, 3])
    let first = "r=\(Self.clientNonce)server,s=c2FsdHk=,i=4096"
    guard case .derive(let derivation) = machine.received(.saslContinue(Array(first.utf8))) else {
      Issue.record("no derivation")
      return
    }
    #expect(derivation == KeyDerivation(password: Password("pencil"), salt: Array("salty".utf8), iterations: 4096))
    guard case .send(.saslResponse(let final)) = machine.derived(SaltedPassword(bytes: server.salted)) else {
      Issue.record("no final message")
      return
    }
    let transcript = "n=,r=\(Self.clientNonce),\(first),c=biws,r=\(Self.clientNonce)server"
    #expect(String(decoding: final, as: UTF8.self) == "c=biws,r=\(Self.clientNonce)server,p=\(server.proof(transcript))")

    var impostor = machine
    let wrong = TestServer(salted: [3, 2, 1]).signature(transcript)
    #expect(impostor.received(.saslFinal(Array("v=\(wrong)".utf8))) == .fail(.wrongServerSignature))
    #expect(impostor.received(.ok) == .fail(.outOfOrder))

    // Nothing at all, and the beginning of the right answer.
    let beginning = Base64.encode(Array((Base64.decode(server.signature(transcript)) ?? []).prefix(12)))
    for short in ["", beginning] {
      var machine = machine
      #expect(machine.received(.saslFinal(Array("v=\(short)".utf8))) == .fail(.wrongServerSignature), "\(short)")
    }
    var refusing = machine
    #expect(refusing.received(.saslFinal(Array("e=other-error".utf8))) == .fail(.refusedByServer("other-error")))
    var garbled = machine
    #expect(garbled.received(.saslFinal([0xff, 0xfe])) == .fail(.malformed("not UTF-8")))

    #expect(machine.received(.saslFinal(Array("v=\(server.signature(transcript))".utf8))) == .wait)
    #expect(machine.received(.ok) == .succeed)
  }

  /// A server that does not know the password could simply say "you are in" instead of proving itself.
  @Test func okBeforeTheServerProvedItself() {
    var machine = begun()
    #expect(machine.received(.ok) == .fail(.outOfOrder))
    machine = begun()
    _ = machine.received(.saslContinue(Array("r=\(Self.clientNonce)x,s=c2FsdA==,i=4096".utf8)))
    var early = machine
    #expect(early.received(.ok) == .fail(.outOfOrder))
    guard case .send = machine.derived(SaltedPassword(bytes: [1, 2, 3])) else {
      Issue.record("no final message")
      return
    }
    #expect(machine.received(.ok) == .fail(.outOfOrder))
    // The derivation of an exchange that has failed meanwhile changes nothing.
    #expect(machine.derived(SaltedPassword(bytes: [1, 2, 3])) == .wait)
  }

  @Test func iterationBombsAndTrifles() {
    for count in [0, 1, 4095, 50_001, 2_147_483_647, Int.max] {
      #expect(challenge("r=\(Self.clientNonce)x,s=c2FsdA==,i=\(count)") == .fail(.iterationCount(count)))
    }
    for count in ["", "-1", "+4096", "4096x", "99999999999999999999999"] {
      #expect(challenge("r=\(Self.clientNonce)x,s=c2FsdA==,i=\(count)") == .fail(.malformed("no iteration count")))
    }
  }

  @Test func noncesThatDoNotContinueOurs() {
    for nonce in ["", "x", Self.clientNonce, String(Self.clientNonce.dropLast()), "x" + Self.clientNonce] {
      #expect(challenge("r=\(nonce),s=c2FsdA==,i=4096") == .fail(.nonceMismatch), "\(nonce)")
    }
  }

  @Test func malformedChallenges() {
    let nonce = Self.clientNonce + "x"
    for text in [
      "", ",", "r=\(nonce)", "r=\(nonce),i=4096", "s=c2FsdA==,r=\(nonce),i=4096", "m=ext,r=\(nonce),s=c2FsdA==,i=4096",
      "r=\(nonce),s=,i=4096", "r=\(nonce),s=c2FsdA=,i=4096", "r=\(nonce),s=c2Fs!A==,i=4096", "r=\(nonce),s=c2FsdB==,i=4096",
    ] {
      guard case .fail(.malformed) = challenge(text) else {
        Issue.record("accepted: \(text)")
        continue
      }
    }
  }

  /// RFC 7677, section 3.
  @Test func vectorOfTheRFC() throws {
    var client = SCRAMClient(password: Password("pencil"), nonce: "rOprNGfwEbeRWgbNEkqO", user: "user")
    #expect(client.firstMessage == Array("n,,n=user,r=rOprNGfwEbeRWgbNEkqO".utf8))
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    let derivation = try client.challenged(Array("r=\(nonce),s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".utf8))
    let (message, signature) = client.finalMessage(derivation.run(using: ReferenceHashes()), using: ReferenceHashes())
    #expect(message == Array("c=biws,r=\(nonce),p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".utf8))
    try SCRAMClient.verify(Array("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".utf8), against: signature)
  }

  @Test func mutatedExchanges() {
    var random = SeededGenerator(seed: 7677)
    let text = Array("r=\(Self.clientNonce)server,s=c2FsdHNhbHQ=,i=4096".utf8)
    for _ in 0..<5000 {
      var machine = begun()
      switch machine.received(.saslContinue(mutated(text, using: &random))) {
      case .derive(let derivation): #expect(KeyDerivation.iterations.contains(derivation.iterations))
      case .fail: break
      case .send, .wait, .succeed: Issue.record("an answer to a mutated challenge")
      }
    }
  }

  @Test func secretsDoNotPrint() {
    let password = Password("hunter2")
    let derivation = KeyDerivation(password: password, salt: [1], iterations: 4096)
    let key = SaltedPassword(bytes: password.utf8)
    let credentials = Credentials(user: "leba", password: password, linkIsPrivate: false)
    for value in [password, derivation, key, credentials] as [Any] {
      let text = "\(value)" + String(reflecting: value)
      #expect(!text.contains("hunter2"))
      #expect(!text.contains("104"), "the bytes of the password: \(text)")
    }
  }
}
