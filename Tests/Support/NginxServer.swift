import Foundation
import Synchronization

/// A real web server that answers with its own name, so that a test sees who served it.
///
/// `/` gives the name; `/client` the client's address and both ports as the PROXY protocol told them; `/slow` trickles 64 KiB at 32 KiB a second, without longer pauses; `/health` answers 200.
package final class NginxServer: Sendable {
  package let name: String
  package let endpoint: Endpoint
  /// Where every connection must begin with a header of the PROXY protocol.
  package let endpointWithHeader: Endpoint
  private let directory: TemporaryDirectory
  private let process = Mutex<ChildProcess?>(nil)

  /// - Parameter requestTimeout: how long it waits for a request on a connection.
  package init(_ name: String, host: String = "127.0.0.1", port: UInt16? = nil, requestTimeout: String = "60s") async throws {
    self.name = name
    let endpoint = Endpoint.ip(host, try port ?? FreePorts.next())
    self.endpoint = endpoint
    endpointWithHeader = .ip(host, try FreePorts.next())
    directory = try TemporaryDirectory()
    // One process: it is killed and frozen whole, and leaves no workers behind when the test process dies.
    try directory.write(
      """
      daemon off;
      master_process off;
      pid \(directory.file("pid"));
      error_log stderr;
      worker_rlimit_nofile 16000;
      events { worker_connections 8000; }
      http {
        log_format line "$status";
        access_log off;
        client_header_timeout \(requestTimeout);
        keepalive_timeout 600s;
        keepalive_requests 1000000;
        client_body_temp_path \(directory.file("body"));
        proxy_temp_path \(directory.file("proxy"));
        fastcgi_temp_path \(directory.file("fastcgi"));
        uwsgi_temp_path \(directory.file("uwsgi"));
        scgi_temp_path \(directory.file("scgi"));
        server {
          listen \(endpoint);
          listen \(endpointWithHeader) proxy_protocol;
          default_type text/plain;
          root \(directory.file("files"));
          location = / { access_log \(directory.file("served")) line; return 200 "\(name)"; }
          location = /client { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port"; }
          location = /health { return 200 "ok"; }
          location = /slow { limit_rate 32k; sendfile on; sendfile_max_chunk 2k; }
        }
      }
      """, to: "nginx.conf")
    try FileManager.default.createDirectory(atPath: directory.file("files"), withIntermediateDirectories: true)
    // nginx gives up root for its work.
    chmod(directory.file("files"), 0o755)
    try directory.write(String(repeating: "x", count: 64 * 1024), to: "files/slow")
    try await start()
  }

  package func start() async throws {
    let child = try ChildProcess(
      "nginx", ["-p", directory.path, "-c", directory.file("nginx.conf"), "-e", "stderr"], outputs: directory)
    process.withLock { $0 = child }
    try await eventually("nginx \(name) answers") {
      try child.mustBeRunning()
      return try await HTTP.get("/", from: endpoint).body == name
    }
  }

  /// How many requests for `/` have arrived here, with an answer begun for each.
  package var requestCount: Int { readFile(directory.file("served")).utf8.count { $0 == UInt8(ascii: "\n") } }

  package func kill() async throws {
    process.withLock { $0 }?.signal(SIGKILL)
    try await process.withLock { $0 }?.ended()
  }

  package func freeze() { process.withLock { $0 }?.signal(SIGSTOP) }
  package func thaw() { process.withLock { $0 }?.signal(SIGCONT) }
}
