import Foundation
import Synchronization
import TestSupport
import Testing

extension EndToEnd {
  /// What the kernel may say to operations of io_uring, and does so rarely that no load finds it: see `FaultTests` for epoll.
  @Suite(
    .serialized,
    .enabled(if: RingFaults.isUsable && ioUringIsPermitted, "io_uring is needed, of Linux 6.10 or newer"))
  struct RingFaultTests {
    /// A server that checks every byte behind one listener, and a count of who came.
    private final class Site {
      let leba: LebaProcess
      let faults: RingFaults
      private let listener: Endpoint
      private let server: TCPServer
      private let descriptors: Int
      private var opened = 0

      static let exchanges = 40

      /// The backend says that its clients speak first, so that first bytes are peeked at.
      init(acceptsSingly: Bool = false) async throws {
        server = try KeyedExchange.server(host: "127.0.0.2")
        listener = .ip("127.0.0.1", try FreePorts.next())
        faults = try await RingFaults(acceptsSingly: acceptsSingly)
        leba = try await LebaProcess.start(
          """
          listeners: [{name: raw, address: "\(listener)", group: raw}]
          backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
          failover_groups:
            - {name: raw, mode: active-passive, backends: [one], primary: one, hold_timeout: 20s, health_check: {type: tcp}}
          """, environment: faults.environment, engine: "io_uring")
        try await leba.untilPrimary(of: "raw", is: "one")
        descriptors = leba.descriptorCount
        #expect(try await round().isEmpty)
      }

      private static let keys = Atomic<UInt64>(1)

      /// What went wrong in exchanges of eight clients, each on a new connection.
      private func round(limit: Duration = patience) async throws -> [String] {
        let listener = listener
        let load = Load<String?>(clients: 8) { _ in
          let key = Self.keys.wrappingAdd(1, ordering: .relaxed).newValue
          do { try KeyedExchange.run(key, through: listener, limit: limit) } catch { return "\(error)" }
          return nil
        }
        try await load.more(Self.exchanges)
        let outcomes = try await load.stop()
        opened += outcomes.count
        return outcomes.compactMap(\.self)
      }

      /// A round in which operations fail, and one more, which must go as if nothing had been.
      ///
      /// - Returns: what went wrong, and how many operations were hit.
      func disturbed(
        by fault: RingFaults.Fault, into operation: RingFaults.Operation, every: Int32, most: Int32 = .max
      ) async throws -> (failures: [String], injected: Int) {
        let what = "\(operation): \(fault)"
        try faults.inject(fault, into: operation, every: every, most: most)
        let failures = try await round()
        try faults.stop()
        let injected = try faults.injected
        #expect(injected > 0, "\(what) has hit")
        #expect(try await round().isEmpty, "after \(what)")
        try await expectAtRest(after: what)
        return (failures, injected)
      }

      /// Every connection has ended, once, and left nothing behind; nobody took a shortage of this host for a failure of the backend.
      private func expectAtRest(after what: String) async throws {
        #expect(leba.isRunning, "\(what): \(leba.log)")
        let (opened, leba, descriptors) = (opened, leba, descriptors)
        try await eventually("all \(opened) connections are counted after \(what)") {
          try await leba.metrics().value("leba_connections_total", ["listener": "raw"]) == Double(opened)
        }
        #expect(try await count("leba_connections_active", ["listener": "raw"]) == 0, "\(what)")
        try await eventually("the descriptors are given back after \(what)") { leba.descriptorCount <= descriptors + 10 }
        let group = try await leba.group("raw")
        #expect(group.primary == "one" && group.primaryIsHealthy && group.failoverCount == 0, "\(what): \(group)")
      }

      func count(_ name: String, _ labels: [String: String] = [:]) async throws -> Double {
        try await leba.metrics().value(name, labels) ?? 0
      }
    }

    @Test func `what passes by itself costs nobody a byte`() async throws {
      let site = try await Site()
      let plan: [(RingFaults.Operation, [RingFaults.Fault], every: Int32)] = [
        (.send, [.atMost(1), .atMost(1000)], 2),
        (.send, [.error(EAGAIN), .error(EINTR)], 3),
        (.receive, [.atMost(1), .atMost(1000)], 2),
        // ENOBUFS: no buffer lay ready.
        (.receive, [.error(EAGAIN), .error(EINTR), .error(ENOBUFS)], 3),
        (.poll, [.error(EAGAIN), .error(EINTR), .error(ENOMEM)], 3),
        (.enter, [.error(EAGAIN), .error(EBUSY), .error(EINTR)], 2),
      ]
      for (operation, faults, every) in plan {
        for fault in faults {
          let outcome = try await site.disturbed(by: fault, into: operation, every: every)
          #expect(outcome.failures.isEmpty, "\(operation): \(fault), \(outcome.injected) times: \(outcome.failures)")
        }
      }
    }

    @Test func `accepting pauses when descriptors or memory run out, resumes, and loses nobody`() async throws {
      let site = try await Site(acceptsSingly: true)
      for error in [EMFILE, ENFILE, ENOBUFS, ENOMEM] {
        let before = try await site.count("leba_accept_pauses_total")
        let outcome = try await site.disturbed(by: .error(error), into: .accept, every: 3, most: 5)
        #expect(outcome.failures.isEmpty, "\(RingFaults.Fault.error(error)): \(outcome.failures)")
        #expect(try await site.count("leba_accept_pauses_total") == before + Double(outcome.injected))
      }
      // These concern one connection that is gone already: no reason to pause.
      let before = try await site.count("leba_accept_pauses_total")
      for error in [ECONNABORTED, EPROTO, EINTR, EAGAIN] {
        let outcome = try await site.disturbed(by: .error(error), into: .accept, every: 3)
        #expect(outcome.failures.isEmpty, "\(RingFaults.Fault.error(error)): \(outcome.failures)")
      }
      #expect(try await site.count("leba_accept_pauses_total") == before)
    }

    @Test func `connections that this host cannot open upstream are held and tried again, and no backend is blamed`() async throws {
      let site = try await Site()
      for error in [EAGAIN, EINTR, ENOBUFS, ENOMEM, EMFILE, ENFILE, EADDRNOTAVAIL] {
        let before = try await site.count("leba_retries_total", ["listener": "raw", "reason": "local"])
        let outcome = try await site.disturbed(by: .error(error), into: .connect, every: 3, most: 5)
        #expect(outcome.failures.isEmpty, "\(RingFaults.Fault.error(error)): \(outcome.failures)")
        let retries = try await site.count("leba_retries_total", ["listener": "raw", "reason": "local"])
        #expect(retries == before + Double(outcome.injected), "\(RingFaults.Fault.error(error))")
      }
      for reason in ["connect_refused", "connect_timed_out", "connect_unreachable"] {
        #expect(try await site.count("leba_retries_total", ["listener": "raw", "reason": reason]) == 0, "\(reason)")
      }
    }

    @Test func `operations that fail for good end their stream and no other`() async throws {
      let site = try await Site()
      let plan: [(RingFaults.Operation, [Int32])] = [
        (.send, [EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT]), (.receive, [ECONNRESET, ENOMEM, ETIMEDOUT]),
      ]
      for (operation, errors) in plan {
        for error in errors {
          let outcome = try await site.disturbed(by: .error(error), into: operation, every: 50, most: 5)
          let what = "\(operation): \(RingFaults.Fault.error(error)), \(outcome.injected) times: \(outcome.failures)"
          #expect(outcome.failures.count <= outcome.injected, "\(what)")
          // Cut short, and not changed.
          #expect(outcome.failures.allSatisfy { $0 == "reset" || $0 == "ended" }, "\(what)")
        }
      }
    }
  }
}
