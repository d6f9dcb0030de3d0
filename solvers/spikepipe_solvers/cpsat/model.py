"""A complete model of a problem: built, hinted, solved for one level, turned into a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.bounds import layer_paths
from spikepipe_sched.check import layer_delays
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.constraints import Constraints
from spikepipe_solvers.cpsat.objective import Objective
from spikepipe_solvers.cpsat.run import Outcome, run
from spikepipe_solvers.cpsat.variables import make_variables


def serial_length(problem: Problem) -> int:
    """Length within which every feasible problem has a schedule (and a period): all work, transfers and lags in series.

    Time at which no copy runs and no edge waits for its transfer or lag can be cut out of any schedule
    without violating anything, in the periodic case modulo the period; what is left is at most
    the sum of all of them.
    """
    instance = problem.instance
    waits = int(instance.transfer.sum() + np.maximum(instance.lag, 0).sum())
    waits += int(instance.delay_transfer.sum() + np.maximum(instance.delay_lag, 0).sum())
    return max(1, int(instance.duration.max(axis=1).sum()) + waits)


class ScheduleModel:
    """CP-SAT model at a fixed period, or of a finite problem.

    Parameters
    ----------
    period
        Fixed period [cycles]; None: finite.
    ceilings
        Largest allowed values of objective levels: what earlier levels reached.
    """

    def __init__(self, problem: Problem, *, period: int | None, ceilings: Mapping[str, int], hint: Schedule | None = None) -> None:
        self.problem, self.period, self.model = problem, period, cp_model.CpModel()
        length = serial_length(problem)
        if period is None:
            makespans = [x for x in (ceilings.get("makespan"), problem.limits.makespan_cycles) if x is not None]
            horizon = min([length, *makespans])
        else:
            # Sort copies by start. A gap between neighbours can be closed by a period without lengthening a
            # delay or breaking an edge if it exceeds a period plus the longest transfer and lag. It must
            # not lengthen a lifetime either: that of a tensor read d iterations later by a task of the
            # earlier group would grow; but such an edge cannot span a gap of more than d periods.
            instance = problem.instance
            waits = [instance.transfer, instance.lag, instance.delay_transfer, instance.delay_lag]
            others = instance.distance[instance.source != instance.target]
            horizon = length + (instance.size + 1) * (period * (1 + int(others.max(initial=0))) + sum(int(wait.max(initial=0)) for wait in waits))
        if hint is not None:
            horizon = max(horizon, int(hint.start.max()) + length if period is not None else 0)  # never cuts off the hint
        self.variables = make_variables(problem, self.model, period=period, horizon=horizon)
        self.objective = Objective(self.variables)
        constraints = Constraints(self.variables)
        constraints.no_overlap()
        constraints.fits_period()
        constraints.loads()
        constraints.precedence()
        constraints.delays()
        constraints.anchor()
        if period is not None:
            paths = layer_paths(problem)
            constraints.path_delays([(layer, int(-(-paths[layer] // period))) for layer in self.variables.delay])
        else:
            makespan = self.objective.level("makespan")
            constraints.area(makespan)  # pyright: ignore[reportArgumentType]
        limits = problem.limits
        if limits.traffic_bytes is not None:
            self.model.add(self.objective.level("traffic") <= limits.traffic_bytes)
        if limits.span_cycles is not None:
            constraints.span(limits.span_cycles)
        self.objective.limit_memory()
        for name, value in ceilings.items():
            if name != "period":
                self.model.add(self.objective.level(name) <= value)
        if hint is None:
            constraints.symmetry()
        else:
            hint = self._renamed(hint, constraints)
            constraints.symmetry()
            self._hint(hint)

    def _renamed(self, hint: Schedule, constraints: Constraints) -> Schedule:
        """The hint with like processors renamed to satisfy the symmetry constraint."""
        groups: dict[tuple[int, int | None], list[int]] = {}
        for p, processor in enumerate(self.problem.processors):
            groups.setdefault((processor.kind, processor.memory_bytes), []).append(p)
        order = list(dict.fromkeys(int(hint.processor[v]) for v in constraints.ranking()))
        new = np.arange(len(self.problem.processors))
        for group in groups.values():
            used = [p for p in order if p in group]
            used += [p for p in group if p not in used]
            for target, p in zip(group, used, strict=True):
                new[p] = target
        return Schedule(processor=new[hint.processor], start=hint.start, period=hint.period)

    def _hint(self, hint: Schedule) -> None:
        """Hint placement, starts and delays."""
        v, model = self.variables, self.model
        seen = set[int]()
        for copy in range(self.problem.instance.size):
            for p, literal in v.on(copy):
                if literal.index not in seen:
                    seen.add(literal.index)
                    model.add_hint(literal, int(hint.processor[copy]) == p)
            start = int(hint.start[copy])
            if self.period is None:
                variable = v.start[copy]
                assert isinstance(variable, cp_model.IntVar)  # finite starts are plain variables
                model.add_hint(variable, start)
            elif hint.period is not None:
                stage, phase = divmod(start, hint.period)  # keeps stage and phase: feasible at longer periods
                model.add_hint(v.stage[copy], stage)
                model.add_hint(v.phase[copy], min(phase, self.period - 1))
        if self.period is not None and hint.period is not None:
            forward, backward = layer_delays(self.problem, hint)
            for layer, variable in v.delay.items():
                model.add_hint(variable, int(forward[layer]))
                if v.backward_delay[layer] is not variable:
                    model.add_hint(v.backward_delay[layer], int(backward[layer]))

    def solve(
        self,
        level: str | None,
        clock: Clock,
        *,
        seed: int,
        share: float = 1.0,
        patience_s: float | None = None,
        lower: int = 0,
        on_schedule: Callable[[Schedule], object] | None = None,
        on_bound: Callable[[int], None] | None = None,
    ) -> tuple[Outcome, Schedule | None]:
        """Minimise one level (or just find a schedule); ``lower`` is a proven bound on it."""
        if level is not None:
            expression = self.objective.level(level)
            self.model.add(expression >= lower)
            self.model.minimize(expression)

        def report(callback: cp_model.CpSolverSolutionCallback) -> None:
            if on_schedule is not None:
                on_schedule(self._schedule(callback.value))

        outcome = run(
            self.model, clock, seed=seed, share=share, patience_s=patience_s, linearization=0 if level == "delay" else 1, report=report, on_bound=on_bound
        )
        return outcome, self._schedule(outcome.solver.value) if outcome.found else None

    def _schedule(self, value: Callable[[cp_model.LinearExprT], int]) -> Schedule:
        v = self.variables
        processor = [next(p for p, literal in v.on(copy) if value(literal)) for copy in range(self.problem.instance.size)]
        start = [value(s) for s in v.start]
        return Schedule(processor=np.array(processor), start=np.array(start), period=self.period).normalised()
