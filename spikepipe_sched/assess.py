"""The check of a schedule, done once.

A search, the solver that wraps it up and `spikepipe_sched.solve` all check the same schedule. Problem
and schedule cannot change, so what was found the first time is still true: the last findings of every
living problem are kept. On a million tasks a check costs seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from spikepipe_sched.check import Metrics, Violation, limit_violations, metrics, overlap_violations, precedence_violations, structure_violations

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

#: Schedules of a problem whose findings are kept.
KEPT: Final = 4

_found: WeakKeyDictionary[Problem, dict[Schedule, Assessment]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """All violations, and the figures; ``metrics`` is None where a schedule is too broken to have any."""

    violations: tuple[Violation, ...]
    metrics: Metrics | None

    def key(self, problem: Problem) -> tuple[int, ...]:
        """Values of the problem's objectives, in lexicographic order."""
        assert self.metrics is not None  # asked for schedules without violations
        return tuple(self.metrics.value(name) for name in problem.objective)


def assess(problem: Problem, schedule: Schedule) -> Assessment:
    """`check.violations` and `check.metrics` in one."""
    known = _found.setdefault(problem, {})
    found = known.get(schedule)
    if found is None:
        found = _assess(problem, schedule)
        for oldest in list(known)[: max(0, len(known) + 1 - KEPT)]:
            known.pop(oldest, None)  # another thread may have been here
        known[schedule] = found
    return found


def _assess(problem: Problem, schedule: Schedule) -> Assessment:
    found = structure_violations(problem, schedule)
    if found:
        return Assessment(violations=tuple(found), metrics=None)
    figures = metrics(problem, schedule)
    found = [*overlap_violations(problem, schedule), *precedence_violations(problem, schedule), *limit_violations(problem, figures)]
    return Assessment(violations=tuple(found), metrics=figures)
