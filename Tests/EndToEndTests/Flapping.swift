import TestSupport

extension EndToEnd {
  /// How a server fails again and again.
  enum Flapping: String, CaseIterable {
    /// It goes silent with all its connections, and goes on as if nothing had been.
    case freezes
    /// Its process dies with all its connections, its port refuses new ones, and another process opens it again.
    case refuses

    fileprivate func begin(_ server: NginxServer) async throws {
      switch self {
      case .freezes: server.freeze()
      case .refuses: try await server.kill()
      }
    }

    fileprivate func end(_ server: NginxServer) async throws {
      switch self {
      case .freezes: server.thaw()
      case .refuses: try await server.start()
      }
    }
  }

  /// Lets a server fail for half of each period, and leaves it running.
  ///
  /// - Returns: when it failed each time: from just before to just after.
  @discardableResult
  static func withFlapping(
    _ server: NginxServer, _ flapping: Flapping, period: Duration, _ body: () async throws -> Void
  ) async throws -> [ClosedRange<ContinuousClock.Instant>] {
    let task = Task {
      var failures: [ClosedRange<ContinuousClock.Instant>] = []
      while !Task.isCancelled {
        // In a task of its own, which nobody cancels halfway.
        failures.append(
          try await Task {
            let began = ContinuousClock.now
            try await flapping.begin(server)
            return began...ContinuousClock.now
          }.value)
        try? await Task.sleep(for: period / 2)
        try await Task { try await flapping.end(server) }.value
        try? await Task.sleep(for: period / 2)
      }
      return failures
    }
    defer { task.cancel() }
    try await body()
    task.cancel()
    return try await task.value
  }
}
