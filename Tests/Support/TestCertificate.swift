import Foundation

/// A certificate that signs itself, and so is its own authority.
package struct TestCertificate: Sendable {
  package let certificate: String
  package let key: String

  /// `days`: -1 for one that has expired.
  package init(for name: String, days: Int = 2) async throws {
    let directory = try TemporaryDirectory()
    let (key, request, certificate) = (directory.file("key"), directory.file("request"), directory.file("certificate"))
    try await mustRun(
      "openssl",
      [
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
        "-subj", "/CN=\(name)", "-addext", "subjectAltName=DNS:\(name)",
      ])
    try await mustRun(
      "openssl",
      [
        "x509", "-req", "-in", request, "-signkey", key, "-days", "\(days)", "-copy_extensions", "copy", "-out", certificate,
      ])
    self.certificate = readFile(certificate)
    self.key = readFile(key)
  }
}
