"""Child processes, each on the CPU it belongs on, and what they cost."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

PROXY_CPU, OTHER_CPU = 0, 1


def say(text):
    print(f"bench/proxy: {text}", file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def spawn(cpu, command, **more):
    """A child that runs on one CPU only, from its first instruction on."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        return subprocess.Popen([str(word) for word in command], **more)
    finally:
        os.sched_setaffinity(0, mine)


def output(cpu, *command):
    """What a program prints that runs on one CPU only."""
    child = spawn(cpu, command, stdout=subprocess.PIPE, text=True)
    try:
        text = child.communicate()[0]
    except BaseException:
        child.kill()
        child.wait()
        raise
    if child.returncode != 0:
        raise SystemExit(f"bench/proxy: {command[0]} ended with {child.returncode}")
    return text


def compiled(source, directory, *options):
    """A program of one C file of this folder."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        raise SystemExit(f"bench/proxy: neither cc nor clang to compile bench/relay/{source} with")
    program = directory / pathlib.Path(source).stem
    command = [compiler, "-O2", "-Wall", *options, "-o", program, pathlib.Path(__file__).resolve().parent / source]
    if subprocess.run([str(word) for word in command]).returncode != 0:
        raise SystemExit(f"bench/proxy: {compiler} could not compile bench/relay/{source}")
    return program


class Unavailable(Exception):
    """A peer that this machine does not have; the text says why."""


class Server:
    """A process that answers HTTP on a port of its own."""

    cpu = PROXY_CPU

    def __init__(self, directory):
        self.port = free_port()
        self.directory = directory / f"{type(self).__name__}-{self.port}"
        self.directory.mkdir()
        self.log = self.directory / "log"
        command = self.command()
        with open(self.log, "wb") as log:
            self.child = spawn(self.cpu, command, stdout=log, stderr=log)
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def wait_until_it_answers(self):
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2).read()
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(" ".join(self.log.read_text(errors="replace").split())[-300:] or "it does not answer")
            time.sleep(0.02)

    def cpu_nanoseconds(self):
        # The kernel's number for the CPU clock of another process; see clock_getcpuclockid(3).
        return time.clock_gettime_ns((~self.child.pid << 3) | 2)

    def memory(self):
        """Resident, private, and anonymous bytes. The pages of a program's file are private, too, while one process runs it."""
        sums = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0, "Anonymous": 0}
        for line in pathlib.Path(f"/proc/{self.child.pid}/smaps_rollup").read_text().splitlines():
            name = line.split(":")[0]
            if name in sums:
                sums[name] = int(line.split()[1]) * 1024
        return sums["Rss"], sums["Private_Clean"] + sums["Private_Dirty"], sums["Anonymous"]

    def settled_memory(self):
        """Its memory once it has not changed for two seconds, or after twenty."""
        begun = since = time.monotonic()
        last = self.memory()
        while time.monotonic() - since < 2 and time.monotonic() - begun < 20:
            time.sleep(0.25)
            current = self.memory()
            if abs(current[0] - last[0]) > 32 << 10:
                since = time.monotonic()
                last = current
        return self.memory()

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
