"""Modulo list scheduling with an assignment: a feasible periodic schedule, always.

Every processor keeps one free arc of the period, large enough for all tasks it has still to take,
and the smaller gaps it left behind. A task goes as early as its inputs allow: into such a gap,
or at an end of the free arc, or after waiting up to the slack that the processor can still spare.
So the last task always fits, at any period that is at least the largest load.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Arcs:
    """The free time of one processor within the period."""

    period: int
    begin: int  # phase at which the free arc begins
    length: int  # of the free arc
    spare: int  # how much of it may be lost to gaps
    gaps: list[tuple[int, int]]  # (phase, length)

    def find(self, ready: int, cycles: int) -> tuple[int, int] | None:
        """Earliest start >= ``ready`` that keeps room for the rest, and the gap it uses (-1: the arc)."""
        start = self._in_arc(ready, cycles)
        best = None if start is None else (start, -1)
        for i, (phase, length) in enumerate(self.gaps):
            if length >= cycles:
                into = (ready - phase) % self.period
                begin = ready if into + cycles <= length else ready + (phase - ready) % self.period
                if best is None or begin <= best[0]:
                    best = (begin, i)
        return best

    def take(self, start: int, gap: int, cycles: int) -> None:
        """Reserve what `find` returned."""
        if gap >= 0:
            self._take_gap(gap, start, cycles)
        else:
            self._take_arc(start, cycles)

    def _in_arc(self, ready: int, cycles: int) -> int | None:
        """Earliest start at either end of the free arc, or within the spare time next to one."""
        if cycles > self.length:
            return None
        if self.length == self.period:  # empty: it begins where the first task does
            return ready
        early = (ready - self.begin) % self.period
        if early <= self.spare and early + cycles <= self.length:
            return ready
        front = ready + (self.period - early) % self.period  # wait for the arc's first cycle
        latest = self.length - cycles  # offset that ends flush with the arc
        if early <= latest:
            return min(front, ready + max(0, latest - self.spare - early))
        return front

    def _take_gap(self, index: int, begin: int, cycles: int) -> None:
        phase, length = self.gaps.pop(index)
        before = (begin - phase) % self.period
        after = length - before - cycles
        if before:
            self.gaps.append((phase, before))
        if after:
            self.gaps.append(((begin + cycles) % self.period, after))
        self.spare += cycles  # the free arc need not hold this task any more

    def _take_arc(self, begin: int, cycles: int) -> None:
        if self.length == self.period:
            self.begin = begin % self.period
        before = (begin - self.begin) % self.period
        after = self.length - before - cycles
        if before <= after:  # the front part is lost, the arc goes on behind the task
            if before:
                self.gaps.append((self.begin, before))
            self.spare -= before
            self.begin, self.length = (begin + cycles) % self.period, after
        else:
            if after:
                self.gaps.append(((begin + cycles) % self.period, after))
            self.spare -= after
            self.length = before


class Decoder:
    """Turns (period, assignment, priority) into schedules; holds the problem's edges as lists."""

    def __init__(self, problem: Problem) -> None:
        instance = problem.instance
        self.instance = instance
        self.duration: list[list[int]] = instance.duration.tolist()
        self.order: list[int] = instance.order.tolist()
        self.incoming: list[list[tuple[int, int, int]]] = [[] for _ in range(instance.size)]
        self.outgoing: list[list[int]] = [[] for _ in range(instance.size)]
        for u, v, distance, lag, transfer in zip(
            *(a.tolist() for a in (instance.source, instance.target, instance.distance, instance.lag, instance.transfer)), strict=True
        ):
            if distance == 0:
                self.incoming[v].append((u, lag, transfer))
                self.outgoing[u].append(v)
        self.position = [0] * instance.size
        for i, v in enumerate(self.order):
            self.position[v] = i

    def sequence(self, priority: list[float]) -> list[int]:
        """Copies in topological order, highest priority first among the ready ones."""
        missing = [len(edges) for edges in self.incoming]
        heap = [(-priority[v], self.position[v], v) for v in range(len(missing)) if missing[v] == 0]
        heapq.heapify(heap)
        order: list[int] = []
        while heap:
            _, _, v = heapq.heappop(heap)
            order.append(v)
            for w in self.outgoing[v]:
                missing[w] -= 1
                if missing[w] == 0:
                    heapq.heappush(heap, (-priority[w], self.position[w], w))
        return order

    def fixed(self, period: int, processor: list[int], sequence: list[int]) -> list[int]:
        """Starts (N,) for a given assignment; the largest load must not exceed the period."""
        load = [0] * self.instance.duration.shape[1]
        for v, p in enumerate(processor):
            load[p] += self.duration[v][p]
        arcs = [Arcs(period, 0, period, period - total, []) for total in load]
        start = [0] * len(processor)
        for v in sequence:
            p = processor[v]
            ready = 0
            for u, lag, transfer in self.incoming[v]:
                q = processor[u]
                arrival = start[u] + self.duration[u][q] + lag + (transfer if q != p else 0)
                ready = max(ready, arrival)
            cycles = self.duration[v][p]
            start[v] = ready
            if cycles:
                found = arcs[p].find(ready, cycles)
                assert found is not None  # the arc holds all that its processor has still to take
                start[v] = found[0]
                arcs[p].take(*found, cycles)
        return start

    def greedy(self, period: int, sequence: list[int], waste: float = 1.0) -> tuple[list[int], list[int]] | None:
        """Processors and starts, each task where it ends first; None if the packing gets stuck.

        Gaps may use up ``waste`` times an even share of the idle time: the less, the likelier the rest fits.
        """
        count = self.instance.duration.shape[1]
        least = [min(c for c in row if c >= 0) for row in self.duration]
        share = int(waste * max(0, (count * period - sum(least)) // count))
        arcs = [Arcs(period, 0, period, share, []) for _ in range(count)]
        load = [0] * count
        start, processor = [0] * len(least), [0] * len(least)
        for v in sequence:
            best: tuple[int, int, int, int] | None = None
            for p in range(count):
                cycles = self.duration[v][p]
                if cycles < 0 or load[p] + cycles > period:
                    continue
                ready = 0
                for u, lag, transfer in self.incoming[v]:
                    q = processor[u]
                    ready = max(ready, start[u] + self.duration[u][q] + lag + (transfer if q != p else 0))
                found = arcs[p].find(ready, cycles) if cycles else (ready, -1)
                if found is not None and (best is None or (found[0] + cycles, load[p]) < best[:2]):
                    best = (found[0] + cycles, load[p], p, found[1])
            if best is None:
                return None
            end, _, p, gap = best
            cycles = self.duration[v][p]
            processor[v], start[v] = p, end - cycles
            if cycles:
                arcs[p].take(start[v], gap, cycles)
            load[p] += cycles
        return processor, start


def schedule_of(processor: list[int], start: list[int], period: int) -> Schedule:
    """A `Schedule` from plain lists."""
    return Schedule(processor=np.array(processor), start=np.array(start), period=period)
