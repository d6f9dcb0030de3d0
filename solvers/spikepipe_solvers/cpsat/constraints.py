"""One method per constraint family; each works on any `Variables`."""

from __future__ import annotations

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_solvers.cpsat.variables import Variables


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
                    intervals.append(model.new_optional_fixed_size_interval_var(v.start[copy], cycles, literal, f"i_{copy}_{p}"))
                    continue
                for shift in (0, v.period):
                    intervals.append(model.new_optional_fixed_size_interval_var(v.phase[copy] + shift, cycles, literal, f"i_{copy}_{p}_{shift}"))
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
        v, instance = self.v, self.instance
        for u, w, distance, lag, transfer in zip(
            *(a.tolist() for a in (instance.source, instance.target, instance.distance, instance.lag, instance.transfer)), strict=True
        ):
            late = v.end[u] + lag + (transfer * v.apart(u, w) if transfer else 0)
            self.model.add(v.start[w] + distance * (v.period or 0) >= late)

    def delays(self) -> None:
        """The same for edges whose distance is a layer's delay."""
        v, instance = self.v, self.instance
        if v.period is None:
            return
        kinds = self.problem.tasks.kinds
        for u, w, layer, lag, transfer in zip(
            *(a.tolist() for a in (instance.delay_source, instance.delay_target, instance.delay_layer, instance.delay_lag, instance.delay_transfer)),
            strict=True,
        ):
            delay = v.delay[layer] if kinds[w] == "F" else v.backward_delay[layer]
            self.model.add(v.start[w] + delay * v.period >= v.end[u] + lag + (transfer * v.apart(u, w) if transfer else 0))

    def path_delays(self, least: list[tuple[int, int]]) -> None:
        """Proven lower bounds on single delays."""
        for layer, value in least:
            if layer in self.v.delay:
                self.model.add(self.v.delay[layer] >= value)

    def anchor(self) -> None:
        """Some copy starts in the first period: schedules are alike when shifted by whole periods."""
        if self.v.period is None or not self.v.stage:
            return
        first = [self.model.new_bool_var(f"first_{copy}") for copy in range(len(self.v.stage))]
        for literal, stage in zip(first, self.v.stage, strict=True):
            self.model.add(stage == 0).only_enforce_if(literal)
        self.model.add_bool_or(first)

    def symmetry(self) -> None:
        """Like processors are interchangeable: longest copy i only uses the first i + 1 of its class.

        Valid without a hint that breaks it: any schedule can be renamed so that processors of a class
        appear in the order of the first long copy they run.
        """
        groups: dict[tuple[int, int | None], list[int]] = {}
        for p, processor in enumerate(self.problem.processors):
            groups.setdefault((processor.kind, processor.memory_bytes), []).append(p)
        ranking = self.ranking()
        for group in groups.values():
            for i, v in enumerate(ranking[: len(group) - 1]):
                for p in group[i + 1 :]:
                    literal = self.v.place[v][p]
                    if literal is not None:
                        self.model.add(literal == 0)

    def ranking(self) -> list[int]:
        """One copy per placement, longest first."""
        instance = self.instance
        single = np.flatnonzero(instance.copy == 0) if self.v.period is None else np.arange(instance.size)
        return single[np.argsort(-instance.min_duration()[single], kind="stable")].tolist()

    def span(self, limit: int) -> None:
        """The last result of an iteration within ``limit`` of its first start."""
        first = self.model.new_int_var(0, self.v.horizon, "first_start")
        for copy in range(self.instance.size):
            self.model.add(first <= self.v.start[copy])
            self.model.add(self.v.end[copy] <= first + limit)
        for u, lag in zip(self.instance.source.tolist(), self.instance.lag.tolist(), strict=True):
            if lag > 0:
                self.model.add(self.v.end[u] + lag <= first + limit)
