"""Search for small delays at a fixed period, within a budget.

Rounds of growing length: list scheduling with annealed priorities builds a packing (at a slightly
longer period where little idle time makes that hard; loads are mended then), annealing of the packing
improves it. Every other round goes on from the best packing so far. What is found is retimed
and offered to the incumbent, which checks it. A last part lowers the traffic at the delays reached.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from spikepipe_sched.check import layer_delays
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.delays.anneal import anneal
from spikepipe_solvers.delays.energy import evaluate
from spikepipe_solvers.delays.greedy import anneal_priorities, make_arcs
from spikepipe_solvers.delays.packing import rebuild, relieve
from spikepipe_solvers.delays.tables import Ints, make_state, make_tables
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.retime import retime

#: Annealing temperatures [iterations of delay] of the packing and of the priorities.
HOT, COLD, COLD_PRIORITY = 0.3, 0.01, 0.02
#: Steps per copy of the first round; every round has so many times those of the one before, up to a most.
STEPS, GROWTH, MOST_STEPS = 400, 1.5, 40_000
#: A step of list scheduling takes so many times that of the packing; its share of a round.
GREEDY_COST, GREEDY_SHARE = 12, 0.3
#: Periods at which packings are built, in thousandths above the period asked for, in turn: with idle time,
#: and where less than a 200th of the period is idle.
LONGER, TIGHT = (0, 10, 0, 20, 0, 40), (10, 20, 5, 40)
#: Deterministic work of a step per copy (about seconds), plain and compiled.
PLAIN_WORK, COMPILED_WORK = 6e-6, 5e-8
#: Seconds (or work) after which compiling pays even for small problems, and copies from which it does at once.
WORTH_S, LARGE = 2.0, 40
#: Share of the time for traffic once the delays are found.
TRAFFIC_SHARE = 0.15
#: Seconds between looks at the clock, about.
GLANCE_S = 0.03

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
        self.fast = self.size > LARGE and clock.left() > WORTH_S
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
        steps, turn = float(STEPS * self.size), 0
        levels = self.problem.objective
        reserve = TRAFFIC_SHARE * self.clock.left() if "traffic" in levels and "delay" in levels and levels.index("traffic") > levels.index("delay") else 0.0
        self._begin()
        while self.clock.left() > reserve and self.least > self.target:
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
        """The incumbent's packing, where it has this period, and one of each assignment, before anything is compiled."""
        s, known = self.state, self.incumbent.schedule
        if known is not None and known.period == self.tables.period:
            self._adopt(known.processor[self.order], known.start[self.order] % self.tables.period)
        for assignment in self.assignments:
            s.processor[:] = assignment
            rebuild(self.tables, s, np.arange(self.size))
            self.clock.spend(self.size * PLAIN_WORK)
            self._value()

    def _build(self, steps: int, turn: int) -> bool:
        """A packing by list scheduling; whether its loads fit."""
        t, s, a = self.tables, self.state, self.arcs
        share = int(np.where(t.duration < 0, t.duration.max(), t.duration).min(axis=1).sum()) // t.duration.shape[1]
        above = TIGHT if (t.period - share) * 200 < t.period else LONGER
        longer = t._replace(period=t.period * (1000 + above[turn // 2 % len(above)]) // 1000)
        idle = max(0, longer.period - share)
        a.priority[0] = t.rank
        s.energy[:] = _FAR
        s.total[3] = self.target
        temperature, cool = HOT, (COLD_PRIORITY / HOT) ** (1.0 / steps)
        done = 0
        while done < steps and not self.clock.expired():
            part = min(steps - done, self._part(GREEDY_COST))
            began = time.perf_counter()
            temperature = anneal_priorities.pick(fast=self.fast)(longer, s, a, part, idle, temperature, cool, _LOGS)
            done += part
            self._spent(part * GREEDY_COST, began)
            if s.energy[1] < _FAR and s.total[2] <= self.target and longer.period == t.period:
                break
        if s.energy[1] >= _FAR:
            return False
        if longer.period == t.period and self._loads(s.best_processor).max() <= t.period:
            return self._adopt(s.best_processor.copy(), s.best_phase.copy())
        return self._mend(turn)

    def _mend(self, turn: int) -> bool:
        """Repair the loads of a packing that was built with too little room, pack again, and take the best of some tries."""
        t, s = self.tables, self.state
        order, built, found = np.argsort(self.arcs.priority[2], kind="stable"), s.best_processor.copy(), False
        for _ in range(TRIES if self.fast else 1):
            if self.clock.expired():
                break
            s.processor[:] = built
            s.load[:] = self._loads(built)
            self.clock.spend(self.size**2 * t.duration.shape[1] * (COMPILED_WORK if self.fast else PLAIN_WORK))
            if not relieve.pick(fast=self.fast)(t, s, t.period, (RELIEF if self.fast else RELIEF // 10) * t.duration.shape[1]):
                if not self.assignments:
                    continue
                s.processor[:] = self.assignments[turn // 2 % len(self.assignments)]
            rebuild.pick(fast=self.fast)(t, s, order)
            energy = evaluate.pick(fast=self.fast)(t, s, 0.0)
            if not found or energy < s.energy[1]:
                found = True
                s.energy[1] = energy
                s.best_processor[:], s.best_phase[:] = s.processor, s.phase
        return found and self._adopt(s.best_processor.copy(), s.best_phase.copy())

    def _resume(self) -> bool:
        """Go on from the best packing."""
        assert self.best is not None
        return self._adopt(self.best[1], self.best[2])

    def _adopt(self, processor: Ints, phase: Ints) -> bool:
        """Take over a packing."""
        t, s = self.tables, self.state
        s.processor[:], s.phase[:] = processor, phase
        s.load[:] = self._loads(processor)
        busy = t.duration[np.arange(self.size), processor] > 0
        for p in range(t.duration.shape[1]):
            here = np.flatnonzero((processor == p) & busy)
            s.filled[p] = len(here)
            s.sequence[p, : len(here)] = here[np.argsort(phase[here], kind="stable")]
        return self._value()

    def _value(self) -> bool:
        """Make the state's packing current and best of its round."""
        s = self.state
        s.total[3] = self.target if self.byte == 0.0 else self.least
        s.energy[:] = evaluate(self.tables, s, self.byte)
        s.stage[:], s.early[:] = s.late_stage, s.early_stage
        s.best_processor[:], s.best_phase[:], s.best_stage[:] = s.processor, s.phase, s.stage
        s.total[2] = s.total[0]
        self._judge()
        return True

    def _anneal(self, steps: int) -> None:
        t, s = self.tables, self.state
        temperature, cool, done = HOT, (COLD / HOT) ** (1.0 / steps), 0
        while done < steps and not self.clock.expired() and (self.byte > 0.0 or self.least > self.target):
            part, known = min(steps - done, self._part(1)), float(s.energy[1])
            began = time.perf_counter()
            temperature = anneal.pick(fast=self.fast)(t, s, part, temperature, cool, self.byte, _LOGS)
            done += part
            self._spent(part, began)
            if s.energy[1] < known and (s.total[2] < self.least or self.byte > 0.0):
                self._judge()
        self._judge()

    # -- bookkeeping ----------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Keep the best packing of a round for later rounds; retime it and offer it."""
        s, energy = self.state, float(self.state.energy[1])
        if self.best is not None and energy >= self.best[0]:
            return
        self.best = (energy, s.best_processor.copy(), s.best_phase.copy())
        processor, start = np.empty_like(self.order), np.empty_like(self.order)
        processor[self.order] = s.best_processor
        start[self.order] = s.best_stage * self.tables.period + s.best_phase
        start -= min(0, int(start.min()))
        schedule = Schedule(processor=processor, start=start, period=self.tables.period)
        self.incumbent.offer(retime(self.problem, schedule), "modulo")
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

    def _spent(self, steps: int, began: float) -> None:
        """Account for steps (of the packing's cost); choose how often to look at the clock."""
        self.clock.spend(steps * self.size * (COMPILED_WORK if self.fast else PLAIN_WORK))
        if not self.clock.deterministic:
            self.pace = min(4.0 * self.pace, max(1.0, self.pace * GLANCE_S / max(1e-6, time.perf_counter() - began)))
        else:
            self.pace = 1000.0
        if not self.fast and self.began - self.clock.left() > WORTH_S / 2 and self.clock.left() > WORTH_S:
            self.fast = True
