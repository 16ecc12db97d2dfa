import Model
import NIOCore
import NIOHTTP1
import NIOTLS

/// The end of a channel's pipeline that sends one request and collects its response. Lives on one event loop.
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
    /// → done
    case collecting(HTTPResponseHead, body: [UInt8])
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

  private let request: HTTPExchange.Request
  private let host: String
  private let tls: TLSCheck?
  private let policy: HTTPExchange.BodyPolicy
  private var onEnd: ((Result<HTTPExchange.Response, ProbeFailure>) -> Void)?
  private var state = State.connecting
  private var channel: (any Channel)?

  private init(
    _ request: HTTPExchange.Request, host: String, tls: TLSCheck?, policy: HTTPExchange.BodyPolicy,
    onEnd: @escaping (Result<HTTPExchange.Response, ProbeFailure>) -> Void
  ) {
    self.request = request
    self.host = host
    self.tls = tls
    self.policy = policy
    self.onEnd = onEnd
  }

  /// Begins the exchange, in the clear where `tls` is nil. `onEnd` is called once, not before this returns, and not after `cancel`.
  static func start(
    _ request: HTTPExchange.Request, to address: Model.SocketAddress, on loop: any EventLoop, tls: TLSCheck? = nil,
    body policy: HTTPExchange.BodyPolicy,
    onEnd: @escaping (Result<HTTPExchange.Response, ProbeFailure>) -> Void
  ) -> HTTPExchangeHandler {
    let handler = HTTPExchangeHandler(request, host: address.hostHeader, tls: tls, policy: policy, onEnd: onEnd)
    loop.assumeIsolated().execute { handler.connect(to: address, on: loop) }
    return handler
  }

  private func connect(to address: Model.SocketAddress, on loop: any EventLoop) {
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
    let connected = dial(address, on: loop) { channel in
      if let client { try channel.pipeline.syncOperations.addHandler(try client.handler()) }
      let decoder = HTTPResponseDecoder(
        leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .drop, limitConfiguration: Self.limits)
      try channel.pipeline.syncOperations.addHandlers([HTTPRequestEncoder(), ByteToMessageHandler(decoder), bound.value])
    }
    connected.assumeIsolated().whenFailure { error in self.end(.failure(ProbeFailure(error, certificate: nil))) }
  }

  /// Drops the exchange. False if it had ended already.
  @discardableResult
  func cancel() -> Bool {
    guard onEnd != nil else { return false }
    onEnd = nil
    state = .done
    channel?.closeAtOnce(isEncrypted: tls != nil)
    return true
  }

  /// What is being waited for.
  var phase: String {
    switch state {
    case .connecting: "connection"
    case .securing: "TLS handshake"
    case .awaitingHead: "response"
    case .collecting, .done: "end of the response"
    }
  }

  func handlerAdded(context: ChannelHandlerContext) {
    channel = context.channel
    if onEnd == nil { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { channel = nil }

  func channelActive(context: ChannelHandlerContext) {
    guard case .connecting = state else { return }
    if tls == nil { sendRequest(context: context) } else { state = .securing }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .securing = state, case TLSUserEvent.handshakeCompleted = event { sendRequest(context: context) }
    context.fireUserInboundEventTriggered(event)
  }

  private func sendRequest(context: ChannelHandlerContext) {
    state = .awaitingHead
    var headers = HTTPHeaders(request.headers.map { ($0.name, $0.value) })
    if !headers.contains(name: "Host") { headers.add(name: "Host", value: host) }
    headers.replaceOrAdd(name: "Connection", value: "close")
    if !request.body.isEmpty { headers.replaceOrAdd(name: "Content-Length", value: "\(request.body.count)") }
    let head = HTTPRequestHead(
      version: .http1_1, method: HTTPMethod(rawValue: request.method), uri: request.target, headers: headers)
    // A connection that breaks reports itself.
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if !request.body.isEmpty { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: request.body)))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (state, unwrapInboundIn(data)) {
    case (.awaitingHead, .head(let head)):
      state = .collecting(head, body: [])
      if policy == .ignored { finish() }
    case (.collecting(let head, var body), .body(let chunk)):
      // Else the array would be copied with each chunk.
      state = .done
      collect(chunk.readableBytesView, of: head, into: &body)
    case (.collecting, .end):
      finish()
    case (.connecting, _), (.securing, _), (.awaitingHead, _), (.collecting, _), (.done, _):
      break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(.failure(context.probeFailure(error)))
    context.channel.closeAtOnce(isEncrypted: tls != nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.failure(.connectionClosed))
  }

  private func collect(_ chunk: ByteBufferView, of head: HTTPResponseHead, into body: inout [UInt8]) {
    switch policy {
    case .ignored:
      break
    case .prefix(let maximum):
      body.append(contentsOf: chunk.prefix(maximum - body.count))
      state = .collecting(head, body: body)
      if body.count >= maximum { finish() }
    case .whole(let maximum):
      guard chunk.count <= maximum - body.count else {
        end(.failure(ProbeFailure(.protocolError, "the body is larger than \(maximum) bytes")))
        return
      }
      body.append(contentsOf: chunk)
      state = .collecting(head, body: body)
    }
  }

  private func finish() {
    guard case .collecting(let head, let body) = state else { return }
    let fields = head.headers.map { HTTPExchange.Field($0.name, $0.value) }
    end(.success(HTTPExchange.Response(status: Int(head.status.code), headers: fields, body: body)))
  }

  private func end(_ result: Result<HTTPExchange.Response, ProbeFailure>) {
    guard let onEnd else { return }
    cancel()
    onEnd(result)
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
