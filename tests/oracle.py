"""Brute force over all placements and starts of very small problems, and a source of such problems.

Written from the definitions alone: it shares no code with the checker, the bounds or a solver. Rows
of the arrays are candidates; every constraint removes rows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import networkx as nx
import numpy as np

from spikepipe_sched import Interconnect, Limits, Platform, Problem, SystolicArray


def random_problem(seed: int, mode: str, *, unroll: int = 1) -> Problem:
    """A small problem with transfers, and now and then delay limits, memory limits, unlike processors."""
    rng = random.Random(f"{mode}-{seed}")
    unlike = rng.random() < 0.4
    memory = rng.choice([None, None, rng.randint(3, 9)])
    classes = {"a": SystolicArray(rows=1, cols=1, memory_bytes=memory), "b": SystolicArray(rows=1, cols=1, memory_bytes=rng.choice([memory, None]))}
    link = Interconnect(latency_cycles=rng.randint(0, 2), bandwidth_bytes_per_cycle=rng.randint(1, 2))
    platform = Platform(name="small", classes=classes, processors=("a", "b") if unlike else ("a", "a"), interconnect=link, clock_hz=1)
    n = rng.randint(2, 4 if mode == "periodic" else 3) if unroll == 1 else 2
    longest = 3 if n < 4 else 2
    graph: nx.DiGraph = nx.DiGraph()
    updates = rng.random() < 0.8
    for i in range(n):
        cycles = {"a": rng.randint(0 if rng.random() < 0.1 else 1, longest), "b": rng.randint(1, longest)}
        if unlike and rng.random() < 0.15:
            del cycles[rng.choice("ab")]
        kind = "U" if updates and i == n - 1 else "F" if i == 0 else "W"
        graph.add_node(f"t{i}", cycles=cycles, kind=kind, layer="l")
    for i in range(n):
        for j in range(i + 1, n):
            if rng.random() < 0.55 or (updates and j == n - 1 and i == n - 2):
                # Two producers of one tensor make a sum.
                name = "sum" if j == n - 1 and updates and rng.random() < 0.5 else f"x{i}" if rng.random() < 0.6 else f"x{i}{j}"
                size = 2 if name == "sum" else 1 + i % 2
                graph.add_edge(f"t{i}", f"t{j}", tensors={name: size} if rng.random() < 0.8 else {}, distance=0)
    if updates:
        graph.add_edge(f"t{n - 1}", f"t{n - 1}", tensors={"w": 2}, distance=1)
        for j in range(n - 1):
            if j == 0 or rng.random() < 0.3:
                graph.add_edge(f"t{n - 1}", f"t{j}", tensors={"w": 2}, delay_layer="l")
    elif mode == "periodic" and rng.random() < 0.5:
        graph.add_edge(f"t{n - 1}", "t0", tensors={"back": 1}, distance=rng.choice([1, 2, 4]))
    limits = Limits(
        delay=rng.choice([None, None, 1, 2]) if updates and mode == "periodic" else None,
        traffic_bytes=rng.choice([None, None, None, 2]),
    )
    weights = rng.choice(["stash", "stash", "latest"])
    return Problem.from_graph(
        graph, platform, mode=mode, limits=limits, weights=weights, unroll=unroll, micro_batches=1 if mode == "periodic" else rng.randint(1, 2)
    )


#: More candidates than this are not enumerated.
MOST_ROWS = 1_000_000


class TooLarge(Exception):
    """The problem has too many candidates to enumerate."""


@dataclass
class _Flow:
    source: int
    target: int
    tensor: int
    instance: tuple[int, int]
    distance: int
    transfer: int
    summed: bool


class Oracle:
    """All candidates of one problem, as arrays: place (C, N) and start (C, N)."""

    def __init__(self, problem: Problem) -> None:
        self.p = problem
        tasks = problem.tasks
        self.periodic = problem.mode == "periodic"
        m = self.k = problem.unroll if self.periodic else problem.micro_batches
        self.copies = [(t, i) for t in range(len(tasks.names)) for i in range(1 if self._single(t) else m)]
        self.index = {copy: k for k, copy in enumerate(self.copies)}
        self.cycles = [[int(tasks.cycles[t, q.kind]) for q in problem.processors] for t, _ in self.copies]
        self.edges: list[tuple[int, int, int, int, list[int]]] = []  # between copies: source, target, periods, transfer, tensors
        self.delayed: list[tuple[int, int, bool, int, list[int]]] = []  # between tasks: source, target, into F, transfer, tensors
        link = problem.interconnect
        for e in range(len(problem.edges.source)):
            u, v, d = int(problem.edges.source[e]), int(problem.edges.target[e]), int(problem.edges.distance[e])
            tensors = problem.edges.tensor[problem.edges.tensor_ptr[e] : problem.edges.tensor_ptr[e + 1]].tolist()
            size = sum(int(problem.tensor_bytes[t]) for t in tensors)
            transfer = (
                link.latency_cycles + (-(-size // link.bandwidth_bytes_per_cycle) if link.bandwidth_bytes_per_cycle else 0)
                if size
                else link.signal_latency_cycles
            )
            delayed = int(problem.edges.delay_layer[e]) >= 0
            if delayed and self.periodic:
                self.delayed.append((u, v, tasks.kinds[v] == "F", transfer, tensors))
                continue
            for i in range(m):
                if self.periodic:
                    self.edges.append((self.index[u, i], self.index[v, (i + d) % m], (i + d) // m, transfer, tensors))
                elif not self._single(u) and (self._single(v) or i + d < m) and not (self._single(v) and d > 0):
                    self.edges.append((self.index[u, i], self.index[v, 0 if self._single(v) else i + d], 0, transfer, tensors))
        producers: dict[int, set[int]] = {}
        for e in range(len(problem.edges.source)):
            for t in problem.edges.tensor[problem.edges.tensor_ptr[e] : problem.edges.tensor_ptr[e + 1]].tolist():
                producers.setdefault(t, set()).add(int(problem.edges.source[e]))
        self.shared = {t for t, tasks_ in producers.items() if len(tasks_) > 1}

    def _flows(self, delays: dict[bool, int]) -> list[_Flow]:
        """All data movements under a forward and a backward delay."""
        edges = list(self.edges)
        for u, v, forward, transfer, tensors in self.delayed:
            for i in range(self.k):
                later = i + delays[forward]
                edges.append((self.index[u, i], self.index[v, later % self.k], later // self.k, transfer, tensors))
        found: list[_Flow] = []
        for u, v, d, transfer, tensors in edges:
            to_single = not self.periodic and self._single(self.copies[v][0])
            for t in tensors:
                which = (t, 0 if to_single else self.copies[u][1])
                found.append(_Flow(u, v, t, which, d, transfer, to_single or t in self.shared))
        return found

    def _single(self, task: int) -> bool:
        return not self.periodic and self.p.tasks.kinds[task] == "U"

    def enumerate(self, horizon: int, period: int | None, latest: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """All placements and starts below ``horizon`` that satisfy overlap and precedence, ends up to ``latest``."""
        count, n = len(self.p.processors), len(self.copies)
        place, start = np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
        for v in range(n):
            options = [(q, s) for q in range(count) if self.cycles[v][q] >= 0 for s in range(horizon)]
            q, s = np.array([o[0] for o in options]), np.array([o[1] for o in options])
            rows = len(place)
            if rows * len(options) > MOST_ROWS:
                raise TooLarge
            place = np.hstack([np.repeat(place, len(options), axis=0), np.tile(q, rows)[:, None]])
            start = np.hstack([np.repeat(start, len(options), axis=0), np.tile(s, rows)[:, None]])
            keep = np.ones(len(place), dtype=bool)
            c = self._durations(place)
            if latest is not None:
                keep &= start[:, v] + c[:, v] <= latest
            if period is not None:
                keep &= c[:, v] <= period
            for u in range(v):
                same = place[:, u] == place[:, v]
                if not self.periodic and self.copies[u][0] == self.copies[v][0]:
                    keep &= same
                busy = same & (c[:, u] > 0) & (c[:, v] > 0)
                if period is None:
                    clash = (start[:, u] < start[:, v] + c[:, v]) & (start[:, v] < start[:, u] + c[:, u])
                else:
                    clash = ((start[:, v] - start[:, u]) % period < c[:, u]) | ((start[:, u] - start[:, v]) % period < c[:, v])
                keep &= ~(busy & clash)
            for a, b, d, transfer, _ in self.edges:
                if max(a, b) == v:
                    late = start[:, a] + c[:, a] + np.where(place[:, a] != place[:, b], transfer, 0)
                    keep &= start[:, b] + d * (period or 0) >= late
            place, start = place[keep], start[keep]
        if period is not None:
            first = start.min(axis=1, initial=0) == 0 if n else np.ones(len(start), dtype=bool)
            place, start = place[first], start[first]
        return place, start

    def _durations(self, place: np.ndarray) -> np.ndarray:
        table = np.array(self.cycles)
        return table[np.arange(place.shape[1])[None, :], place]

    def optimum(self, longest: int = 40) -> tuple[int, ...] | None:
        """Lexicographically least objective values; None if nothing is feasible up to a length of ``longest``."""
        serial = sum(max(c) for c in self.cycles) + sum(e[3] for e in self.edges) + self.k * sum(e[3] for e in self.delayed)
        if not self.periodic:
            for makespan in range(serial + 1):
                found = self._best(*self.enumerate(makespan + 1, None, makespan), None)
                if found is not None and (self.p.objective[0] == "makespan" or makespan == serial):
                    return found
            return None
        for period in range(1, min(longest, serial) + 1):
            found = self.at(period)
            if found is not None:
                return found
        return None

    def at(self, period: int) -> tuple[int, ...] | None:
        """Lexicographically least objective values at one period; None if nothing is feasible at it."""
        # A tensor read d iterations later is held least long by a producer that runs d periods later.
        farthest = max((e[2] for e in self.edges if e[0] != e[1]), default=0)
        depth = sum(max(c) for c in self.cycles) + max((e[3] for e in [*self.edges, *self.delayed]), default=0) * (len(self.cycles) - 1)
        return self._best(*self.enumerate(min(depth + period, 4 * period + 4) + farthest * period, period), period)

    def _best(self, place: np.ndarray, start: np.ndarray, period: int | None) -> tuple[int, ...] | None:
        if not len(place):
            return None
        c = self._durations(place)
        end = start + c
        delays = {side: self._delay(place, start, end, side, period) for side in (True, False)}
        traffic = np.zeros(len(place), dtype=np.int64)
        memory = np.zeros((len(place), len(self.p.processors)), dtype=np.int64)
        for forward, backward in sorted(set(zip(delays[True].tolist(), delays[False].tolist(), strict=True))):
            rows = (delays[True] == forward) & (delays[False] == backward)
            flows = self._flows({True: forward, False: backward})
            traffic[rows] = self._traffic(place[rows], flows)
            memory[rows] = self._memory(place[rows], start[rows], end[rows], flows, period)
        limits = self.p.limits
        keep = np.ones(len(place), dtype=bool)
        if limits.delay is not None:
            keep &= delays[True] <= limits.delay
        if limits.traffic_bytes is not None:
            keep &= traffic <= limits.traffic_bytes
        for q, processor in enumerate(self.p.processors):
            if processor.memory_bytes is not None:
                keep &= memory[:, q] <= processor.memory_bytes
        if not keep.any():
            return None
        length = np.full(len(place), period) if period is not None else end.max(axis=1)
        values = {"period": length, "makespan": length, "delay": delays[True], "traffic": traffic, "memory": memory.max(axis=1)}
        rows = np.stack([values[name] for name in self.p.objective])[:, keep]
        return tuple(int(x) for x in rows[:, np.lexsort(rows[::-1])[0]])

    def _delay(self, place: np.ndarray, start: np.ndarray, end: np.ndarray, forward: bool, period: int | None) -> np.ndarray:
        """(C,) The least D >= 1 at which no edge from an update into F (or, else, elsewhere) is broken; 0 without such edges."""
        mine = [edge for edge in self.delayed if self.p.weights == "stash" or edge[2] == forward]
        if not self.delayed or period is None:
            return np.zeros(len(place), dtype=np.int64)
        if not mine:  # nothing but the other side reads the weights
            return np.ones(len(place), dtype=np.int64) if forward else self._delay(place, start, end, True, period)
        found, delay = np.zeros(len(place), dtype=np.int64), 0
        while not found.all():
            delay += 1
            holds = np.ones(len(place), dtype=bool)
            for u, v, _, transfer, _ in mine:
                for i in range(self.k):
                    a, b = self.index[u, i], self.index[v, (i + delay) % self.k]
                    holds &= start[:, b] + (i + delay) // self.k * period >= end[:, a] + np.where(place[:, a] != place[:, b], transfer, 0)
            found[(found == 0) & holds] = delay
        return found

    def _traffic(self, place: np.ndarray, flows: list[_Flow]) -> np.ndarray:
        total = np.zeros(len(place), dtype=np.int64)
        for which in sorted({f.instance for f in flows}):
            mine = [f for f in flows if f.instance == which]
            for p in range(len(self.p.processors)):
                for q in range(len(self.p.processors)):
                    if p != q:
                        crosses = np.zeros(len(place), dtype=bool)
                        for f in mine:
                            crosses |= (place[:, f.source] == p) & (place[:, f.target] == q)
                        total += crosses * int(self.p.tensor_bytes[which[0]])
        return total

    def _memory(self, place: np.ndarray, start: np.ndarray, end: np.ndarray, flows: list[_Flow], period: int | None) -> np.ndarray:
        """(C, P) Peaks, from the live bytes at every time (of one period)."""
        count, far = len(self.p.processors), 10**9
        lives: list[tuple[int, np.ndarray, np.ndarray, int]] = []
        for which in sorted({f.instance for f in flows}):
            mine, size = [f for f in flows if f.instance == which], int(self.p.tensor_bytes[which[0]])
            for p in range(count):
                begin, until = np.full(len(place), far), np.full(len(place), -far)
                arrive = {q: (np.full(len(place), -far), np.full(len(place), -far)) for q in range(count) if q != p}
                for f in mine:
                    here = place[:, f.source] == p
                    read = end[:, f.target] + f.distance * (period or 0)
                    begin = np.where(here, np.minimum(begin, start[:, f.source]), begin)
                    local = place[:, f.target] == p
                    keep = np.where(local | f.summed, read, end[:, f.source] + f.transfer)
                    until = np.where(here, np.maximum(until, keep), until)
                    for q, (since, last) in arrive.items():
                        sent = here & (place[:, f.target] == q)
                        arrive[q] = (np.where(sent, np.maximum(since, end[:, f.source]), since), np.where(sent, np.maximum(last, read), last))
                lives.append((p, begin, until, size))
                lives.extend((q, since, last, size) for q, (since, last) in arrive.items())
        if period is None:
            lives += self._resident(place, end)
        times = range(period) if period is not None else range(int(end.max()) + 1)
        peak = np.zeros((len(place), count), dtype=np.int64)
        for t in times:
            live = np.zeros((len(place), count), dtype=np.int64)
            for p, begin, until, size in lives:
                there = (until > begin) & (until > -far) & (begin > -far)
                number = -((t - until) // period) + ((t - begin) // period) if period is not None else (begin <= t) & (t < until)
                live[:, p] += np.where(there, number, 0) * size
            peak = np.maximum(peak, live)
        return peak

    def _resident(self, place: np.ndarray, end: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray, int]]:
        lives, zero = [], np.zeros(len(place), dtype=np.int64)
        edges, kinds = self.p.edges, self.p.tasks.kinds
        homes: dict[tuple[int, int], set[int]] = {}
        for e in range(len(edges.source)):
            u, v = int(edges.source[e]), int(edges.target[e])
            if kinds[u] == "U":
                for t in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
                    homes.setdefault((t, u), set()).update(set() if u == v else {k for k, (task, _) in enumerate(self.copies) if task == v})
        for (t, u), readers in homes.items():
            for p in range(len(self.p.processors)):
                until = np.where(place[:, self.index[u, 0]] == p, end.max(axis=1), 0)
                for v in readers:
                    until = np.maximum(until, np.where(place[:, v] == p, end[:, v], 0))
                lives.append((p, zero, until, int(self.p.tensor_bytes[t])))
        return lives
