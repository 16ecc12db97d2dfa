import Foundation
import Handover
import TestSupport
import Testing

extension EndToEnd {
  /// What a running process answers at its door, step by step.
  @Suite(.serialized) struct HandoverProtocolTests {
    private func knock(_ leba: LebaProcess) async throws -> HandoverChannel {
      try await eventually("the door is open") {
        try HandoverChannel.connect(to: HandoverChannel.path(in: leba.directory.file("state")))
      }
    }

    /// As far as the old process gives its sockets away; closes them, as the end of the new one would.
    private func offer(_ channel: HandoverChannel) throws -> Int {
      try channel.send(.hello(version: HandoverMessage.version, process: getpid()))
      var sockets = 0
      while true {
        let (message, descriptors) = try channel.receive(within: patience)
        for descriptor in descriptors { close(descriptor) }
        sockets += descriptors.count
        if message == .offered { return sockets }
      }
    }

    @Test func `a signal to the old process ends the take-over and the process`() async throws {
      let pair = try await WebPair()
      let channel = try await knock(pair.leba)
      // The listener's and the API's.
      #expect(try offer(channel) == 2)
      pair.leba.signal(SIGTERM)
      #expect(throws: HandoverError.cancelled("the process that was to hand over was asked to stop")) {
        try channel.receive(within: patience)
      }
      #expect(try await pair.leba.ended() == .exited(0))
      #expect(!FileManager.default.fileExists(atPath: HandoverChannel.path(in: pair.leba.directory.file("state"))))
    }

    @Test func `changes through the API are refused once the journal is given away, and welcome when it is back`() async throws {
      let pair = try await WebPair()
      let channel = try await knock(pair.leba)
      _ = try offer(channel)
      #expect(try await pair.leba.post("/api/v1/backends/two/drain", "{}").status == 200)
      try channel.send(.prepared)
      try channel.expect(.released, within: patience)
      #expect(try await pair.leba.post("/api/v1/backends/two/undrain", "{}").status == 503)
      #expect(try await pair.leba.group("web").primary == "one")
      #expect(try await pair.server() == "one")
      channel.cancel("the new process has thought better of it")
      try await eventually("changes are welcome") {
        try await pair.leba.post("/api/v1/backends/two/undrain", "{}").status == 200
      }
      #expect(pair.leba.log.contains("this one goes on"))
      #expect(try await pair.leba.stop() == .exited(0))
    }

    @Test func `another version and other words are refused, and nothing changes`() async throws {
      let pair = try await WebPair()
      for message in [HandoverMessage.hello(version: 99, process: 1), .ready, .prepared] {
        let channel = try await knock(pair.leba)
        try channel.send(message)
        #expect(throws: HandoverError.self) { try channel.receive(within: patience) }
      }
      let silent = try await knock(pair.leba)
      silent.cancel("never mind")
      let channel = try await knock(pair.leba)
      #expect(try offer(channel) == 2)
      try channel.send(.ready)
      #expect(throws: HandoverError.self) { try channel.receive(within: patience) }
      #expect(try await pair.server() == "one")
    }

    @Test func `variables of the service manager for another process, or without sense, are nobody's`() {
      let other = ["LISTEN_PID": "1", "LISTEN_FDS": "1"]
      #expect(SocketActivation.inherit(other, process: getpid()).listeners.isEmpty)
      for count in ["", "0", "-1", "2000", "x"] {
        let result = SocketActivation.inherit(["LISTEN_PID": "\(getpid())", "LISTEN_FDS": count], process: getpid())
        #expect(result.listeners.isEmpty && result.complaints.isEmpty)
      }
    }
  }
}
