import Foundation

/// A real web server over TLS. `/` answers with the server name that the client asked for, `-` where it asked for none.
package final class TLSWebServer: Sendable {
  package let endpoint: Endpoint
  private let directory: TemporaryDirectory
  private let child: ChildProcess

  package init(_ certificate: TestCertificate) async throws {
    endpoint = Endpoint.ip("127.0.0.1", try FreePorts.next())
    directory = try TemporaryDirectory()
    try directory.write(certificate.certificate, to: "certificate")
    try directory.write(certificate.key, to: "key")
    try directory.write(
      """
      daemon off;
      master_process off;
      pid \(directory.file("pid"));
      error_log stderr;
      events { worker_connections 64; }
      http {
        access_log off;
        client_body_temp_path \(directory.file("body"));
        proxy_temp_path \(directory.file("proxy"));
        fastcgi_temp_path \(directory.file("fastcgi"));
        uwsgi_temp_path \(directory.file("uwsgi"));
        scgi_temp_path \(directory.file("scgi"));
        server {
          listen \(endpoint) ssl;
          ssl_certificate \(directory.file("certificate"));
          ssl_certificate_key \(directory.file("key"));
          default_type text/plain;
          location = / { return 200 "$ssl_server_name-"; }
        }
      }
      """, to: "nginx.conf")
    let child = try ChildProcess(
      "nginx", ["-p", directory.path, "-c", directory.file("nginx.conf"), "-e", "stderr"], outputs: directory)
    self.child = child
    try await eventually("nginx answers over TLS") { [endpoint] in
      try child.mustBeRunning()
      return try await run("curl", ["-sk", "https://\(endpoint)/"]).output.hasSuffix("-")
    }
  }
}
