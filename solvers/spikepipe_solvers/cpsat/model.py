"""A complete model of a problem: built, hinted, solved for one level, turned into a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.bounds import least_delays
from spikepipe_sched.bounds.slots import interchangeable
from spikepipe_sched.check import layer_delays
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.constraints import Constraints, first_copy, like_processors
from spikepipe_solvers.cpsat.objective import Objective
from spikepipe_solvers.cpsat.run import Outcome, run
from spikepipe_solvers.cpsat.size import BUILD_WORK, latest_end, model_size, serial_length
from spikepipe_solvers.cpsat.swaps import first_pairs, in_order, only_time_counts
from spikepipe_solvers.cpsat.variables import Delay, make_variables
from spikepipe_solvers.cpsat.windows import window_loads

#: Longest time for completing a hint [s].
COMPLETION_S = 3.0


def stretched(schedule: Schedule, problem: Problem, period: int) -> Schedule:
    """The schedule at a longer period: feasible, with no larger delays, traffic or memory (lags not negative, the span not limited).

    Idle time is inserted where a period ends; a task that is running then ends as long after it
    as before. All events keep their order, and no time between two of them shrinks.
    """
    assert schedule.period is not None
    instance = problem.instance
    stage, phase = np.divmod(schedule.start, schedule.period)
    wraps = phase + instance.duration[np.arange(instance.size), schedule.processor] > schedule.period
    return Schedule(processor=schedule.processor, start=stage * period + phase + np.where(wraps, period - schedule.period, 0), period=period)


def canonical(schedule: Schedule, problem: Problem, ranking: list[int]) -> Schedule:
    """The same schedule with micro-batches and like processors renamed, and begun at another phase, to satisfy `Constraints.symmetry`."""
    instance = problem.instance
    processor, start, period = schedule.processor, schedule.start, schedule.period
    if interchangeable(problem):
        start = start[np.lexsort((start, instance.task))]  # copies of a task are consecutive
    if period is not None:
        start = start + -int(start[first_copy(problem)]) % period
        start = start - int(start.min()) // period * period
    order = list(dict.fromkeys(int(processor[v]) for v in ranking))
    new = np.arange(len(problem.processors))
    for group in like_processors(problem):
        used = [p for p in order if p in group]
        used += [p for p in group if p not in used]
        for target, p in zip(group, used, strict=True):
            new[p] = target
    return Schedule(processor=new[processor], start=start, period=period)


class ScheduleModel:
    """CP-SAT model at a fixed period, or of a finite problem.

    Parameters
    ----------
    period
        Fixed period [cycles]; None: finite.
    ceilings
        Largest allowed values of objective levels: what earlier levels reached.
    symmetric
        Keep one of each set of equivalent schedules only.
    memories
        Respect the processors' memories; a model without them is a relaxation, and far smaller.
    shortest
        Only the makespan will be minimised: of tasks that may change places one comes first, where nothing but time counts.

    Attributes
    ----------
    work
        Deterministic work of building the model.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        period: int | None,
        ceilings: Mapping[str, int],
        hint: Schedule | None = None,
        symmetric: bool = True,
        memories: bool = True,
        shortest: bool = False,
    ) -> None:
        self.problem, self.period, self.model = problem, period, cp_model.CpModel()
        length = serial_length(problem)
        horizon = latest_end(problem, period)
        if period is None:
            horizon = min(x for x in (horizon, ceilings.get("makespan"), problem.limits.makespan_cycles) if x is not None)
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
            least = least_delays(problem, period)
            constraints.path_delays([(layer, int(least[layer])) for layer in self.variables.delay])
        else:
            makespan = self.objective.level("makespan")
            assert isinstance(makespan, cp_model.IntVar)
            constraints.area(makespan)
            constraints.capacity()
            if symmetric:
                window_loads(self.variables, makespan)
        limits = problem.limits
        if limits.traffic_bytes is not None:
            self.model.add(self.objective.level("traffic") <= limits.traffic_bytes)
        if limits.span_cycles is not None:
            constraints.span(limits.span_cycles)
        if memories:
            self.objective.limit_memory()
        for name, value in ceilings.items():
            if name != "period":
                self.model.add(self.objective.level(name) <= value)
        self._ranking = constraints.ranking()
        self.symmetric = symmetric
        self._pairs = first_pairs(problem) if symmetric and shortest and only_time_counts(problem) else []
        if symmetric:
            constraints.symmetry()
            constraints.swaps(self._pairs)
        self.work = model_size(problem, frozenset(ceilings), memories=memories) * BUILD_WORK
        self.hinted = hint is not None
        if hint is not None:
            self.hint_on(self.model, hint)

    def hint_on(self, model: cp_model.CpModel, hint: Schedule) -> None:
        """Hint placement, starts and delays, on the model or a clone of it."""
        v = self.variables
        if self.period is not None and hint.period is not None and self.period > hint.period:
            hint = stretched(hint, self.problem, self.period)
        if self.symmetric:
            hint = canonical(in_order(hint, self._pairs), self.problem, self._ranking)
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
                stage, phase = divmod(start, hint.period)
                model.add_hint(v.stage[copy], stage)
                model.add_hint(v.phase[copy], min(phase, self.period - 1))
        if self.period is not None and hint.period is not None:
            forward, backward = layer_delays(self.problem, hint)
            for layer, delay in v.delay.items():
                self._hint_delay(model, delay, int(forward[layer]))
                if v.backward_delay[layer] is not delay:
                    self._hint_delay(model, v.backward_delay[layer], int(backward[layer]))

    def complete_hint(self, clock: Clock) -> bool:
        """Hint what follows from placement, starts and delays as well; False if the model does not admit the hint.

        With all that is hinted fixed the rest takes milliseconds (lifetimes in memory, which are only
        bounded on one side, seconds), and CP-SAT accepts a complete hint at once, where it may
        spend many seconds on a partial one of a large model.
        """
        outcome = run(self.model, clock.part(0.2, most_s=COMPLETION_S), seed=0, fixed=True)
        if outcome.found:
            self.model.clear_hints()
            for index in range(len(self.model.proto.variables)):
                variable = self.model.get_int_var_from_proto_index(index)
                self.model.add_hint(variable, outcome.solver.value(variable))
        return outcome.found

    def _hint_delay(self, model: cp_model.CpModel, delay: Delay, value: int) -> None:
        model.add_hint(delay.value, value)
        if delay.residues:
            turns, rho = divmod(value, self.problem.unroll)
            model.add_hint(delay.turns, turns)
            for residue, literal in enumerate(delay.residues):
                model.add_hint(literal, residue == rho)

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

        if self.hinted:
            self.complete_hint(clock)

        def report(callback: cp_model.CpSolverSolutionCallback) -> None:
            if on_schedule is not None:
                on_schedule(self.schedule(callback.value))

        outcome = run(
            self.model, clock, seed=seed, share=share, patience_s=patience_s, linearization=0 if level == "delay" else 1, report=report, on_bound=on_bound
        )
        return outcome, self.schedule(outcome.solver.value) if outcome.found else None

    def schedule(self, value: Callable[[cp_model.LinearExprT], int]) -> Schedule:
        """The schedule that a solution stands for."""
        v = self.variables
        processor = [next(p for p, literal in v.on(copy) if value(literal)) for copy in range(self.problem.instance.size)]
        start = [value(s) for s in v.start]
        return Schedule(processor=np.array(processor), start=np.array(start), period=self.period).normalised()
