"""Who asks. Both say how many requests were answered, how many failed, and how long the answers took in microseconds."""
import re

from .processes import OTHER_CPU, compiled, output


class Wrk:
    """As many requests as the connections allow, each connection with one at a time."""

    def __init__(self, connections, headers=()):
        self.connections, self.headers = connections, headers

    def run(self, port, seconds):
        headers = [word for header in self.headers for word in ("-H", header)]
        options = ["-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency", *headers]
        text = output(OTHER_CPU, "wrk", *options, f"http://127.0.0.1:{port}/")
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        errors = sum(map(int, broken.groups())) if broken else 0
        return {
            "requests": requests,
            "errors": errors + (int(refused.group(1)) if refused else 0),
            "rate": float(re.search(r"Requests/sec: *([\d.]+)", text).group(1)),
            "p50": self.microseconds(text, "50%"),
            "p99": self.microseconds(text, "99%"),
        }

    @staticmethod
    def microseconds(text, which):
        number, unit = re.search(rf"^ *{which} +([\d.]+)(us|ms|s)", text, re.MULTILINE).groups()
        return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


class Pace:
    """A fixed number of requests a second, or with rate 0 bodies one after the other."""

    program = None

    def __init__(self, connections, rate, path="/"):
        self.connections, self.rate, self.path = connections, rate, path

    @classmethod
    def build(cls, directory):
        cls.program = compiled("pace.c", directory)

    def run(self, port, seconds):
        text = output(OTHER_CPU, self.program, port, self.path, self.connections, self.rate, seconds)
        requests, errors, received, p50, p99 = text.split()
        return {
            "requests": int(requests),
            "errors": int(errors),
            "gigabytes": int(received) / 1e9,
            "gigabytes/s": int(received) / 1e9 / seconds,
            "rate": int(requests) / seconds,
            "p50": float(p50),
            "p99": float(p99),
        }
