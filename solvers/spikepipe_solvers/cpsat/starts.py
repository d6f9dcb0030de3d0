"""The makespan on like processors without transfers: starts alone decide, processors are handed out afterwards.

P | prec | C_max needs no placement in the model: at most P tasks run at a time, and intervals of which no more
than P overlap can be coloured with P colours, in the order of their starts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.bounds.heads import iteration_graph
from spikepipe_sched.bounds.makespan import heads_and_tails
from spikepipe_sched.problem import Ints, Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.run import Outcome, run
from spikepipe_solvers.cpsat.size import BUILD_WORK, serial_length
from spikepipe_solvers.cpsat.swaps import first_pairs, in_order, only_time_counts


def placement_is_free(problem: Problem) -> bool:
    """Whether every task may run on any processor alike and nothing depends on which."""
    instance = problem.instance
    return only_time_counts(problem) and not instance.transfer.any() and bool((instance.duration == instance.duration[:, :1]).all())


class StartModel:
    """CP-SAT model of the starts, for problems with `placement_is_free`; the interface of `ScheduleModel` as far as it is needed.

    Parameters
    ----------
    hint
        A schedule to start from; only schedules no longer than it are looked for.

    Attributes
    ----------
    work
        Deterministic work of building the model.
    """

    def __init__(self, problem: Problem, *, hint: Schedule | None = None) -> None:
        self.problem, self.model, self.cycles = problem, cp_model.CpModel(), problem.instance.duration[:, 0]
        graph, nothing = iteration_graph(problem), np.zeros(problem.instance.size, dtype=np.int64)
        head, tail = (side.min(axis=1) for side in heads_and_tails(graph, nothing, nothing))
        longest = serial_length(problem) if hint is None else int((hint.start + self.cycles).max())
        longest = min(longest, problem.limits.makespan_cycles or longest)
        self.makespan = self.model.new_int_var(0, longest, "makespan")
        self.start = [self.model.new_int_var(int(h), max(int(h), longest), "") for h in head]
        intervals: list[cp_model.IntervalVar] = []
        for start, cycles, rest in zip(self.start, self.cycles.tolist(), tail.tolist(), strict=True):
            self.model.add(start + cycles + rest <= self.makespan)
            if cycles:
                intervals.append(self.model.new_fixed_size_interval_var(start, cycles, ""))
        self.model.add_cumulative(intervals, [1] * len(intervals), len(problem.processors))
        for u, v, lag in zip(graph.source.tolist(), graph.target.tolist(), graph.lag.tolist(), strict=True):
            self.model.add(self.start[v] >= self.start[u] + int(self.cycles[u]) + lag)
        pairs = first_pairs(problem)
        for a, b in pairs:
            self.model.add(self.start[a] <= self.start[b])
        if hint is not None:
            for variable, value in zip(self.start, in_order(hint, pairs).start.tolist(), strict=True):
                self.model.add_hint(variable, value)
            self.model.add_hint(self.makespan, longest)
        self.work = (3 * problem.instance.size + len(graph.source) + len(pairs)) * BUILD_WORK

    def solve(
        self,
        level: str | None,
        clock: Clock,
        *,
        seed: int,
        patience_s: float | None = None,
        lower: int = 0,
        on_schedule: Callable[[Schedule], object] | None = None,
        on_bound: Callable[[int], None] | None = None,
    ) -> tuple[Outcome, Schedule | None]:
        """Minimise the makespan, the only level there is; ``lower`` is a proven bound on it."""
        assert level == "makespan"
        self.model.add(self.makespan >= lower)
        self.model.minimize(self.makespan)

        def report(callback: cp_model.CpSolverSolutionCallback) -> None:
            if on_schedule is not None:
                on_schedule(self.schedule(callback.value))

        outcome = run(self.model, clock, seed=seed, patience_s=patience_s, energetic=True, report=report, on_bound=on_bound)
        return outcome, self.schedule(outcome.solver.value) if outcome.found else None

    def schedule(self, value: Callable[[cp_model.LinearExprT], int]) -> Schedule:
        """The schedule that a solution stands for."""
        start = np.array([value(s) for s in self.start], dtype=np.int64)
        return Schedule(processor=coloured(start, self.cycles, len(self.problem.processors)), start=start).normalised()


def coloured(start: Ints, cycles: Ints, processors: int) -> Ints:
    """(N,) A processor for each interval: in the order of starts, the one that has been free for longest; empty ones go to the first."""
    placed = np.zeros(len(start), dtype=np.int64)
    free = [(0, p) for p in range(processors)]
    for v in np.argsort(start, kind="stable").tolist():
        if cycles[v]:
            placed[v] = heapq.heapreplace(free, (int(start[v] + cycles[v]), free[0][1]))[1]
    return placed
