"""Search for small delays at a fixed period, within a budget.

Rounds of growing length: list scheduling with annealed priorities builds a packing (at a slightly
longer period where little idle time makes that hard; loads are mended then), annealing of the packing
improves it. Every other round goes on from the best packing so far. What is found is
offered to the incumbent, which checks it. A last part lowers the traffic at the delays reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spikepipe_sched.check import layer_delays
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.delays.anneal import anneal
from spikepipe_solvers.delays.greedy import BEST_START, PRIORITY, anneal_priorities, make_arcs
from spikepipe_solvers.delays.packing import mend
from spikepipe_solvers.delays.tables import BEST_PHASE, BEST_PROCESSOR, BEST_STAGE, PHASE, PROCESSOR, RANK, Ints, make_state, make_tables
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.kernel import Kernel

#: Annealing temperatures [iterations of delay] of the packing and of the priorities.
HOT, COLD, COLD_PRIORITY = 0.3, 0.01, 0.02
#: Steps per copy of the first round in plain Python and compiled; every round has so many times those of the one before, up to a most.
FEW_STEPS, STEPS, GROWTH, MOST_STEPS = 5, 400, 1.5, 40_000
#: A step of list scheduling takes so many times that of the packing; its share of a round.
GREEDY_COST, GREEDY_SHARE = 12, 0.3
#: Periods at which packings are built, in thousandths above the period asked for, in turn: with idle time,
#: and where less than a 200th of the period is idle.
LONGER, TIGHT = (0, 10, 0, 20, 0, 40), (10, 20, 5, 40)
#: Deterministic work (about seconds), plain and compiled: of a step of annealing, per copy, and of packing, per pair of copies;
#: of checking a schedule, per copy.
STEP_WORK, PACK_WORK, OFFER_WORK = (1e-5, 5e-8), (1e-6, 1e-8), 1e-5  #: A step costs as much as so many copies more.
OVERHEAD = 5
#: Seconds (or work) after which compiling pays even for small problems, and copies from which it does at once.
WORTH_S, LARGE = 1.0, 40
#: Seconds that a kernel takes to compile where no cache holds it, and to load; how often the former must be left.
COMPILE_S, LOAD_S, PATIENCE = 5.0, 0.5, 2.0
#: Copies up to which it is worth going on in plain Python, where a packing takes half a second.
PLAIN = 800
#: Share of the time for traffic once the delays are found.
TRAFFIC_SHARE = 0.15
#: Seconds between looks at the clock, about.
GLANCE_S = 0.03
#: Most steps between them: where a kernel ends by itself at once, time says nothing.
MOST_PACE = 1e9

#: Tries to mend a packing's loads, and moves of each per processor.
TRIES, RELIEF = 12, 100
#: Energy of all traffic at first, while it is lowered.
BYTES = 5.0

_LOGS = -np.log((np.arange(4096) + 0.5) / 4096)
_FAR = 1e18


def improve_delays(incumbent: Incumbent, period: int, clock: Clock, seed: int, *, assignments: Sequence[Ints] = (), target: int = 0) -> None:
    """Offer schedules of one period with ever smaller sums of delays, until the clock or the target ends it.

    Parameters
    ----------
    period
        Cycles per ``unroll`` iterations.
    assignments
        (N,) each: processors to start from where the search itself finds no loads within the period.
    target
        A sum of delays that is good enough.
    """
    search = _Search(incumbent, period, clock, seed, assignments, target)
    if search.possible():
        search.run()


class _Search:
    """State of one call."""

    def __init__(self, incumbent: Incumbent, period: int, clock: Clock, seed: int, assignments: Sequence[Ints], target: int) -> None:
        self.incumbent, self.problem, self.clock, self.target = incumbent, incumbent.problem, clock, target
        self.tables, self.order = make_tables(self.problem, period)
        self.state, self.arcs = make_state(self.tables, seed), make_arcs(self.tables)
        self.size = len(self.order)
        self.assignments = [np.asarray(a, dtype=np.int64)[self.order] for a in assignments]
        self.assignments = [a for a in self.assignments if self._loads(a).max() <= period]
        self.fast: set[Kernel[..., Any]] = set()
        self.pace = 20.0  # steps between looks at the clock
        self.began = clock.left()
        self.best: tuple[float, Ints, Ints] | None = None  # energy, processors, phases
        self.least, self.byte = self._known(), 0.0

    def possible(self) -> bool:
        """Whether every copy and the work of all fit the period."""
        shortest = np.where(self.tables.duration < 0, _FAR, self.tables.duration).min(axis=1)
        return bool(shortest.max() <= self.tables.period and shortest.sum() <= self.tables.period * self.tables.duration.shape[1])

    def run(self) -> None:
        """Rounds until the end."""
        steps, turn = float(FEW_STEPS * self.size), 0
        levels = self.problem.objective
        reserve = TRAFFIC_SHARE * self.clock.left() if "traffic" in levels and "delay" in levels and levels.index("traffic") > levels.index("delay") else 0.0
        if not self._usable(anneal):
            return
        self._begin()
        while self.clock.left() > reserve and self.least > self.target:
            if anneal in self.fast:
                steps = max(steps, float(STEPS * self.size))
            if self.best is None and not self._usable(anneal_priorities):
                break
            fresh = turn % 2 == 0 or self.best is None
            if (self._build(int(steps * GREEDY_SHARE / GREEDY_COST) + 10, turn) if fresh else self._resume()) and self.least > self.target:
                self._anneal(int(steps))
            turn += 1
            steps = min(steps * GROWTH, float(MOST_STEPS * self.size))
        if reserve and self.problem.unroll == 1 and self.best is not None and self.incumbent.schedule is not None:
            self.byte = BYTES / max(1, self._traffic())
            self.best = (_FAR, *self.best[1:])
            while not self.clock.expired() and self._resume():
                self._anneal(STEPS * self.size)

    # -- parts of a round ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The incumbent's packing, where it has this period, and one of each assignment."""
        known = self.incumbent.schedule
        if known is not None and known.period == self.tables.period:
            self._adopt(known.processor[self.order], known.start[self.order] % self.tables.period)
        for assignment in self.assignments:
            if self.clock.expired() or not self._usable(mend):
                break
            self._pack(assignment, np.arange(self.size), 1)
            self._judge()

    def _build(self, steps: int, turn: int) -> bool:
        """A packing by list scheduling; whether its loads fit."""
        if not self._usable(anneal_priorities):
            return self.best is not None and self._resume()
        t, s, a = self.tables, self.state, self.arcs
        share = int(np.where(t.duration < 0, t.duration.max(), t.duration).min(axis=1).sum()) // t.duration.shape[1]
        above = TIGHT if (t.period - share) * 200 < t.period else LONGER
        longer = t._replace(period=t.period * (1000 + above[turn // 2 % len(above)]) // 1000)
        idle = max(0, longer.period - share)
        a.copy[:, PRIORITY] = t.node[: self.size, RANK]
        s.energy[:] = _FAR
        s.total[3] = self.target
        temperature, cool = HOT, (COLD_PRIORITY / HOT) ** (1.0 / steps)
        done = 0
        while done < steps and not self.clock.expired():
            part, began = min(steps - done, self._part(GREEDY_COST)), time.perf_counter()
            temperature = self._pick(anneal_priorities)(longer, s, a, part, idle, temperature, cool, _LOGS)
            done += part
            self._spent(part * GREEDY_COST, began, anneal_priorities)
            if s.energy[1] < _FAR and s.total[2] <= self.target and longer.period == t.period:
                break
        if s.energy[1] >= _FAR:
            return False
        processor, phase = s.copy[:, BEST_PROCESSOR].copy(), s.copy[:, BEST_PHASE].copy()
        if longer.period == t.period and self._loads(processor).max() <= t.period:
            return self._adopt(processor, phase)
        return self._mend(processor, turn)

    def _mend(self, built: Ints, turn: int) -> bool:
        """Repair the loads of a packing that was built with too little room, pack again, and take the best of some tries."""
        order = np.argsort(self.arcs.copy[:, BEST_START], kind="stable")
        best, fast = None, self._usable(mend) and mend in self.fast
        for _ in range(TRIES if fast else int(self._usable(mend))):
            if self.clock.expired():
                break
            if not self._pack(built, order, (RELIEF if fast else RELIEF // 10) * len(self.state.load)):
                if not self.assignments:
                    continue
                self._pack(self.assignments[turn // 2 % len(self.assignments)], order, 1)
            energy = float(self.state.energy[1])
            if best is None or energy < best[0]:
                best = (energy, self.state.copy[:, PROCESSOR].copy(), self.state.copy[:, PHASE].copy())
        return best is not None and self._adopt(best[1], best[2])

    def _pack(self, processor: Ints, order: Ints, rounds: int) -> bool:
        """Pack an assignment anew, its loads mended in so many rounds; whether that succeeds."""
        self.state.copy[:, PROCESSOR] = processor
        self.state.load[:] = self._loads(processor)
        self.clock.spend(self.size**2 * PACK_WORK[mend in self.fast])
        return self._pick(mend)(self.tables, self.state, order, rounds, 0.0)

    def _resume(self) -> bool:
        """Go on from the best packing."""
        assert self.best is not None
        return self._adopt(self.best[1], self.best[2])

    def _adopt(self, processor: Ints, phase: Ints) -> bool:
        """Take over a packing."""
        t, s = self.tables, self.state
        s.copy[:, PROCESSOR], s.copy[:, PHASE] = processor, phase
        s.load[:] = self._loads(processor)
        busy = t.duration[np.arange(self.size), processor] > 0
        for p in range(len(s.load)):
            here = np.flatnonzero((processor == p) & busy)
            s.filled[p] = len(here)
            s.sequence[p, : len(here)] = here[np.argsort(phase[here], kind="stable")]
        s.total[3] = self.target if self.byte == 0.0 else self.least
        self._pick(mend)(t, s, np.arange(0), 1, self.byte)
        self.clock.spend(self.size * STEP_WORK[mend in self.fast])
        self._judge()
        return True

    def _anneal(self, steps: int) -> None:
        t, s = self.tables, self.state
        temperature, cool, done = HOT, (COLD / HOT) ** (1.0 / steps), 0
        while done < steps and not self.clock.expired() and (self.byte > 0.0 or self.least > self.target):
            part, known = min(steps - done, self._part(1)), float(s.energy[1])
            began = time.perf_counter()
            temperature = self._pick(anneal)(t, s, part, temperature, cool, self.byte, _LOGS)
            done += part
            self._spent(part, began, anneal)
            if s.energy[1] < known and (s.total[2] < self.least or self.byte > 0.0):
                self._judge()
        self._judge()

    # -- bookkeeping ----------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Keep the best packing of a round for later rounds, and offer it."""
        s, energy = self.state, float(self.state.energy[1])
        if self.best is not None and energy >= self.best[0]:
            return
        self.best = (energy, s.copy[:, BEST_PROCESSOR].copy(), s.copy[:, BEST_PHASE].copy())
        processor, start = np.empty_like(self.order), np.empty_like(self.order)
        processor[self.order] = s.copy[:, BEST_PROCESSOR]
        start[self.order] = s.copy[:, BEST_STAGE] * self.tables.period + s.copy[:, BEST_PHASE]
        start -= min(0, int(start.min()))
        schedule = Schedule(processor=processor, start=start, period=self.tables.period)
        self.clock.spend(self.size * OFFER_WORK)
        self.incumbent.offer(schedule, "modulo")
        self.least = min(self.least, self._known())

    def _traffic(self) -> int:
        """Bytes that cross in the incumbent."""
        return self.incumbent.value("traffic")

    def _known(self) -> int:
        """The incumbent's sum of delays, if its period is short enough."""
        schedule = self.incumbent.schedule
        if schedule is None or schedule.period is None or schedule.period > self.tables.period:
            return int(1e9)
        return int(layer_delays(self.problem, schedule)[0].sum())

    def _loads(self, processor: Ints) -> Ints:
        load = np.zeros(self.tables.duration.shape[1], dtype=np.int64)
        np.add.at(load, processor, self.tables.duration[np.arange(self.size), processor])
        return load

    def _part(self, cost: int) -> int:
        """Steps until the next look at the clock."""
        return max(1, int(self.pace) // cost)

    def _spent(self, steps: int, began: float, kernel: Kernel[..., Any]) -> None:
        """Account for steps (of the packing's cost); choose how often to look at the clock."""
        self.clock.spend(steps * (self.size + OVERHEAD) * STEP_WORK[kernel in self.fast])
        if not self.clock.deterministic:
            self.pace = min(MOST_PACE, 4.0 * self.pace, max(1.0, self.pace * GLANCE_S / max(1e-6, time.perf_counter() - began)))
        else:
            self.pace = 1000.0 if kernel in self.fast else 50.0

    def _pick(self, kernel: Kernel[..., Any]) -> Callable[..., Any]:
        """A kernel, compiled where that pays and what is left of the time allows it."""
        if kernel not in self.fast and self._pays(kernel):
            self.fast.add(kernel)
        return kernel.pick(fast=kernel in self.fast)

    def _pays(self, kernel: Kernel[..., Any]) -> bool:
        """Whether to compile a kernel now; where no cache holds it, plain Python has the first second and `anneal` the precedence."""
        left = self.clock.left()
        lasts = self.began - left > WORTH_S and left > WORTH_S
        if self.size <= LARGE and not lasts:
            return False
        if self.clock.deterministic or (left > LOAD_S and kernel.ready):
            return True
        return (lasts or self.size > PLAIN) and left > COMPILE_S * PATIENCE and (kernel is anneal or anneal in self.fast)

    def _usable(self, kernel: Kernel[..., Any]) -> bool:
        """Whether a kernel's steps are short enough."""
        self._pick(kernel)
        return self.size <= PLAIN or kernel in self.fast
