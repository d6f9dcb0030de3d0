"""Exact load balancing: the least period where nothing but load decides it (P||C_max, R||C_max)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from spikepipe_sched.problem import Problem
from spikepipe_solvers.balance import loads
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.run import Outcome, run

Ints = NDArray[np.int64]


def balance_exactly(
    problem: Problem, hint: Ints, lower: int, clock: Clock, *, seed: int, share: float, on_best: Callable[[int], None] | None = None, on_bound: Callable[[int], None] | None = None
) -> tuple[Ints, int, Outcome]:
    """Assignment (N,) of least largest load, a proven bound on it, and how the search ended.

    Equal copies (the windows of a task) are counted, not told apart: n[type][p] of them run on p.
    """
    instance = problem.instance
    types, kind, counts = np.unique(instance.duration, axis=0, return_inverse=True, return_counts=True)
    kind = kind.ravel()
    model, count = cp_model.CpModel(), len(problem.processors)
    upper = int(loads(instance.duration, hint).max())
    largest = model.new_int_var(lower, upper, "load")
    number: list[list[cp_model.IntVar]] = []
    load: list[list[cp_model.LinearExprT]] = [[] for _ in range(count)]
    for t, (row, total) in enumerate(zip(types.tolist(), counts.tolist(), strict=True)):
        number.append([model.new_int_var(0, total if row[p] >= 0 else 0, f"n_{t}_{p}") for p in range(count)])
        model.add(cp_model.LinearExpr.sum(number[t]) == total)
        for p in range(count):
            load[p].append(max(0, row[p]) * number[t][p])
            model.add_hint(number[t][p], int(((kind == t) & (hint == p)).sum()))
    for p in range(count):
        model.add(cp_model.LinearExpr.sum(load[p]) <= largest)
    model.add(cp_model.LinearExpr.sum([x for row in load for x in row]) <= count * largest)
    model.minimize(largest)

    def report(callback: cp_model.CpSolverSolutionCallback) -> None:
        if on_best is not None:
            on_best(int(callback.objective_value))

    outcome = run(model, clock, seed=seed, share=share, report=report, on_bound=on_bound)
    bound = max(lower, outcome.bound)
    if not outcome.found:
        return hint, bound, outcome
    processor = hint.copy()
    for t in range(len(types)):
        members = np.flatnonzero(kind == t)
        processor[members] = _spread(hint[members], [outcome.solver.value(x) for x in number[t]])
    return processor, bound, outcome


def _spread(before: Ints, wanted: list[int]) -> Ints:
    """Give each processor its wanted number of equal copies, moving as few as possible."""
    after, left, moving = before.copy(), list(wanted), list[int]()
    for i, p in enumerate(before.tolist()):
        if left[p] > 0:
            left[p] -= 1
        else:
            moving.append(i)
    spare = [p for p, number in enumerate(left) for _ in range(number)]
    after[moving] = spare
    return after
