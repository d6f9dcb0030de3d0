"""One method per constraint family; each works on any `Variables`."""

from __future__ import annotations

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.bounds.slots import interchangeable, slot_edges
from spikepipe_sched.problem import Problem
from spikepipe_solvers.cpsat.variables import Expression, Variables

#: Most literals that say how many periods later a reader runs; of transfers longer than so many periods a number says it.
MOST_STEPS = 32


def like_processors(problem: Problem) -> list[list[int]]:
    """Processors of one class and memory."""
    groups: dict[tuple[int, int | None], list[int]] = {}
    for p, processor in enumerate(problem.processors):
        groups.setdefault((processor.kind, processor.memory_bytes), []).append(p)
    return list(groups.values())


def first_copy(problem: Problem) -> int:
    """Copy 0 of the task of most cycles; copies of a task are consecutive."""
    return int(problem.instance.min_duration().argmax()) // problem.unroll * problem.unroll


class Constraints:
    """Adds the families to the model of some variables."""

    def __init__(self, variables: Variables) -> None:
        self.v = variables
        self.model = variables.model
        self.problem = variables.problem
        self.instance = variables.problem.instance

    def no_overlap(self) -> None:
        """No two copies on a processor at a time; in the periodic model, modulo the period.

        Each copy gives two optional intervals per processor, at its phase and one period later, so
        that one that runs over the period's end meets those that begin the next.
        """
        v, model, duration = self.v, self.model, self.instance.duration
        for p in range(len(self.problem.processors)):
            intervals: list[cp_model.IntervalVar] = []
            for copy in range(self.instance.size):
                literal, cycles = v.place[copy][p], int(duration[copy, p])
                if literal is None or cycles == 0:
                    continue
                if v.period is None:
                    intervals.append(model.new_optional_fixed_size_interval_var(v.start[copy], cycles, literal, ""))
                    continue
                for shift in (0, v.period):
                    intervals.append(model.new_optional_fixed_size_interval_var(v.phase[copy] + shift, cycles, literal, ""))
            model.add_no_overlap(intervals)

    def fits_period(self) -> None:
        """No copy is longer than the period."""
        if self.v.period is None:
            return
        for copy in range(self.instance.size):
            for p, literal in self.v.on(copy):
                if int(self.instance.duration[copy, p]) > self.v.period:
                    self.model.add(literal == 0)

    def loads(self) -> None:
        """The load of each processor fits in the period; the total in P periods (CP-SAT does not find it)."""
        if self.v.period is None:
            return
        total = []
        for p in range(len(self.problem.processors)):
            load = [int(self.instance.duration[c, p]) * x for c in range(self.instance.size) if (x := self.v.place[c][p]) is not None]
            self.model.add(cp_model.LinearExpr.sum(load) <= self.v.period)
            total += load
        self.model.add(cp_model.LinearExpr.sum(total) <= self.v.period * len(self.problem.processors))

    def area(self, makespan: cp_model.IntVar) -> None:
        """The load of each processor, and all together, fit under the makespan."""
        total = []
        for p in range(len(self.problem.processors)):
            load = [int(self.instance.duration[c, p]) * x for c in range(self.instance.size) if (x := self.v.place[c][p]) is not None]
            self.model.add(cp_model.LinearExpr.sum(load) <= makespan)
            total += load
        self.model.add(cp_model.LinearExpr.sum(total) <= makespan * len(self.problem.processors))

    def precedence(self) -> None:
        """s_v + distance * period >= s_u + c_u + lag, + transfer if the two lie apart."""
        instance = self.instance
        for u, w, distance, lag, transfer in zip(
            *(a.tolist() for a in (instance.source, instance.target, instance.distance, instance.lag, instance.transfer)), strict=True
        ):
            self._after(u, w, distance, lag, transfer, [])

    def delays(self) -> None:
        """The same for edges whose distance is a layer's delay D = K * q + rho.

        Copy i' of a reader uses copy (i' - rho) mod K of the update, q periods earlier, one more
        where i' < rho.
        """
        v, instance, k = self.v, self.instance, self.problem.unroll
        if v.period is None:
            return
        for u, w, layer, lag, transfer in zip(
            *(a.tolist() for a in (instance.delay_source, instance.delay_target, instance.delay_layer, instance.delay_lag, instance.delay_transfer)),
            strict=True,
        ):
            delay = v.delay_of(w, layer)
            for rho, when in delay.cases():
                for reader in range(k):
                    self._after(u * k + (reader - rho) % k, w * k + reader, delay.turns + int(reader < rho), lag, transfer, when)

    def _after(self, u: int, w: int, turns: Expression, lag: int, transfer: int, when: list[cp_model.IntVar]) -> None:
        """s_w + turns * period >= end of u + lag (+ transfer).

        In the periodic model phases and stages are told apart: with k the stages, r the phases and x the
        least whole number with r_w + x * period >= r_u + c_u + lag (+ transfer), k_w + turns >= k_u + x.
        Both are relations of two numbers, and those of the stages are small ones: in s alone, the bounds of tasks on
        a cycle with too small a delay creep up cycle by cycle until they reach the horizon.
        """
        v, model = self.v, self.model
        apart = v.apart(u, w) if transfer else 0
        if v.period is None:
            model.add(v.start[w] >= v.end[u] + lag)
            if transfer:
                model.add(v.start[w] >= v.end[u] + lag + transfer).only_enforce_if(apart)
            return
        if u == w:
            model.add(turns * v.period >= v.duration[u] + lag).only_enforce_if(when)
            return
        longest, shortest = int(self.instance.duration[u].max()), int(self.instance.min_duration()[u])
        least, most = -((v.period - 1 - shortest - lag) // v.period), -(-(v.period - 1 + longest + lag + transfer) // v.period)
        if most - least > MOST_STEPS:
            x = model.new_int_var(least, most, "")
            model.add(v.phase[w] + x * v.period >= v.phase[u] + v.duration[u] + lag)
            if transfer:
                model.add(v.phase[w] + x * v.period >= v.phase[u] + v.duration[u] + lag + transfer).only_enforce_if(apart)
            model.add(v.stage[w] + turns >= v.stage[u] + x).only_enforce_if(when)
            return
        steps = [model.new_bool_var("") for _ in range(most - least)]
        for i, step in enumerate(steps):  # step i: x > least + i
            shift = (least + i) * v.period
            if i:
                model.add_implication(step, steps[i - 1])
            model.add(v.phase[w] + shift >= v.phase[u] + v.duration[u] + lag).only_enforce_if(step.negated())
            if transfer:
                model.add(v.phase[w] + shift >= v.phase[u] + v.duration[u] + lag + transfer).only_enforce_if([step.negated(), apart])
        model.add(v.stage[w] + turns >= v.stage[u] + least + cp_model.LinearExpr.sum(steps)).only_enforce_if(when)

    def path_delays(self, least: list[tuple[int, int]]) -> None:
        """Proven lower bounds on single delays."""
        for layer, value in least:
            if layer in self.v.delay:
                self.model.add(self.v.delay[layer].value >= value)

    def anchor(self) -> None:
        """Some copy starts in the first period: schedules are alike when shifted by whole periods."""
        if self.v.period is None or not self.v.stage:
            return
        first = [self.model.new_bool_var(f"first_{copy}") for copy in range(len(self.v.stage))]
        for literal, stage in zip(first, self.v.stage, strict=True):
            self.model.add(stage == 0).only_enforce_if(literal)
        self.model.add_bool_or(first)

    def symmetry(self) -> None:
        """Like processors and micro-batches are interchangeable, and a period may begin anywhere: one of each set of equivalent schedules stays.

        Any schedule can be changed to satisfy them all: first its micro-batches or its phases, then its processors.
        """
        self._processors_in_order()
        if self.v.period is None:
            self._micro_batches_in_order()
        else:
            self._longest_at_phase_0()

    def _longest_at_phase_0(self) -> None:
        """The (first copy of the) longest task starts at phase 0.

        Every schedule may begin at any cycle of its period: when all starts move alike, no time between
        two events changes. Without this a proof must be found for each of the rotations.
        """
        self.model.add(self.v.phase[first_copy(self.problem)] == 0)

    def _processors_in_order(self) -> None:
        """Copy i of the `ranking` only uses the first i + 1 processors of a class: they appear in the order of the first such copy they run."""
        ranking = self.ranking()
        for group in like_processors(self.problem):
            for i, v in enumerate(ranking[: len(group) - 1]):
                for p in group[i + 1 :]:
                    literal = self.v.place[v][p]
                    if literal is not None:
                        self.model.add(literal == 0)

    def _micro_batches_in_order(self) -> None:
        """Copies of a task start in order, where they may be renamed (`interchangeable`); their tensors then take turns in the memories (`slot_edges`)."""
        if interchangeable(self.problem):
            instance = self.instance
            for a, b in zip(range(instance.size - 1), range(1, instance.size), strict=True):
                if instance.task[a] == instance.task[b]:  # copies of a task are consecutive
                    self.model.add(self.v.start[b] >= self.v.end[a])
            for u, w in zip(*(copies.tolist() for copies in slot_edges(self.problem)), strict=True):
                self.model.add(self.v.start[w] >= self.v.end[u])

    def ranking(self) -> list[int]:
        """One copy per placement, longest first; in finite problems after the one with the most transfers around it.

        Where the hub of a fork or join is fixed, every other processor is one that its transfers must reach.
        """
        instance = self.instance
        single = np.flatnonzero(instance.copy == 0) if self.v.period is None else np.arange(instance.size)
        ranking = single[np.argsort(-instance.min_duration()[single], kind="stable")]
        if self.v.period is None:
            around = np.bincount(instance.source, instance.transfer, instance.size) + np.bincount(instance.target, instance.transfer, instance.size)
            hub = ranking[around[ranking].argmax()]
            ranking = np.concatenate([[hub], ranking[ranking != hub]])
        return ranking.tolist()

    def swaps(self, pairs: list[tuple[int, int]]) -> None:
        """Of two tasks that may change places the first one starts first; see `spikepipe_solvers.cpsat.swaps.first_pairs`."""
        for a, b in pairs:
            self.model.add(self.v.start[a] <= self.v.start[b])

    def capacity(self) -> None:
        """At most P copies run at a time, wherever; worth saying where all processors are alike.

        CP-SAT reasons about that energy only if it is a constraint of its own.
        """
        v, duration = self.v, self.instance.duration
        if v.period is not None or not bool((duration == duration[:, :1]).all()):
            return
        intervals = [self.model.new_fixed_size_interval_var(v.start[copy], cycles, "") for copy, cycles in enumerate(duration[:, 0].tolist()) if cycles]
        self.model.add_cumulative(intervals, [1] * len(intervals), len(self.problem.processors))

    def span(self, limit: int) -> None:
        """The last result of an iteration within ``limit`` of its first start."""
        first = self.model.new_int_var(0, self.v.horizon, "first_start")
        for copy in range(self.instance.size):
            self.model.add(first <= self.v.start[copy])
            self.model.add(self.v.end[copy] <= first + limit)
        for u, lag in zip(self.instance.source.tolist(), self.instance.lag.tolist(), strict=True):
            if lag > 0:
                self.model.add(self.v.end[u] + lag <= first + limit)
