"""What is measured of a proxy."""
import contextlib
import os
import pathlib
import resource
import socket
import subprocess
import time

from .processes import OTHER_CPU, Unavailable, output, spawn

IDLE_CONNECTIONS = 5000
KERNEL_HALF = 1 << 63


class Machine:
    """What else ran while we measured: a table from a busy machine should say so."""

    def __init__(self):
        self.seconds = self.others = 0.0

    @staticmethod
    def busy_seconds():
        fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        user, nice, system, _, _, interrupts, deferred, stolen = (int(field) / os.sysconf("SC_CLK_TCK") for field in fields)
        return user + nice + system + interrupts + deferred + stolen

    @staticmethod
    def our_seconds(servers):
        ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return ours + sum(server.cpu_nanoseconds() for server in servers) / 1e9

    @contextlib.contextmanager
    def watched(self, *servers):
        begun, before = time.monotonic(), self.busy_seconds() - self.our_seconds(servers)
        yield
        self.seconds += time.monotonic() - begun
        self.others += self.busy_seconds() - self.our_seconds(servers) - before

    def __str__(self):
        share = max(0, self.others) / max(self.seconds, 1)
        advice = " Not a quiet machine: measure again." if share > 0.1 else ""
        return f"Other work while measuring: {share:.0%} of one CPU.{advice}"


class Load:
    """CPU per request, or per gigabyte, under what one client does."""

    def __init__(self, name, title, client, seconds=2.0, per="requests"):
        self.name, self.title, self.client, self.seconds, self.per = name, title, client, seconds, per

    def measure(self, proxy, seconds, machine):
        with machine.watched(proxy, proxy.backend):
            before = proxy.cpu_nanoseconds()
            result = self.client.run(proxy.port, seconds)
            spent = proxy.cpu_nanoseconds() - before
        amount = result[self.per]
        if not amount:
            raise SystemExit(f"bench/proxy: nothing came through {proxy.name}; see {proxy.log}")
        # Microseconds for a request, milliseconds for a gigabyte.
        result["cpu"] = spent / amount / (1e3 if self.per == "requests" else 1e6)
        return result


class UserSpace(Load):
    """The part of that which is spent outside the kernel; see the head of bench/proxy."""

    def measure(self, proxy, seconds, machine):
        data = proxy.directory / "perf.data"
        perf = ["perf", "record", "-q", "-B", "-N", "-e", "cpu-clock", "-F", "4000", "-p", proxy.child.pid, "-o", data]
        perf += ["--", "sleep", seconds]
        sampler = spawn(OTHER_CPU, perf, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            result = super().measure(proxy, seconds, machine)
        finally:
            sampler.wait()
        text = output(OTHER_CPU, "perf", "script", "-i", data, "-F", "ip")
        addresses = [int(line, 16) for line in text.split()]
        if len(addresses) < 100:
            raise Unavailable("perf took no samples")
        result["user share"] = sum(address < KERNEL_HALF for address in addresses) / len(addresses)
        result["user"] = result["cpu"] * result["user share"]
        return result


class Memory:
    """Of a fresh process: idle, and for each connection through it that did one request and stays."""

    name, title = "memory", "memory"

    def measure(self, proxy):
        resident, private, anonymous = proxy.settled_memory()
        with contextlib.ExitStack() as open_connections:
            for _ in range(IDLE_CONNECTIONS):
                connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
                open_connections.enter_context(connection)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                answer = b""
                while not answer.endswith(b"ok\n"):
                    received = connection.recv(4096)
                    if not received:
                        raise SystemExit(f"bench/proxy: {proxy.name} ended one of {IDLE_CONNECTIONS} connections; see {proxy.log}")
                    answer += received
            grown = proxy.settled_memory()[0]
        megabyte = 1 << 20
        each = (grown - resident) / IDLE_CONNECTIONS
        idle = {"resident": resident / megabyte, "private": private / megabyte, "anonymous": anonymous / megabyte}
        return {**idle, "each": each, "errors": 0}
