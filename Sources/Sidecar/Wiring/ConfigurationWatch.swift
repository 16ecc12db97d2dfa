import Dispatch
import Foundation
import Synchronization
import Threads

/// Tells when the configuration file has other contents than before. Whether they are any good is for the reader to say.
final class ConfigurationWatch: Sendable {
  /// An editor writes, renames and sets times: once is enough.
  private static let quiet = DispatchTimeInterval.milliseconds(100)

  private struct State {
    var contents: Data?
    var isScheduled = false
  }

  private let file: String
  private let queue = DispatchQueue(label: "leba.configuration", qos: .utility)
  private let state: Mutex<State>
  /// Touched on the queue only.
  nonisolated(unsafe) private var source: (any DispatchSourceRead)?

  /// Looks at the file as it is now, before the caller reads it: what changes in between is not missed.
  init(_ file: String) {
    self.file = file
    state = Mutex(State(contents: FileManager.default.contents(atPath: file)))
  }

  /// - Returns: false where the system gives no word of changes.
  func start(onChange: @escaping @Sendable () -> Void) -> Bool {
    let watch = FileWatch([file])
    guard let descriptor = watch.descriptor else { return false }
    queue.sync {
      let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
      source.setEventHandler { [weak self] in
        watch.takeEvents()
        self?.schedule(onChange)
      }
      source.resume()
      self.source = source
    }
    return true
  }

  func stop() {
    queue.sync {
      source?.cancel()
      source = nil
    }
  }

  private func schedule(_ onChange: @escaping @Sendable () -> Void) {
    let isFirst = state.withLock { state in
      defer { state.isScheduled = true }
      return !state.isScheduled
    }
    guard isFirst else { return }
    queue.asyncAfter(deadline: .now() + Self.quiet) { [weak self] in
      guard let self else { return }
      // One that is gone is news, too, and so is the same one when it is back.
      let contents = FileManager.default.contents(atPath: self.file)
      let isNews = self.state.withLock { state in
        state.isScheduled = false
        defer { state.contents = contents }
        return contents != state.contents
      }
      if isNews { onChange() }
    }
  }
}
