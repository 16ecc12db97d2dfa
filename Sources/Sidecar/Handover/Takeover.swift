import Foundation
import Handover
import Model
import Proxy

/// The new process's side of a hand-over.
final class Takeover: Sendable {
  /// What the old process listens with. Whoever makes the value of it owns the sockets.
  let listeners: [InheritedListener]
  private let channel: HandoverChannel

  private init(_ channel: HandoverChannel, _ listeners: [InheritedListener]) {
    self.channel = channel
    self.listeners = listeners
  }

  /// Asks the process that runs with this state directory for its listening sockets; nil when there is none.
  static func begin(stateDirectory: String) throws(HandoverError) -> Takeover? {
    guard let channel = try HandoverChannel.connect(to: HandoverChannel.path(in: stateDirectory)) else { return nil }
    try channel.send(.hello(version: HandoverMessage.version, process: getpid()))
    var listeners: [InheritedListener] = []
    do throws(HandoverError) {
      while let next = try receiveListener(from: channel) { listeners.append(next) }
    } catch {
      for listener in listeners { listener.close() }
      throw error
    }
    let byAddress = Dictionary(grouping: listeners, by: \.address)
    return Takeover(
      channel,
      byAddress.map { address, parts in InheritedListener(name: "", address: address, sockets: parts.flatMap(\.sockets)) })
  }

  private static func receiveListener(from channel: HandoverChannel) throws(HandoverError) -> InheritedListener? {
    let (message, descriptors) = try channel.receive(within: .seconds(10))
    guard case .listener(let text, let isHeldElsewhere) = message, let address = SocketAddress(text) else {
      for descriptor in descriptors { close(descriptor) }
      guard message == .offered else { throw .unexpected("\(message)") }
      return nil
    }
    let sockets = descriptors.compactMap { ListeningSocket(inherited: $0, isHeldElsewhere: isHeldElsewhere) }
    return InheritedListener(name: "", address: address, sockets: sockets)
  }

  /// Everything is set up that can fail. Returns when the old process has let go of the journal, or is gone.
  func prepared() throws(HandoverError) {
    do throws(HandoverError) {
      try channel.send(.prepared)
      try channel.expect(.released, within: .seconds(20))
    } catch .ended {
      // A process that is gone needs no permission to be followed.
      return
    }
  }

  /// Connections are accepted. Returns when the old process accepts none any more, or does not answer: then two accept, which harms nobody.
  func ready(unwanted: [SocketAddress]) throws(HandoverError) {
    do throws(HandoverError) {
      for address in unwanted { try channel.send(.unwanted(address: address.description)) }
      try channel.send(.ready)
      try channel.expect(.retired, within: .seconds(20))
    } catch .ended {
      return
    } catch .timedOut {
      return
    }
  }
}
