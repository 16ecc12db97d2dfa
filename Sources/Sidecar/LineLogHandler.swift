import Foundation
import Logging

/// One line an event on standard error, with milliseconds, because failovers are measured in them:
/// `2026-11-23T02:12:45.123Z warning web: failover from web1 to web2: … key=value`.
struct LineLogHandler: LogHandler {
  var logLevel = Logger.Level.info
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var line = "\(Date().formatted(Self.timestamp)) \(event.level) \(event.message)"
    let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
    for (key, value) in fields.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(value)" }
    // One event is one line, whatever a peer managed to put into it.
    printError(String(line.map { $0.isNewline ? " " : $0 }))
  }

  private static let timestamp = Date.ISO8601FormatStyle(includingFractionalSeconds: true, timeZone: .gmt)
}

extension Logger {
  static func sidecar(level: Logger.Level) -> Logger {
    LoggingSystem.bootstrap { _ in LineLogHandler() }
    var logger = Logger(label: "leba")
    logger.logLevel = level
    return logger
  }
}
