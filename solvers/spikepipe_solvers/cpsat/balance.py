"""Exact load balancing: the least period where nothing but load decides it (P||C_max, R||C_max)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from spikepipe_sched.problem import Problem
from spikepipe_solvers.balance import largest_load
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.run import LINEAR_RATE, Outcome, run
from spikepipe_solvers.patterns import pack

Ints = NDArray[np.int64]

#: Share of the time that patterns may take before CP-SAT, and the most that they are given.
PATTERN_SHARE, PATTERN_S = 0.3, 4.0
#: Work of building the model, per kind of task and processor (about seconds).
BUILD_WORK = 2e-5


def balance_exactly(
    problem: Problem, hint: Ints, lower: int, clock: Clock, *, seed: int, share: float, patience_s: float | None = None
) -> tuple[Ints, int, Outcome]:
    """Assignment (N,) of least largest load, a proven bound on it, and how the search ended.

    Patterns mostly give the better bound, CP-SAT the better assignment. Equal copies (the windows of
    a task) are counted, not told apart: n[type][p] of them run on p.
    """
    instance, clock = problem.instance, clock.part(share)
    hint, lower = pack(instance.duration, hint, lower, clock.part(PATTERN_SHARE, most_s=PATTERN_S))
    types, kind, counts = np.unique(instance.duration, axis=0, return_inverse=True, return_counts=True)
    kind = kind.ravel()
    clock.spend(types.size * BUILD_WORK)
    if clock.left() <= types.size * BUILD_WORK:
        return hint, lower, Outcome(solver=cp_model.CpSolver(), found=False, optimal=False, infeasible=False, bound=lower, interrupted=False)
    model, count = cp_model.CpModel(), len(problem.processors)
    groups, weights = _like_processors(types), _rank_weights(types, counts)
    hint = _sorted_within(hint, groups, weights[kind])
    upper = largest_load(instance.duration, hint)
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
    for group in groups:  # like processors in decreasing order of the long tasks they run
        for p, q in pairwise(group):
            model.add(sum(int(w) * (number[t][p] - number[t][q]) for t, w in enumerate(weights.tolist()) if w) >= 0)
    model.add(cp_model.LinearExpr.sum([x for row in load for x in row]) <= count * largest)
    model.minimize(largest)

    outcome = run(model, clock, seed=seed, patience_s=patience_s, rate=LINEAR_RATE)
    bound = max(lower, outcome.bound)
    if not outcome.found:
        return hint, bound, outcome
    processor = hint.copy()
    for t in range(len(types)):
        members = np.flatnonzero(kind == t)
        processor[members] = _spread(hint[members], [outcome.solver.value(x) for x in number[t]])
    return processor, bound, outcome


def _like_processors(types: Ints) -> list[list[int]]:
    """Processors on which every task takes the same time."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for p, column in enumerate(types.T.tolist()):
        groups.setdefault(tuple(column), []).append(p)
    return list(groups.values())


def _rank_weights(types: Ints, counts: Ints) -> Ints:
    """(types,) Weights whose sum over a processor's copies compares numbers of the longest types, lexicographically."""
    base = int(counts.max()) + 1
    levels = max(1, min(4, int(40 / np.log2(base))))
    weights = np.zeros(len(types), dtype=np.int64)
    longest = np.argsort(-types.max(axis=1), kind="stable")[:levels]
    weights[longest] = [base ** (levels - 1 - i) for i in range(len(longest))]
    return weights


def _sorted_within(processor: Ints, groups: list[list[int]], weight: Ints) -> Ints:
    """The same assignment with like processors renamed in decreasing order of their weights; ``weight`` (N,) of the copies."""
    total = np.zeros(sum(len(group) for group in groups), dtype=np.int64)
    np.add.at(total, processor, weight)
    new = np.arange(len(total))
    for group in groups:
        for target, p in zip(group, sorted(group, key=lambda p: -int(total[p])), strict=True):
            new[p] = target
    return new[processor]


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
