import Model

/// The header of the PROXY protocol goes before every other byte of a connection to a backend that wants it, be it a retry or a hedge.
/// Until it is sent the session counts as connecting: nothing of the client's has been sent, and another backend may still be asked.
extension Worker where E: ~Copyable {
  /// Asks the kernel who the client is, while its socket is at hand.
  mutating func noteClient(_ index: SessionIndex, at descriptor: Int32, _ version: ProxyProtocol) {
    let header = ProxyHeader.bytes(
      version, client: KernelAddress(peerAddressOf: descriptor)?.ip, destination: KernelAddress(localAddressOf: descriptor)?.ip)
    headers.write(header, for: index)
    sessions[index].pointee.header = version
  }

  mutating func introduce(_ index: SessionIndex, _ version: ProxyProtocol) {
    let session = sessions[index]
    // It was accepted before a reload that asked for headers, or for others.
    if session.pointee.header != version {
      headers.write(ProxyHeader.bytes(version, client: nil, destination: nil), for: index)
      session.pointee.header = version
    }
    session.pointee.isIntroducing = true
    session.pointee.headerSent = 0
    sendHeader(index)
  }

  private mutating func sendHeader(_ index: SessionIndex) {
    let rest = headers.rest(of: index, after: Int(sessions[index].pointee.headerSent))
    guard let start = rest.baseAddress, !rest.isEmpty else {
      sessions[index].pointee.isIntroducing = false
      return beginRelay(index)
    }
    engine.send(token(index, .upstream), start, count: rest.count)
  }

  /// Bytes went to a socket that does not relay yet.
  mutating func headerSent(_ token: Token, _ count: Int) {
    guard let (index, side) = owner(of: token), side == .upstream, sessions[index].pointee.isIntroducing else { return }
    let session = sessions[index]
    session.pointee.headerSent &+= UInt8(truncatingIfNeeded: count)
    sendHeader(index)
  }
}
