"""Everything a result claims, against what its problem and schedule say.

Knows no solver: a file from anywhere is verified by recomputing it. A bound that a search proved
cannot be recomputed; it must at least lie at or below the value, and those that follow from the
problem alone (`spikepipe_sched.bounds`) are computed again.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from spikepipe_sched.bounds import COMBINATORIAL, objective_bound
from spikepipe_sched.check import Metrics, Violation, metrics, structure_violations, violations
from spikepipe_sched.problem import OBJECTIVES
from spikepipe_sched.result import Status, gap

if TYPE_CHECKING:
    from spikepipe_sched.result import ObjectiveValue, Result


def recheck(result: Result) -> list[Violation]:
    """All that is wrong with a result; empty iff schedule, figures, gaps, bounds and status agree.

    Without a schedule there is nothing to recompute: then only the status is looked at.
    """
    if result.schedule is None:
        wrong = result.status not in (Status.INFEASIBLE, Status.UNKNOWN)
        return [Violation(kind="status", message=f"'{result.status}', but there is no schedule")] if wrong else []
    problem, schedule = result.problem, result.schedule
    found = structure_violations(problem, schedule)
    if found:  # nothing can be computed from such a schedule
        return found
    found = list(violations(problem, schedule))
    actual = metrics(problem, schedule)
    if result.metrics is not None:
        found += metric_violations(result.metrics, actual)
    claimed = tuple(level.name for level in result.objectives)
    if claimed != problem.objective:
        found.append(Violation(kind="objectives", message=f"reported are {', '.join(claimed) or 'none'}; the problem asks for {', '.join(problem.objective)}"))
    for level in result.objectives:
        if level.name in OBJECTIVES[problem.mode]:
            found += _level_violations(result, level, actual)
    proven = bool(result.objectives) and all(level.proven for level in result.objectives)
    expected = Status.OPTIMAL if proven else Status.FEASIBLE
    if result.status != expected:
        which = "every" if proven else "not every"
        found.append(Violation(kind="status", message=f"'{result.status}', but {which} objective equals its bound"))
    return found


def metric_violations(claimed: Metrics, actual: Metrics) -> list[Violation]:
    """Every reported figure that differs from the recomputed one."""
    found: list[Violation] = []
    for field in fields(Metrics):
        reported, recomputed = getattr(claimed, field.name), getattr(actual, field.name)
        if not _equal(reported, recomputed):
            found.append(Violation(kind="metric", message=f"{field.name} is reported as {_shown(reported)}, recomputed {_shown(recomputed)}"))
    return found


def _equal(a: object, b: object) -> bool:
    """Equality of numbers, None and nested tuples; floats up to rounding."""
    if isinstance(a, float | int) and isinstance(b, float | int):
        return a == b if isinstance(a, int) and isinstance(b, int) else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, tuple) and isinstance(b, tuple):
        first, second = cast("tuple[object, ...]", a), cast("tuple[object, ...]", b)
        return len(first) == len(second) and all(map(_equal, first, second))
    return a == b


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _level_violations(result: Result, level: ObjectiveValue, actual: Metrics) -> list[Violation]:
    found: list[Violation] = []
    value = actual.value(level.name)
    if level.value != value:
        found.append(Violation(kind="objective", message=f"{level.name} is reported as {level.value}, recomputed {value}"))
    if level.bound > value:
        found.append(Violation(kind="bound", message=f"the bound {level.bound} on {level.name} is above the schedule's {value}"))
    expected = gap(level.value, level.bound)
    if not _equal(level.gap, expected):
        shown = "infinite (null)" if expected is None else expected
        found.append(Violation(kind="gap", message=f"the gap of {level.name} is reported as {level.gap}, but {level.value} over {level.bound} gives {shown}"))
    known = objective_bound(result.problem, level.name, actual.length_cycles)
    if level.bound_source in COMBINATORIAL and level.bound > known.value + _slack(result, known.value):
        message = f"the bound {level.bound} on {level.name} ({level.bound_source}) does not follow from the problem, which gives {known.value} ({known.source})"
        found.append(Violation(kind="bound", message=message))
    return found


def _slack(result: Result, bound: int) -> int:
    """On unlike processors the area bound rests on an LP whose last digits differ between machines."""
    return 1 + bound // 10**6 if len({p.kind for p in result.problem.processors}) > 1 else 0
