"""Anytime improvement of the makespan: presets, forward-backward passes, then local search in the sequence.

Forward-backward improvement lists the copies by their ends, latest first, and schedules the mirrored
graph in that sequence, then the other way round (Li and Willis 1992, doi:10.1016/0377-2217(92)90272-3, for
projects; here a copy may change its processor). The local search (`shake`) sweeps over stretches of the
sequence, mirroring the schedule after every sweep: what was packed towards the start is then packed
towards the end.
"""

from __future__ import annotations

import numpy as np

from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.lists.dynamic import schedule_early
from spikepipe_solvers.lists.graph import Graph, Ints, graph_of
from spikepipe_solvers.lists.presets import PRESETS
from spikepipe_solvers.lists.ranks import compiles, sequence_of, upward
from spikepipe_solvers.lists.shake import shake
from spikepipe_solvers.lists.solver import EARLY_SHARE, Found, ListScheduling, decode, schedule_of

#: Presets worth their time at any size, up to `PAIRS_UP_TO` copies (ETF and DLS compare all ready
#: ones), and up to `TINY_UP_TO`; most copies times processors for look-ahead in a search.
ANY_SIZE, SMALL, TINY = ("heft", "hlfet", "mcp"), ("etf", "early", "dls", "peft", "cpop", "backward-etf"), ("lookahead",)
PAIRS_UP_TO, TINY_UP_TO, AHEAD_UP_TO = 20_000, 32, 20_000
#: Deterministic work (about seconds) per unit of `Graph.work`; per copy and edge where copies keep their processors.
WORK, KEPT_WORK = 8e-8, 1e-7
#: How much longer kernels take that are not compiled.
PLAIN = 50
#: Forward-backward passes without news after which they end.
PATIENCE = 4
#: Copies of a stretch and of what is placed behind it to judge it, per processor; least of both.
STRETCH, REACH, LEAST = 5, 10, 20
#: Tries on a stretch, most moves in one, percent of the other copies that may change processors (one of these).
TRIES, MOVES, FREED = 50, 5, (0, 5)
#: Parts of a sweep, between which the clock is asked; most copies for which a sweep ends within minutes.
CHUNKS, SWEEP_UP_TO = 10, 200_000
#: A sweep that ends so much above the best is forgotten.
DRIFT = 1.01
#: Passes over the graph between two checked schedules: a check costs about as much as a tenth of these.
OFFER_EVERY = 200.0
#: Passes that a search makes at least: compiled kernels pay off early.
PASSES = 40
#: Passes that comparing pairs costs; look-ahead costs as much for every processor.
PAIRS_PASSES = 4


def cheap_presets(size: int) -> list[ListScheduling]:
    """Rules that take no more than about a second for ``size`` copies."""
    return [PRESETS[name] for name in (*ANY_SIZE, *(SMALL if size <= PAIRS_UP_TO else ()), *(TINY if size <= TINY_UP_TO else ()))]


class MakespanSearch:
    """A schedule that is being improved, in one of two directions of time.

    Attributes
    ----------
    graphs
        The graph and its mirror image.
    side
        Which of the two the current schedule belongs to.
    makespan, processor, start
        The current schedule.
    best
        (makespan, processor, start) of the best one, on the graph itself.
    by
        The part that found it.
    """

    def __init__(self, graph: Graph, clock: Clock, seed: int, bound: int, incumbent: Incumbent) -> None:
        self.graphs, self.clock, self.bound, self.incumbent = (graph, graph.mirrored()), clock, bound, incumbent
        self.random = np.random.default_rng(seed)
        self.side = 0
        self.makespan, self.processor, self.start = 0, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
        self.best: Found | None = None
        self.by = ""
        self._passes, self._offered, self._news = 0.0, 0.0, False
        self.fast = compiles(graph, PASSES)

    @property
    def done(self) -> bool:
        """Whether the bound is met or the clock has run out."""
        return self.clock.expired() or (self.best is not None and self.best[0] <= self.bound)

    def spend(self, passes: float, *, kept: bool = False) -> None:
        """Account for ``passes`` over the graph; ``kept``: copies keep their processors, so that few are compared."""
        graph = self.graphs[0]
        self._passes += passes
        work = passes * ((graph.size + len(graph.before.other)) * KEPT_WORK if kept else graph.work * WORK)
        self.clock.spend(work if self.fast else PLAIN * work)

    def enter(self, found: Found, side: int, by: str) -> bool:
        """Make a schedule the current one; whether it is the best so far."""
        self.makespan, self.processor, self.start = found
        self.side = side
        if self.best is not None and self.makespan >= self.best[0]:
            return False
        self.best, self.by, self._news = (self.makespan, self.processor.copy(), self.mirrored_start() if side else self.start.copy()), by, True
        if self._passes - self._offered >= OFFER_EVERY:
            self.offer()
        return True

    def offer(self) -> None:
        """Hand the best schedule to the incumbent, which checks it; that takes longer than many passes."""
        if self.best is not None and self._news:
            self._offered, self._news = self._passes, False
            self.incumbent.offer(schedule_of(self.best), self.by)

    def mirrored_start(self) -> Ints:
        """Starts of the current schedule with time running the other way."""
        graph = self.graphs[0]
        return self.makespan - self.start - graph.cycles[graph.task, graph.kind[self.processor]]

    def turn(self) -> None:
        """Let time run the other way."""
        self.start, self.side = self.mirrored_start(), 1 - self.side

    def justify(self) -> None:
        """Forward-backward passes until they bring nothing new."""
        stale = 0
        while stale < PATIENCE and not self.done:
            self.turn()
            graph = self.graphs[self.side]
            self.spend(2)
            better = self.enter(decode(graph, sequence_of(graph, -self.start.astype(np.float64)), fast=self.fast), self.side, "list:forward-backward")
            stale = 0 if better else stale + 1

    def sweep(self) -> None:
        """Shake one stretch of the sequence after the other, and mirror the result."""
        graph, count = self.graphs[self.side], len(self.graphs[0].kind)
        n, width, reach = graph.size, max(LEAST, STRETCH * count), max(LEAST, REACH * count)
        sequence, home = sequence_of(graph, -self.start.astype(np.float64)), np.full(len(graph.cycles), -1, dtype=np.int32)
        home[graph.task] = self.processor
        freed = int(self.random.choice(FREED))
        run, before, after = shake.pick(fast=self.fast), graph.before, graph.after
        chunk = max(n // CHUNKS, width)
        for begin in range(-int(self.random.integers(width)), n, chunk):
            first, until = max(begin, 0), min(begin + chunk, n)
            seed = int(self.random.integers(1, 2**31 - 1))
            self.spend((until + TRIES * (until - first) * (1 + reach / width)) / n, kept=True)
            run(
                TRIES,
                seed,
                first,
                until,
                width,
                reach,
                MOVES,
                freed,
                sequence,
                graph.task,
                before.ptr,
                before.other,
                before.lag,
                before.transfer,
                after.ptr,
                after.other,
                graph.cycles,
                graph.kind,
                graph.shortest,
                home,
                self.processor,
                self.start,
            )
            if self.clock.expired():
                break
        self.spend(2)
        self.enter(decode(graph, sequence, home=home, fast=self.fast), self.side, "list:search")
        assert self.best is not None
        if self.makespan > self.best[0] * DRIFT:
            self.makespan, self.processor, self.start = self.best[0], self.best[1].copy(), self.best[2].copy()
            self.side = 0
        self.turn()

    def run(self, rules: list[ListScheduling], hint: Schedule | None) -> None:
        """All parts, until the bound is met or the clock runs out."""
        graph = self.graphs[0]
        if hint is not None:  # in its own sequence, on its own processors: never longer
            home = np.full(len(graph.cycles), -1, dtype=np.int32)
            home[graph.task] = hint.processor
            self.enter(decode(graph, sequence_of(graph, -hint.start.astype(np.float64)), home=home), 0, "list:justified")
        for rule in rules:
            if self.best is None or not self.done:
                self.spend(1 if rule.large else PAIRS_PASSES if rule.choice == "finish" else PAIRS_PASSES * len(graph.kind))
                self.enter(rule.run(graph), 0, rule.name)
        if not self.done:
            mirror = self.graphs[1]
            self.spend(2)
            self.enter(decode(mirror, sequence_of(mirror, upward(mirror))), 1, "list:backward")
        for side, share in ((0, 0.0), (1, 0.0), (1, EARLY_SHARE)) if graph.size <= PAIRS_UP_TO else ():
            if not self.done:
                self.spend(PAIRS_PASSES)
                self.enter(schedule_early(self.graphs[side], share), side, "list:early")
        self.offer()
        if self.best is not None and not self.done:
            self.makespan, self.processor, self.start, self.side = self.best[0], self.best[1].copy(), self.best[2].copy(), 0
            self.justify()
        if self.best is not None:
            self.makespan, self.processor, self.start, self.side = self.best[0], self.best[1].copy(), self.best[2].copy(), 0
        while not self.done and graph.size <= SWEEP_UP_TO:
            self.sweep()
        self.offer()


def improve_makespan(incumbent: Incumbent, clock: Clock, seed: int, *, bound: int) -> None:
    """Offer shorter and shorter finite schedules until one meets the bound or the clock runs out.

    Starts from the incumbent's schedule, if there is one, and the presets that the size allows.
    Memory and other limits play no part here: what breaks them is refused by the incumbent's check.

    Parameters
    ----------
    seed
        Same seed and deterministic limit: same schedules.
    bound
        A proven bound of the makespan: what meets it ends the search.
    """
    graph = graph_of(incumbent.problem)
    search = MakespanSearch(graph, clock, seed, bound, incumbent)
    ahead = [PRESETS["lookahead"]] if graph.size > TINY_UP_TO and graph.size * len(graph.kind) <= AHEAD_UP_TO else []
    search.run(cheap_presets(graph.size) + ahead, incumbent.schedule)
