"""What a bound is, and the names of where bounds come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

T = TypeVar("T")

AREA: Final = "area: work / processors"
LONGEST: Final = "longest task"
SHARING: Final = "longest tasks: some must share a processor"
RECURRENCE: Final = "recurrence: dependence cycles and delay limits"
DELAY_LIMIT: Final = "delay limits: F..U with transfers and load"
CRITICAL_PATH: Final = "critical path"
LOAD: Final = "load of an interval / processors"
LAYER_PATH: Final = "path: longest F..U over the period"
LAYER_LENGTH: Final = "F..U with transfers and load over the period"
CUTS: Final = "tensors between as many processors as the work needs"
RESIDENT: Final = "resident weights"
TRIVIAL: Final = "trivial"
#: Sources of the bounds that need no search: whoever has the problem can compute them again.
COMBINATORIAL: Final = frozenset({AREA, LONGEST, SHARING, RECURRENCE, DELAY_LIMIT, CRITICAL_PATH, LOAD, LAYER_PATH, LAYER_LENGTH, CUTS, RESIDENT, TRIVIAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """No feasible schedule has an objective below ``value``; ``source`` says why."""

    value: int
    source: str


def best(*bounds: Bound) -> Bound:
    """The largest; the first of equals."""
    return max(bounds, key=lambda bound: bound.value)


def once(function: Callable[[Problem], T]) -> Callable[[Problem], T]:
    """Decorator: what depends on a problem alone is computed once in the problem's life."""
    known: WeakKeyDictionary[Problem, T] = WeakKeyDictionary()

    @wraps(function)
    def remembered(problem: Problem) -> T:
        if problem not in known:
            known[problem] = function(problem)
        return known[problem]

    return remembered
