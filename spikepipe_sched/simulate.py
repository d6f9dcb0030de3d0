"""Replays a schedule as the hardware would run it: every processor takes its tasks in the schedule's order.

Self-timed: a task starts as soon as the one before it on its processor has ended and its inputs are
there; the schedule's starts decide the order and nothing else. Durations may vary at random, and
links may be shared. Iteration j reads the version of the weights that the schedule gives it: it waits
for the update of iteration j - D_l, however early that comes, and never sees a later one.

Periodic: the pipeline is filled as scheduled (for as many periods as anything waits back, no task
starts before its time), then runs freely; as many periods as tasks of different iterations run side
by side follow, so that the measured ones do not see the run end. Without jitter, and with links as the problem declares
them, each period then takes at most the schedule's: all starts are sums and maxima of earlier ones,
so what begins no later than one period after the run before it goes on like that (monotonicity of
max-plus systems; Baccelli, Cohen, Olsder and Quadrat, Synchronization and Linearity, Wiley 1992).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.check import copy_name, durations, layer_delays, violations
from spikepipe_sched.errors import InputError, is_number, require, require_one_of, require_whole
from spikepipe_sched.platform import SHARINGS
from spikepipe_sched.step import callable_module
from spikepipe_sched.traffic import dependences, flows
from spikepipe_sched.transfers import Transfers, link_name, links, transfers

if TYPE_CHECKING:
    from spikepipe_sched.platform import Sharing
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]

#: Most runs of tasks and transfers that are replayed.
MAX_RUNS: Final = 2 * 10**6
MAX_JITTER: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUse:
    """What a shared link did: its busy share of the time, and the most transfers that waited for it at once."""

    name: str
    load: float
    largest_queue: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What a replay reached.

    Parameters
    ----------
    scheduled_cycles, reached_cycles
        Periodic: cycles per iteration, as scheduled, and the mean over the second half of the
        iterations, of the processor that took longest for them. Finite: the makespan.
    iterations, filling
        Iterations (periodic) or micro-batches (finite) replayed, and those before them during which
        the pipeline is filled.
    jitter, seed, sharing
        What was asked for.
    utilisation
        (P,) Busy cycles of every processor for the iterations that ``reached_cycles`` is the mean of,
        over the time they took; jitter may take it a little above 1.
    links
        Every shared link that carries anything, over the same iterations.
    start
        (periods, N) Start of every run [cycles]: the filling, the iterations, and those that follow.
    """

    scheduled_cycles: float
    reached_cycles: float
    iterations: int
    filling: int
    jitter: float
    seed: int
    sharing: Sharing
    utilisation: tuple[float, ...]
    links: tuple[LinkUse, ...]
    start: Ints

    @property
    def ratio(self) -> float:
        """Reached over scheduled; 1 where both are 0."""
        return self.reached_cycles / self.scheduled_cycles if self.scheduled_cycles else 1.0


def simulate(problem: Problem, schedule: Schedule, *, iterations: int = 50, jitter: float = 0.0, seed: int = 0, sharing: Sharing | None = None) -> Simulation:
    """Replay a schedule.

    Parameters
    ----------
    iterations
        How many to replay after the pipeline is filled; rounded up to whole periods. A finite
        schedule is replayed once.
    jitter
        Relative standard deviation of every run of a task: its cycles are multiplied by a
        log-normal number of mean 1, independent of all others, and rounded.
    seed
        Of the random numbers; the same seed gives the same run.
    sharing
        What transfers hold, in place of what the problem declares; see `Interconnect`. Links then
        serve whoever is ready first. If None, links are as declared and serve the transfers in the
        schedule's order.

    Raises
    ------
    InputError
        If the schedule violates the problem, an option is out of range, the run would be too long,
        a result is there before its task starts (a lag below minus the task's cycles), or shares of
        a sum wait for each other under ``sharing``.
    """
    require_whole("simulate", "iterations", iterations, 1)
    require(is_number(jitter) and 0 <= jitter <= MAX_JITTER, f"simulate: jitter must be between 0 and {MAX_JITTER:g}, got {jitter}")
    require_whole("simulate", "seed", seed, 0)
    if sharing is not None:
        require_one_of("simulate", "sharing", sharing, SHARINGS)
    wrong = violations(problem, schedule)
    require(not wrong, f"simulate: the schedule does not satisfy its problem: {next(iter(wrong), '')}")
    system = _System(problem, schedule, sharing)
    periods = system.filling + -(-iterations // problem.unroll) + system.draining if schedule.period is not None else 1
    runs = periods * len(system.length)
    require(
        runs <= MAX_RUNS,
        f"simulate: {periods} periods ({system.filling} to fill the pipeline) of {len(system.length)} tasks and transfers are {runs} runs, more than {MAX_RUNS}; ask for fewer iterations",
    )
    replay = _Replay(system, _varied(system, periods, jitter, seed))
    replay.run()
    return _report(system, replay, jitter, seed)


callable_module(__name__, simulate)


class _System:
    """Nodes (tasks 0..N-1, then transfers), what each waits for, and the order on processors and links.

    ``outgoing[u]``: (v, distance in periods, cycles after the end of u); ``back[v]``: all distances to
    what v waits for; ``lanes``: (node, stage) in the order in which a processor or link takes them within a period;
    ``held``: the links of every transfer; ``queues``: those that serve whoever is ready first, by node.
    """

    def __init__(self, problem: Problem, schedule: Schedule, sharing: Sharing | None) -> None:
        self.problem, self.schedule = problem, schedule
        self.sharing: Sharing = problem.interconnect.sharing if sharing is None else sharing
        in_order = sharing is None
        n = problem.instance.size
        duration, processor, period = durations(problem, schedule), schedule.processor, schedule.period
        delays = layer_delays(problem, schedule)
        rows, flow = dependences(problem, *delays), flows(problem, *delays)
        none = self.sharing == "none"
        sent = None if none else transfers(problem, processor, flow)
        self.cycles = duration if sent is None else np.concatenate([duration, sent.cycles])
        self.length: list[int] = self.cycles.tolist()
        self.outgoing: list[list[tuple[int, int, int]]] = [[] for _ in self.length]
        self.lanes: list[list[tuple[int, int]]] = []
        self.back: list[list[int]] = [[] for _ in self.length]
        sent_anyway = np.zeros(len(rows.source), dtype=bool)  # over shared links the transfers bring it; the edge itself still waits for the task
        if sent is not None:
            sent_anyway[flow.dependence[sent.carrier >= 0]] = True
        apart = (processor[rows.source] != processor[rows.target]) & ~sent_anyway
        early = np.flatnonzero(rows.lag < -duration[rows.source])
        if early.size:
            u, v = (copy_name(problem, int(x[early[0]])) for x in (rows.source, rows.target))
            raise InputError(f"simulate: the edge '{u}' -> '{v}' has its result before '{u}' starts; a run that is not timed in advance cannot know when")
        after = rows.lag + np.where(apart, rows.transfer, 0)
        for edge in zip(*(a.tolist() for a in (rows.source, rows.target, rows.distance, after)), strict=True):
            self._wait(*edge)
        held: list[list[int]] = []
        if sent is not None:
            held = links(self.sharing, len(problem.processors), sent).tolist()
            self._carry(sent)
        self.held = held
        self.queues: list[list[int]] = [[] for _ in range(n)] + ([[] for _ in held] if in_order else held)
        self.planned: list[int] = schedule.start.tolist() + ([0] * len(held) if not in_order or schedule.transfers is None else schedule.transfers.tolist())
        turn = period or 1 + max(self.planned)  # finite: everything in the first
        for p in range(len(problem.processors)):
            self._line_up(np.flatnonzero((processor == p) & (duration > 0)).tolist(), turn)
        if in_order:
            for link in sorted({link for row in held for link in row}):
                self._line_up([n + t for t, row in enumerate(held) if link in row], turn)
        waits = [distance for distances in self.back for distance in distances]
        waits += [before[1] - after[1] + (i == 0) for lane in self.lanes for i, (before, after) in enumerate(zip([lane[-1], *lane], lane, strict=False))]
        stages = [planned // turn for planned in (self.planned if in_order else self.planned[:n])]
        self.filling = max([1, *waits]) if period is not None else 0
        self.draining = max(stages) - min(stages)

    def _wait(self, u: int, v: int, distance: int, after: int) -> None:
        self.outgoing[u].append((v, distance, after))
        self.back[v].append(distance)

    def _carry(self, sent: Transfers) -> None:
        """Transfers wait for all they carry, and bring it to its readers."""
        flow, n, latency = sent.flow, self.problem.instance.size, self.problem.interconnect.latency_cycles
        for i in np.flatnonzero(sent.carrier >= 0).tolist():
            node = n + int(sent.carrier[i])
            self._wait(int(flow.source[i]), node, 0, int(flow.lag[i]))
            self._wait(node, int(flow.target[i]), int(flow.distance[i]), latency)

    def _line_up(self, nodes: list[int], turn: int) -> None:
        """In the planned order, with the period in which each is planned."""
        nodes.sort(key=lambda v: self.planned[v] % turn)
        if nodes:
            self.lanes.append([(v, self.planned[v] // turn) for v in nodes])

    def lines(self, periods: int) -> Iterator[list[int]]:
        """The runs of every lane in the order in which it takes them."""
        nodes = len(self.length)
        for lane in self.lanes:
            first, last = min(stage for _, stage in lane), max(stage for _, stage in lane)
            yield [(turn - stage) * nodes + v for turn in range(first, last + periods) for v, stage in lane if 0 <= turn - stage < periods]


def _varied(system: _System, periods: int, jitter: float, seed: int) -> list[list[int]]:
    """(periods, nodes) Cycles of every run; transfers do not vary."""
    tasks = system.problem.instance.size
    cycles = np.tile(system.cycles, (periods, 1))
    if jitter:
        spread = math.log1p(jitter**2)
        factor = np.random.default_rng(seed).lognormal(-spread / 2, math.sqrt(spread), size=(periods, tasks))
        cycles[:, :tasks] = np.rint(cycles[:, :tasks] * factor).astype(np.int64)
    return cycles.tolist()


@dataclass(slots=True)
class _Replay:
    """The run itself: node v of period q is ``q * nodes + v``; starts as soon as nothing is missing."""

    system: _System
    cycles: list[list[int]]
    start: list[int] = field(init=False)
    released: list[int] = field(init=False)

    def run(self) -> None:
        """Fill ``start``, and ``released``: when all it needs of others is there.

        Raises
        ------
        InputError
            If runs are left that wait for each other.
        """
        system, nodes, periods = self.system, len(self.system.length), len(self.cycles)
        period = system.schedule.period or 0
        total = nodes * periods
        self.start, self.released = [-1] * total, [0] * total
        ready, missing = [0] * total, [0] * total
        for q in range(periods):
            for v in range(nodes):
                missing[q * nodes + v] = sum(distance <= q for distance in system.back[v])
                if q < system.filling:
                    ready[q * nodes + v] = system.planned[v] + q * period
        following: list[list[int]] = [[-1] * total, [-1] * total]  # on the processor or the first link, on the second link
        for line in system.lines(periods):
            for x, y in pairwise(line):
                following[following[0][x] >= 0][x] = y
                missing[y] += 1
        # (time, 0: a link falls idle, 1: a node is ready, which link or node)
        heap = [(ready[x], 1, x) for x in range(total) if missing[x] == 0]
        heapq.heapify(heap)
        idle_at: dict[int, int] = {}
        waiting: dict[int, dict[int, None]] = {}  # by link, in the order of arrival
        left = total

        def met(y: int, at: int) -> None:
            ready[y] = max(ready[y], at)
            missing[y] -= 1
            if missing[y] == 0:
                heapq.heappush(heap, (ready[y], 1, y))

        def begin(x: int, now: int) -> None:
            q, v = divmod(x, nodes)
            self.start[x] = now
            end = now + self.cycles[q][v]
            for w, distance, after in system.outgoing[v]:
                if q + distance < periods:
                    y = (q + distance) * nodes + w
                    self.released[y] = max(self.released[y], now, end + after)
                    met(y, self.released[y])
            for after_x in following:
                if after_x[x] >= 0:
                    met(after_x[x], end)
            for link in system.queues[v]:
                idle_at[link] = end
                waiting.setdefault(link, {}).pop(x, None)
                heapq.heappush(heap, (end, 0, link))

        while heap:
            now, what, x = heapq.heappop(heap)
            if what == 1:
                mine = system.queues[x % nodes]
                if all(idle_at.get(link, now) <= now for link in mine):
                    begin(x, now)
                    left -= 1
                else:
                    for link in mine:
                        waiting.setdefault(link, {})[x] = None
                continue
            for y in list(waiting.get(x, ())):
                if all(idle_at.get(link, now) <= now for link in system.queues[y % nodes]):
                    begin(y, now)
                    left -= 1
                    break
        if left:
            stuck = next(x % nodes for x in range(total) if self.start[x] < 0 and x % nodes < system.problem.instance.size)
            name = copy_name(system.problem, stuck)
            raise InputError(
                f"simulate: '{name}' waits for a sum whose shares wait for it: what is sent together cannot be sent with sharing='{system.sharing}'"
            )


def _report(system: _System, replay: _Replay, jitter: float, seed: int) -> Simulation:
    problem, schedule, tasks = system.problem, system.schedule, system.problem.instance.size
    start, cycles = np.array(replay.start).reshape(len(replay.cycles), -1), np.array(replay.cycles)
    end = start[:, :tasks] + cycles[:, :tasks]
    filling, last = system.filling, len(end) - system.draining  # the measured periods are first..last-1
    first = filling + (last - filling) // 2 if schedule.period is not None else 0
    if schedule.period is None:
        time, per, scheduled = int(end.max()), 1, float((schedule.start + system.cycles[:tasks]).max())
    else:
        time = max(int(end[last - 1, mine].max() - end[first - 1, mine].max()) for mine in (schedule.processor == p for p in np.unique(schedule.processor)))
        per, scheduled = (last - first) * problem.unroll, schedule.period / problem.unroll
    busy = cycles[first:last].sum(axis=0)
    count = len(problem.processors)
    load = np.bincount(schedule.processor, weights=busy[:tasks], minlength=count)
    released = np.array(replay.released).reshape(start.shape)
    carried: dict[int, list[int]] = {}
    for t, held in enumerate(system.held):
        for link in held:
            carried.setdefault(link, []).append(tasks + t)
    return Simulation(
        scheduled_cycles=scheduled,
        reached_cycles=time / per,
        iterations=(last - filling) * problem.unroll if schedule.period is not None else problem.micro_batches,
        filling=filling * problem.unroll,
        jitter=jitter,
        seed=seed,
        sharing=system.sharing,
        utilisation=tuple((load / max(time, 1)).tolist()),
        links=tuple(
            LinkUse(
                name=link_name(problem, system.sharing, link),
                load=float(busy[nodes].sum()) / max(time, 1),
                largest_queue=_most_at_once(released[first:last, nodes].ravel(), start[first:last, nodes].ravel()),
            )
            for link, nodes in sorted(carried.items())
        ),
        start=start[:, :tasks],
    )


def _most_at_once(begin: Ints, end: Ints) -> int:
    """Largest number of the intervals [begin, end) that have a cycle in common."""
    some = begin < end
    time = np.concatenate([begin[some], end[some]])
    change = np.repeat([1, -1], int(some.sum()))
    return int(np.cumsum(change[np.lexsort((change, time))]).max(initial=0))
