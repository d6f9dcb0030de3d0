"""Schedules that respect shared links, made from ones that take transfers to be free of each other.

Placement stays as it is. Tasks and transfers are placed one by one, in the order of the given
schedule and after all they wait for; a transfer takes the first gap of its links after its release,
so that links serve whoever is ready first, and what comes too late moves its readers.

Finite: every processor keeps its order, each task as early as that allows. That always succeeds,
unless the shares of a sum wait for each other, which no timing can help.

Periodic, at a fixed period: either tasks take the first gap after their stage and phase
(small shifts, but a full processor may leave no gap), or every task keeps its phase, moves by whole
periods, and only links have to be packed. Where neither gives a feasible schedule (a link with too much to carry or
too fragmented, a loop of iterations, a limit) the period is raised by a sixteenth at a time, at most
to that of one iteration after the other, which always fits; then bisection looks for a shorter one.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from spikepipe_sched.assess import assess
from spikepipe_sched.check import structure_violations
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.traffic import dependences
from spikepipe_sched.transfers import links, shared, transfers

#: The period is raised by this share of itself; then halved so often between success and failure.
STEP, BISECTIONS = 16, 5
#: Rounds in which tasks may move because of edges from earlier iterations.
ROUNDS = 8


@dataclass(slots=True)
class Lane:
    """What one processor or link is busy with: disjoint intervals, modulo ``period`` unless that is None."""

    period: int | None
    begins: list[int] = field(default_factory=list[int])
    lengths: list[int] = field(default_factory=list[int])

    def earliest(self, ready: int, length: int) -> int | None:
        """First start >= ``ready`` of an idle interval of so many cycles; None if there is none in a whole period."""
        period, begins, lengths, n = self.period, self.begins, self.lengths, len(self.begins)
        if period is not None and length > period:
            return None
        start = ready
        while n and (period is None or start < ready + period):
            phase = start if period is None else start % period
            after = bisect_right(begins, phase)
            if after or period is not None:  # the interval that began last
                into = phase - begins[after - 1] if after else phase - begins[-1] + (period or 0)
                if into < lengths[after - 1]:
                    start += lengths[after - 1] - into
                    continue
            if after == n and period is None:
                return start
            left = begins[after] - phase if after < n else begins[0] - phase + (period or 0)  # until the next one begins
            if left >= length:
                return start
            start += left + lengths[after % n]
        return None if n else start

    def take(self, start: int, length: int) -> None:
        """Keep an idle interval."""
        phase = start if self.period is None else start % self.period
        at = bisect_right(self.begins, phase)
        self.begins.insert(at, phase)
        self.lengths.insert(at, length)


def _slot(lanes: list[Lane], ready: int, length: int) -> int | None:
    """First start >= ``ready`` at which all lanes are idle for so many cycles."""
    start: int | None = ready
    while start is not None and (lanes[0].period is None or start < ready + lanes[0].period):
        before = start
        for lane in lanes:
            start = None if start is None else lane.earliest(start, length)
        if start == before:
            return start
    return None


class Layout:
    """Tasks (nodes 0..N-1) and transfers (nodes N..) of a placement, what waits for what, and the lanes they take."""

    def __init__(self, problem: Problem, schedule: Schedule) -> None:
        instance, processor = problem.instance, schedule.processor
        sent = transfers(problem, processor)
        self.problem, self.schedule, self.transfers = problem, schedule, sent.size
        duration = instance.duration[np.arange(instance.size), processor]
        count = len(problem.processors)
        held = links(problem.interconnect.sharing, count, sent) if sent.size else np.zeros((0, 1), dtype=np.int64)
        self.length: list[int] = [*duration.tolist(), *sent.cycles.tolist()]
        self.lanes: list[list[int]] = [[p] for p in processor.tolist()] + (held + count).tolist()
        release = np.maximum(sent.releases(schedule.start + duration), 0)
        self.given: list[int] = [*schedule.start.tolist(), *release.tolist()]
        none = np.zeros(len(problem.layers), dtype=np.int64)
        rows, fixed, n = dependences(problem, none, none), len(instance.source), instance.size
        #: (node that must end first, distance in periods, cycles after its end)
        self.incoming: list[list[tuple[int, int, int]]] = [[] for _ in self.length]
        self.delayed: list[tuple[int, int, int]] = []  # (source, target, cycles after the source's end)
        columns = zip(*(a.tolist() for a in (rows.source, rows.target, rows.distance, rows.lag)), strict=True)
        for row, (u, v, distance, lag) in enumerate(columns):
            if row < fixed:
                self.incoming[v].append((u, distance, lag))
            else:
                self.delayed.append((u, v, lag))
        flow, latency = sent.flow, problem.interconnect.latency_cycles
        for i in np.flatnonzero(sent.carrier >= 0).tolist():
            node, u, v = n + int(sent.carrier[i]), int(flow.source[i]), int(flow.target[i])
            self.incoming[node].append((u, 0, int(flow.lag[i])))
            if int(flow.dependence[i]) < fixed:
                self.incoming[v].append((node, int(flow.distance[i]), latency))
            else:
                self.delayed.append((node, v, latency))
        self.order = self._order()

    def _order(self) -> list[int] | None:
        """All nodes, each after those of its own iteration that it waits for, else as in the given schedule; None if there is none."""
        position = {v: i for i, v in enumerate(self.problem.instance.order.tolist())}
        outgoing: list[list[int]] = [[] for _ in self.length]
        missing = [0] * len(self.length)
        for v, edges in enumerate(self.incoming):
            for u, distance, _ in edges:
                if distance == 0:
                    outgoing[u].append(v)
                    missing[v] += 1
        heap = [(self.given[v], position.get(v, v), v) for v, waits in enumerate(missing) if waits == 0]
        heapq.heapify(heap)
        order: list[int] = []
        while heap:
            *_, v = heapq.heappop(heap)
            order.append(v)
            for w in outgoing[v]:
                missing[w] -= 1
                if missing[w] == 0:
                    heapq.heappush(heap, (self.given[w], position.get(w, w), w))
        return order if len(order) == len(missing) else None

    def load(self) -> int:
        """Cycles that the fullest link, or the longest task or transfer, needs."""
        total: dict[int, int] = {}
        for v in range(self.problem.instance.size, len(self.length)):
            for lane in self.lanes[v]:
                total[lane] = total.get(lane, 0) + self.length[v]
        return max([1, *self.length, *total.values()])

    def place(self, period: int | None, floor: list[int], phases: list[int] | None = None) -> list[int] | None:
        """Starts of all nodes, none below its floor, edges of distance 0 respected; None if a lane has no room.

        With ``phases`` (N,) the tasks keep theirs; without a period, their order.
        """
        assert self.order is not None  # callers have looked
        lanes: defaultdict[int, Lane] = defaultdict(lambda: Lane(period))
        start, n = [-1] * len(self.length), self.problem.instance.size
        for v in self.order:
            ready = floor[v]
            for u, distance, after in self.incoming[v]:
                if start[u] >= 0:
                    ready = max(ready, start[u] + self.length[u] + after - distance * (period or 0))
            length = self.length[v]
            if phases is not None and period is not None and v < n:
                start[v] = ready + (phases[v] - ready) % period
            elif length == 0:
                start[v] = ready
            else:
                mine = [lanes[lane] for lane in self.lanes[v]]
                if period is None and v < n and mine[0].begins:
                    ready = max(ready, mine[0].begins[-1] + mine[0].lengths[-1])
                found = _slot(mine, ready, length)
                if found is None:
                    return None
                start[v] = found
                for lane in mine:
                    lane.take(found, length)
        return start

    def settle(self, period: int, *, keep_phases: bool) -> list[int] | None:
        """Starts at a period: stages and phases of the given schedule, or later."""
        n, given = self.problem.instance.size, self.schedule.period or period
        floor = [start // given * period + start % given for start in self.given[:n]] + [0] * self.transfers
        phases = [start % period for start in floor[:n]] if keep_phases else None
        for _ in range(ROUNDS):
            start = self.place(period, floor, phases)
            if start is None:
                return None
            late = False
            for v, edges in enumerate(self.incoming):
                for u, distance, after in edges:
                    ready = start[u] + self.length[u] + after - distance * period
                    if start[v] < ready:
                        floor[v], late = max(floor[v], ready), True
            if not late:
                return start
        return None

    def one_by_one(self) -> tuple[int, list[int]]:
        """The period of one iteration after the other, and the starts."""
        start = self.place(None, [0] * len(self.length))
        assert start is not None  # without a period there is always room
        period = max(1, *(begin + length for begin, length in zip(start, self.length, strict=True)))
        later = [(u, v, distance, after) for v, edges in enumerate(self.incoming) for u, distance, after in edges if distance]
        later += [(u, v, 1, after) for u, v, after in self.delayed]  # the least delay there is
        for u, v, distance, after in later:
            period = max(period, -(-(start[u] + self.length[u] + after - start[v]) // distance))
        return period, start

    def schedule_of(self, start: list[int], period: int | None) -> Schedule:
        """The starts as a schedule."""
        n = self.problem.instance.size
        return Schedule(processor=self.schedule.processor, start=np.array(start[:n]), period=period, transfers=np.array(start[n:], dtype=np.int64)).normalised()


def with_links(problem: Problem, schedule: Schedule) -> Schedule | None:
    """The schedule with a start for every transfer, tasks delayed and the period raised where links need it.

    Returns
    -------
    Schedule or None
        The same schedule where links are not shared, nothing crosses, it has its transfers already,
        or it is none of this problem's at all. Otherwise one that passes the check if one was found,
        else one that keeps to the links but not to a limit; None where not even that is known.
    """
    if not shared(problem) or schedule.transfers is not None or [wrong for wrong in structure_violations(problem, schedule) if wrong.kind != "transfers"]:
        return schedule
    layout = Layout(problem, schedule)
    if not layout.transfers:
        return schedule
    if layout.order is None:
        return None
    return _finite(layout) if schedule.period is None else _periodic(layout)


def _finite(layout: Layout) -> Schedule:
    """As early as possible; where that breaks a limit on memory, not before the given starts."""
    made: list[Schedule] = []
    for floor in ([0] * len(layout.length), layout.given):
        start = layout.place(None, floor)
        assert start is not None  # without a period there is always room
        made.append(layout.schedule_of(start, None))
        if not assess(layout.problem, made[-1]).violations:
            return made[-1]
    return made[0]


def _periodic(layout: Layout) -> Schedule | None:
    ceiling = layout.problem.limits.period_cycles
    least = max(layout.schedule.period or 1, layout.load())
    longest, start = layout.one_by_one()
    last = layout.schedule_of(start, max(least, longest))
    failed, period = least - 1, least
    best: Schedule | None = None
    while best is None and period < longest and not (ceiling is not None and period > ceiling):
        best = _best_at(layout, period)
        if best is None:
            failed, period = period, period + max(1, period // STEP)
    if best is None:
        if ceiling is None or (last.period or 0) <= ceiling:
            return last
        return None
    for _ in range(BISECTIONS):
        middle = (failed + (best.period or 0)) // 2
        if middle <= failed:
            break
        shorter = _best_at(layout, middle)
        best, failed = (best, middle) if shorter is None else (shorter, failed)
    return best


def _best_at(layout: Layout, period: int) -> Schedule | None:
    """The better of both ways at a period that passes the check."""
    problem, best, lowest = layout.problem, None, ()
    for keep_phases in (False, True):
        start = layout.settle(period, keep_phases=keep_phases)
        made = None if start is None else layout.schedule_of(start, period)
        if made is None or (found := assess(problem, made)).violations:
            continue
        key = found.key(problem)
        if best is None or key < lowest:
            best, lowest = made, key
    return best
