"""Rows in Markdown, and whether they keep to the bars."""
import statistics

from .peers import HAProxy, LebaEpoll, LebaUring


class Bar:
    """What each engine must reach: a number, or a part of what HAProxy or the best peer takes, round by round."""

    def __init__(self, epoll, uring=None, against=None):
        self.limits = {LebaEpoll: epoll, LebaUring: epoll if uring is None else uring}
        self.against = against

    def __str__(self):
        epoll, uring = self.limits.values()
        numbers = f"{epoll:g}" if epoll == uring else f"{epoll:g} (epoll), {uring:g} (io_uring)"
        return f"at most {numbers}" + {None: "", "HAProxy": " of HAProxy", "best": " of the best peer"}[self.against]

    def reference(self, rounds, key):
        """The peer to compare with, if it is there: the best is the one with the lowest median."""
        wanted = lambda peer: peer is HAProxy if self.against == "HAProxy" else peer.is_rival
        peers = filter(wanted, rounds)
        return min(peers, key=lambda peer: statistics.median(r[key] for r in rounds[peer]), default=None)

    def verdict(self, rounds, key):
        words = []
        for engine, limit in self.limits.items():
            if engine not in rounds:
                continue
            values = [r[key] for r in rounds[engine]]
            beside = ""
            if self.against:
                peer = self.reference(rounds, key)
                if peer is None:
                    continue
                values = [value / r[key] for value, r in zip(values, rounds[peer])]
                beside = f" of {peer.name}"
            value = statistics.median(values)
            met = "met" if value <= limit else "**not met**"
            words.append(f"{engine.engine} {value:.{3 if self.against else 2}f}{beside}: {met}")
        return "; ".join(words)


class Row:
    def __init__(self, text, key, bar=None, decimals=1):
        self.text, self.key, self.bar, self.decimals = text, key, bar, decimals

    def cell(self, results):
        if not results:
            return "–"
        values = sorted(r[self.key] for r in results)
        numbers = [f"{value:.{self.decimals}f}" for value in (statistics.median(values), values[0], values[-1])]
        errors = sum(r["errors"] for r in results)
        spread = f" ({numbers[1]}–{numbers[2]})" if len(values) > 1 else ""
        return numbers[0] + spread + (f" **{errors} errors**" if errors else "")

    def markdown(self, rounds, columns):
        cells = [self.cell(rounds.get(column)) for column in columns]
        bar = [str(self.bar), self.bar.verdict(rounds, self.key)] if self.bar else ["", ""]
        return "| " + " | ".join([self.text, *cells, *bar]) + " |"
