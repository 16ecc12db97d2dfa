import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// The kernel says no. Nothing crashes or spins, nobody who can be served later is turned away, and every connection is counted.
  ///
  /// On epoll, whose operations are system calls that strace can make fail; those of io_uring are not, only what shortage the kernel
  /// itself feels reaches them: `PressureTests`.
  @Suite(.serialized, .enabled(if: Strace.isUsable, "strace is needed, and must be allowed to attach")) struct FaultTests {
    /// A web server behind one listener, and a count of who came.
    private final class Site {
      let leba: LebaProcess
      let listener: Endpoint
      private let server: NginxServer
      private(set) var opened = 0
      /// System calls of the workers for a round of requests that nothing disturbs.
      private var undisturbed = 0

      static let requests = 40

      init() async throws {
        server = try await NginxServer("one", host: "127.0.0.2", requestTimeout: "1s")
        listener = .ip("127.0.0.1", try FreePorts.next())
        leba = try await LebaProcess.start(
          """
          listeners: [{name: web, address: "\(listener)", group: web}]
          backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
          failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one, hold_timeout: 20s}]
          """, engine: "epoll")
        try await leba.untilPrimary(of: "web", is: "one")
        let counting = try await Strace(attachedTo: leba.workers)
        #expect(try await round().allSatisfy { $0 == .served(by: "one") })
        undisturbed = try await counting.detach()
        #expect(undisturbed > 4 * Self.requests, "strace has seen the requests")
      }

      /// Requests of four clients, each on a new connection.
      func round(patience limit: Duration = patience) async throws -> [RequestOutcome] {
        let listener = listener
        let load = Load<RequestOutcome>(clients: 4) { _ in
          do {
            let connection = try TCPConnection(to: listener, limit: limit)
            let response = try HTTP.exchange("GET", "/", headers: ["Connection": "close"], on: connection, listener)
            return response.status == 200 ? .served(by: response.body) : .failed("status \(response.status)")
          } catch {
            return .failed("\(error)")
          }
        }
        try await load.more(Self.requests)
        let outcomes = try await load.stop()
        opened += outcomes.count
        return outcomes
      }

      /// A round in which calls fail, until the kernel is well again; and one more, which must go as if nothing had been.
      func disturbed(by fault: String, patience limit: Duration = patience) async throws -> [RequestOutcome] {
        let strace = try await Strace(attachedTo: leba.workers, inject: [fault])
        let outcomes = try await round(patience: limit)
        try await eventually("\(fault) has hit") { strace.injected > 0 }
        let calls = try await strace.detach()
        #expect(calls < 4 * undisturbed + 500, "\(fault): \(calls) system calls, undisturbed \(undisturbed)")
        #expect(try await round().allSatisfy { $0 == .served(by: "one") }, "after \(fault)")
        try await expectAllCounted(after: fault)
        return outcomes
      }

      /// Every connection that a client opened has ended, once.
      private func expectAllCounted(after fault: String) async throws {
        #expect(leba.isRunning, "\(fault): \(leba.log)")
        let opened = opened
        let leba = leba
        try await eventually("all \(opened) connections are counted after \(fault)") {
          try await leba.metrics().value("leba_connections_total", ["listener": "web"]) == Double(opened)
        }
        #expect(try await leba.metrics().value("leba_connections_active", ["listener": "web"]) ?? 0 == 0)
      }

      func count(_ name: String, _ labels: [String: String] = [:]) async throws -> Double {
        try await leba.metrics().value(name, labels) ?? 0
      }

      /// Nobody may take a shortage of this host for a failure of the backend.
      func expectNoFailover() async throws {
        let group = try await leba.group("web")
        #expect(group.primary == "one" && group.primaryIsHealthy && group.failoverCount == 0, "\(group)")
      }
    }

    @Test func `accepting pauses when descriptors or memory run out, resumes, and loses nobody`() async throws {
      let site = try await Site()
      for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        let before = try await site.count("leba_accept_pauses_total")
        let outcomes = try await site.disturbed(by: "accept4:error=\(error):when=1..4")
        #expect(outcomes.allSatisfy { $0 == .served(by: "one") }, "\(error): \(outcomes)")
        #expect(try await site.count("leba_accept_pauses_total") == before + 4, "\(error)")
      }
      // These concern one connection that is gone already: no reason to pause.
      let before = try await site.count("leba_accept_pauses_total")
      for error in ["ECONNABORTED", "EPROTO", "EINTR"] {
        let outcomes = try await site.disturbed(by: "accept4:error=\(error):when=1..4")
        #expect(outcomes.allSatisfy { $0 == .served(by: "one") }, "\(error): \(outcomes)")
      }
      #expect(try await site.count("leba_accept_pauses_total") == before)
    }

    @Test func `connections that this host cannot open upstream are held and tried again, and no backend is blamed`() async throws {
      let site = try await Site()
      let local = ["listener": "web", "reason": "local"]
      for fault in [
        "socket:error=EMFILE", "socket:error=ENFILE", "socket:error=ENOBUFS", "connect:error=EAGAIN", "connect:error=ENOBUFS",
        "connect:error=EADDRNOTAVAIL",
      ] {
        let before = try await site.count("leba_retries_total", local)
        let outcomes = try await site.disturbed(by: "\(fault):when=1..4")
        #expect(outcomes.allSatisfy { $0 == .served(by: "one") }, "\(fault): \(outcomes)")
        #expect(try await site.count("leba_retries_total", local) == before + 4, "\(fault)")
      }
      try await site.expectNoFailover()
    }

    /// Without a place in epoll a client cannot be served, and a connect is tried again.
    @Test func `sockets that epoll has no room for are closed and counted`() async throws {
      let site = try await Site()
      for error in ["ENOSPC", "ENOMEM"] {
        func refused() async throws -> Double {
          try await site.count("leba_connections_total", ["outcome": "limit"])
            + site.count("leba_retries_total", ["reason": "local"])
        }
        let before = try await refused()
        let outcomes = try await site.disturbed(by: "epoll_ctl:error=\(error):when=3..8")
        #expect(try await refused() == before + 6, "\(error)")
        #expect(outcomes.count { $0 != .served(by: "one") } <= 6, "\(error): \(outcomes)")
      }
      try await site.expectNoFailover()
    }

    /// The calls that move bytes. EAGAIN is a lie here: the socket is as ready as was reported, so no event follows. Such a connection
    /// stalls until its client or its server loses patience, and only once: to be lied to again then would leave nothing to wake it.
    @Test func `calls that fail in the middle of a stream end that stream only`() async throws {
      let site = try await Site()
      for fault in [
        "sendto:error=EAGAIN:when=20", "sendto:error=ENOBUFS:when=20..24", "sendto:error=EPIPE:when=20..24",
        "recvfrom:error=EAGAIN:when=20", "recvfrom:error=ENOBUFS:when=20..24", "recvfrom:error=ECONNRESET:when=20..24",
      ] {
        let outcomes = try await site.disturbed(by: fault, patience: .seconds(1))
        #expect(outcomes.count { $0 != .served(by: "one") } <= 5, "\(fault): \(outcomes)")
      }
    }

    /// Wherever in the life of a connection the lie falls, even where it hides the end of both streams and nobody is left who could lose
    /// patience: an end that has been announced is read until it is found.
    @Test func `a receive that finds nothing where bytes or an end wait forgets no connection`() async throws {
      let site = try await Site()
      for call in 13...24 { _ = try await site.disturbed(by: "recvfrom:error=EAGAIN:when=\(call)", patience: .seconds(1)) }
    }

    @Test func `a wait that is interrupted again and again loses nothing`() async throws {
      let site = try await Site()
      let outcomes = try await site.disturbed(by: "epoll_pwait:error=EINTR:when=1+2")
      #expect(outcomes.allSatisfy { $0 == .served(by: "one") }, "\(outcomes)")
    }
  }
}
