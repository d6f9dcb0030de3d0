"""Brute force over shared links: every placement and start of the oracle, every start of every transfer."""

from __future__ import annotations

from dataclasses import dataclass

from spikepipe_sched import Problem
from tests.oracle import Oracle, TooLarge


@dataclass(frozen=True)
class Sent:
    """One edge's tensor from a copy to a copy; a delayed reader takes whatever is there."""

    tensor: int
    copy: int
    source: int
    target: int
    distance: int
    delayed: bool


#: Earliest start, latest start, cycles and links of a transfer.
Window = tuple[int, int, int, frozenset[object]]


class LinkOracle:
    """The least period or makespan of a problem without lags, limits and memories; they are not looked at."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.oracle = problem, Oracle(problem)
        self.sent = self._sent()
        #: All work and all transfers in a row, which is long enough for anything.
        self.serial = sum(max(c) for c in self.oracle.cycles) + sum(self._cycles(s.tensor) + problem.interconnect.latency_cycles for s in self.sent)

    def _cycles(self, tensor: int) -> int:
        bandwidth = self.problem.interconnect.bandwidth_bytes_per_cycle
        assert bandwidth is not None  # shared links have one
        return -(-int(self.problem.tensor_bytes[tensor]) // bandwidth)

    def _sent(self) -> list[Sent]:
        problem, index = self.problem, self.oracle.index
        edges, kinds, periodic, m = problem.edges, problem.tasks.kinds, self.oracle.periodic, problem.micro_batches
        found: list[Sent] = []
        for e in range(len(edges.source)):
            u, v, d, delayed = int(edges.source[e]), int(edges.target[e]), max(int(edges.distance[e]), 0), int(edges.delay_layer[e]) >= 0
            for t in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
                if periodic:
                    found.append(Sent(t, 0, index[u, 0], index[v, 0], d, delayed))
                elif not delayed and kinds[u] != "U" and kinds[v] == "U" and d == 0:
                    found += [Sent(t, 0, index[u, i], index[v, 0], 0, delayed=False) for i in range(m)]
                elif not delayed and kinds[u] != "U" and kinds[v] != "U":
                    found += [Sent(t, i, index[u, i], index[v, i + d], 0, delayed=False) for i in range(m - d)]
        return found

    def least_length(self) -> int:
        """The least length at which some candidate's transfers fit.

        Raises
        ------
        TooLarge
            If there are too many candidates.
        """
        for length in range(1 if self.oracle.periodic else 0, self.serial + 1):
            if self.oracle.periodic:
                place, start = self.oracle.enumerate(min(self.serial + length, 4 * length + 4), length)
            else:
                place, start = self.oracle.enumerate(length + 1, None, length)
            period = length if self.oracle.periodic else None
            tried = set[tuple[Window, ...]]()
            for where, when in zip(place.tolist(), start.tolist(), strict=True):
                windows = tuple(self._windows(where, when, period))
                if windows not in tried and self._fits(windows, (), period):
                    return length
                tried.add(windows)
        raise TooLarge

    def _windows(self, place: list[int], start: list[int], period: int | None) -> list[Window]:
        """When every transfer may start, so that producers have ended and readers find it."""
        first: dict[tuple[int, int, int, int], int] = {}
        last: dict[tuple[int, int, int, int], int] = {}
        for s in self.sent:
            sender, receiver = place[s.source], place[s.target]
            if sender != receiver:
                key = s.tensor, s.copy, sender, receiver
                first[key] = max(first.get(key, 0), start[s.source] + self.oracle.cycles[s.source][sender])
                if not s.delayed:
                    needed = start[s.target] + s.distance * (period or 0) - self.problem.interconnect.latency_cycles - self._cycles(s.tensor)
                    last[key] = min(last.get(key, needed), needed)
        # What only delayed readers wait for may go at any phase.
        return [(begin, last.get(key, begin + (period or 0)), self._cycles(key[0]), self._links(*key[2:])) for key, begin in sorted(first.items())]

    def _links(self, sender: int, receiver: int) -> frozenset[object]:
        kinds = {"bus": {"bus"}, "ports": {("out", sender), ("in", receiver)}, "pairs": {(sender, receiver)}}
        return frozenset(kinds[self.problem.interconnect.sharing])

    def _fits(self, left: tuple[Window, ...], taken: tuple[tuple[int, int, frozenset[object]], ...], period: int | None) -> bool:
        """Whether the transfers left find starts beside those taken."""
        if not left:
            return True
        (earliest, latest, cycles, links), *rest = left
        if period is not None:
            latest = min(latest, earliest + period - 1) if cycles <= period else -1
        for start in range(earliest, latest + 1):
            clear = True
            for other, length, held in taken:
                if held & links and period is None:
                    clear &= other + length <= start or start + cycles <= other
                elif held & links and period is not None:
                    clear &= (other - start) % period >= cycles and (start - other) % period >= length
            if clear and self._fits(tuple(rest), (*taken, (start, cycles, links)), period):
                return True
        return False
