import Model
import NIOCore
import NIOHTTP1
import NIOTLS

/// The end of a channel's pipeline that sends a request and collects its response, and where it is to keep the connection, does so again
/// when told. Lives on one event loop.
final class HTTPExchangeHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private enum State {
    /// → securing, awaitingHead, done
    case connecting
    /// → awaitingHead, done
    case securing
    /// → collecting, done
    case awaitingHead
    /// → draining, idle, done
    case collecting(HTTPResponseHead, body: [UInt8])
    /// The answer is known, and the rest of the response must be out of the way before the next request. → idle, done
    case draining(maximum: Int)
    /// The connection waits for the next request. → awaitingHead, done
    case idle
    case done
  }

  /// A response's head: the largest field, and all fields.
  private static var limits: NIOHTTPDecoderLimitConfiguration {
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = 8 * 1024
    limits.maxHeaderListSize = 16 * 1024
    limits.maxHeaderFieldCount = 100
    return limits
  }

  /// Of a body that nobody reads, before a new connection is the cheaper way.
  fileprivate static let maximumDrained = 64 * 1024

  private let request: HTTPExchange.Request
  private let host: String
  private let tls: TLSCheck?
  private let policy: HTTPExchange.BodyPolicy
  private var onEnd: ((Result<HTTPExchange.Response, ProbeFailure>) -> Void)?
  private var state = State.connecting
  private var channel: (any Channel)?
  /// Nil where each exchange has a connection of its own.
  private let seats: HTTPConnectionSeats?
  private var hasSeat = false
  /// Responses that this connection has carried.
  private(set) var answers = 0
  /// Called when the connection ends while it waits for the next request; nil: in good order.
  var onIdleEnd: ((ProbeFailure?) -> Void)?

  private init(
    _ request: HTTPExchange.Request, host: String, tls: TLSCheck?, policy: HTTPExchange.BodyPolicy,
    keptIn seats: HTTPConnectionSeats?,
    onEnd: @escaping (Result<HTTPExchange.Response, ProbeFailure>) -> Void
  ) {
    self.request = request
    self.host = host
    self.tls = tls
    self.policy = policy
    self.seats = seats
    self.onEnd = onEnd
  }

  /// Begins the exchange, in the clear where `tls` is nil. `onEnd` is called once, not before this returns, and not after `cancel`.
  static func start(
    _ request: HTTPExchange.Request, to address: Model.SocketAddress, header: ProxyProtocol? = nil, on loop: any EventLoop,
    tls: TLSCheck? = nil,
    body policy: HTTPExchange.BodyPolicy, keptIn seats: HTTPConnectionSeats? = nil,
    onEnd: @escaping (Result<HTTPExchange.Response, ProbeFailure>) -> Void
  ) -> HTTPExchangeHandler {
    let handler = HTTPExchangeHandler(
      request, host: address.hostHeader, tls: tls, policy: policy, keptIn: seats, onEnd: onEnd)
    loop.assumeIsolated().execute { handler.connect(to: address, header: header, on: loop) }
    return handler
  }

  private func connect(to address: Model.SocketAddress, header: ProxyProtocol?, on loop: any EventLoop) {
    guard onEnd != nil else { return }
    guard request.isWellFormed else {
      end(.failure(ProbeFailure(.local, "not a valid request: \(printable(request.method)) \(printable(request.target))")))
      return
    }
    let client: TLSClient?
    do throws(ProbeFailure) {
      // Without a name of its own, the one that the request is for.
      let host = request.headers.first { $0.name.lowercased() == "host" }?.value
      client = try tls.map { check throws(ProbeFailure) in try TLSClient(check, host: host) }
    } catch {
      end(.failure(error))
      return
    }
    let bound = NIOLoopBound(self, eventLoop: loop)
    let connected = dial(address, header: header, on: loop) { channel in
      if let client { try channel.pipeline.syncOperations.addHandler(try client.handler()) }
      let decoder = HTTPResponseDecoder(
        leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .drop, limitConfiguration: Self.limits)
      try channel.pipeline.syncOperations.addHandlers([HTTPRequestEncoder(), ByteToMessageHandler(decoder), bound.value])
    }
    connected.assumeIsolated().whenFailure { error in self.end(.failure(ProbeFailure(error, certificate: nil))) }
  }

  /// Drops the exchange, and the connection. False if the exchange had ended already.
  @discardableResult
  func cancel() -> Bool {
    let isInTime = onEnd != nil
    (onEnd, onIdleEnd) = (nil, nil)
    state = .done
    channel?.closeAtOnce(isEncrypted: tls != nil)
    return isInTime
  }

  /// Whether the connection is there for another exchange, now or as soon as the rest of the last response has come.
  var isKept: Bool {
    switch state {
    case .draining, .idle: true
    case .connecting, .securing, .awaitingHead, .collecting, .done: false
    }
  }

  /// The same request again, over the same connection. False if it is not there.
  func again(onEnd: @escaping (Result<HTTPExchange.Response, ProbeFailure>) -> Void) -> Bool {
    guard case .idle = state, let channel else { return false }
    self.onEnd = onEnd
    sendRequest { channel.write($0, promise: nil) }
    channel.flush()
    return true
  }

  /// What is being waited for.
  var phase: String {
    switch state {
    case .connecting: "connection"
    case .securing: "TLS handshake"
    case .awaitingHead: "response"
    case .collecting, .draining, .idle, .done: "end of the response"
    }
  }

  func handlerAdded(context: ChannelHandlerContext) {
    channel = context.channel
    if onEnd == nil { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    channel = nil
    if hasSeat { seats?.leave() }
    hasSeat = false
  }

  func channelActive(context: ChannelHandlerContext) {
    guard case .connecting = state else { return }
    if tls == nil { sendFirst(context: context) } else { state = .securing }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .securing = state, case TLSUserEvent.handshakeCompleted = event { sendFirst(context: context) }
    context.fireUserInboundEventTriggered(event)
  }

  private func sendFirst(context: ChannelHandlerContext) {
    sendRequest { context.write(wrapOutboundOut($0), promise: nil) }
    context.flush()
  }

  /// A connection that breaks reports itself.
  private func sendRequest(write: (HTTPClientRequestPart) -> Void) {
    state = .awaitingHead
    var headers = HTTPHeaders(request.headers.map { ($0.name, $0.value) })
    if !headers.contains(name: "Host") { headers.add(name: "Host", value: host) }
    if seats == nil { headers.replaceOrAdd(name: "Connection", value: "close") }
    if !request.body.isEmpty { headers.replaceOrAdd(name: "Content-Length", value: "\(request.body.count)") }
    let head = HTTPRequestHead(
      version: .http1_1, method: HTTPMethod(rawValue: request.method), uri: request.target, headers: headers)
    write(.head(head))
    if !request.body.isEmpty { write(.body(.byteBuffer(ByteBuffer(bytes: request.body)))) }
    write(.end(nil))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (state, unwrapInboundIn(data)) {
    case (.awaitingHead, .head(let head)):
      state = .collecting(head, body: [])
    case (.collecting(let head, var body), .body(let chunk)):
      // Else the array would be copied with each chunk.
      state = .done
      collect(chunk.readableBytesView, of: head, into: &body)
    case (.collecting, .end):
      finish(isWhole: true)
    case (.draining(let maximum), .body(let chunk)):
      state = .draining(maximum: maximum - chunk.readableBytes)
      if chunk.readableBytes > maximum { idleEnded(nil) }
    case (.draining, .end):
      state = .idle
    case (.connecting, _), (.securing, _), (.awaitingHead, _), (.collecting, _), (.draining, _), (.idle, _), (.done, _):
      break
    }
  }

  /// The head alone is an answer, but most bodies have come with it, and then the connection is ready for the next request.
  func channelReadComplete(context: ChannelHandlerContext) {
    if policy == .ignored { finish(isWhole: false) }
    context.fireChannelReadComplete()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Words that nobody asked for (408, most likely) are the end in good order of a connection that is idle.
    if isKept { idleEnded(error is IOError ? context.probeFailure(error) : nil) }
    end(.failure(context.probeFailure(error)))
    context.channel.closeAtOnce(isEncrypted: tls != nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    if isKept { idleEnded(nil) }
    end(.failure(.connectionClosed))
  }

  private func idleEnded(_ failure: ProbeFailure?) {
    let onIdleEnd = onIdleEnd
    cancel()
    onIdleEnd?(failure)
  }

  private func collect(_ chunk: ByteBufferView, of head: HTTPResponseHead, into body: inout [UInt8]) {
    switch policy {
    case .ignored:
      state = .collecting(head, body: [])
    case .prefix(let maximum):
      body.append(contentsOf: chunk.prefix(maximum - body.count))
      state = .collecting(head, body: body)
      if body.count >= maximum { finish(isWhole: false) }
    case .whole(let maximum):
      guard chunk.count <= maximum - body.count else {
        end(.failure(ProbeFailure(.protocolError, "the body is larger than \(maximum) bytes")))
        return
      }
      body.append(contentsOf: chunk)
      state = .collecting(head, body: body)
    }
  }

  private func finish(isWhole: Bool) {
    guard case .collecting(let head, let body) = state else { return }
    let fields = head.headers.map { HTTPExchange.Field($0.name, $0.value) }
    let response = HTTPExchange.Response(status: Int(head.status.code), headers: fields, body: body)
    answers += 1
    guard let onEnd, head.allowsAnother, takeSeat() else {
      end(.success(response))
      return
    }
    state = isWhole ? .idle : .draining(maximum: Self.maximumDrained)
    self.onEnd = nil
    onEnd(.success(response))
  }

  private func takeSeat() -> Bool {
    if !hasSeat { hasSeat = seats?.take() ?? false }
    return hasSeat
  }

  private func end(_ result: Result<HTTPExchange.Response, ProbeFailure>) {
    guard let onEnd else { return }
    cancel()
    onEnd(result)
  }
}

extension HTTPResponseHead {
  /// Whether the connection can be used after this response: not if its end is the end of the body, or that is far away.
  fileprivate var allowsAnother: Bool {
    guard isKeepAlive else { return false }
    if let length = headers.first(name: "Content-Length") {
      return Int(length).map { $0 <= HTTPExchangeHandler.maximumDrained } ?? false
    }
    return headers.contains(name: "Transfer-Encoding") || !status.mayHaveResponseBody
  }
}

extension HTTPExchange.Request {
  /// The encoder writes everything as it is: nothing may end a line that is not its own, or add a word to the first.
  fileprivate var isWellFormed: Bool {
    !method.isEmpty && method.utf8.allSatisfy { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
      && target.hasPrefix("/") && target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
      && headers.allSatisfy { field in
        !field.name.isEmpty && field.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }
          && field.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
      }
  }
}

extension Model.SocketAddress {
  fileprivate var hostHeader: String {
    switch self {
    case .ip: description
    case .unix: "localhost"
    }
  }
}
