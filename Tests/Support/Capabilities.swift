import Foundation

/// What this process may do, for tests that need more than others.
public enum Capabilities {
  /// Whether it may have namespaces of its own: root outside of a container, as a rule.
  public static var allowNamespaces: Bool {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    let effective = line.flatMap { UInt64($0.dropFirst("CapEff:".count).trimmingCharacters(in: .whitespaces), radix: 16) } ?? 0
    // CAP_SYS_ADMIN of capability.h.
    return effective & 1 << 21 != 0
  }
}
