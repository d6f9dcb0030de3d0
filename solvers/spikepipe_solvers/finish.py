"""How a heuristic ends: the best of its candidates, or the reason why none will do.

Heuristics take transfers to be free of each other; where links are shared their schedules are made to
respect them here, before they are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spikepipe_sched.assess import assess
from spikepipe_sched.bounds import Bound
from spikepipe_sched.check import Violation
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Infeasibility, Provenance, Result, conclude
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.version import __version__
from spikepipe_solvers.links import with_links


def best_feasible(problem: Problem, candidates: Iterable[Schedule]) -> tuple[Schedule | None, tuple[Violation, ...]]:
    """The best candidate that passes the check, or the violations of the last one that did not."""
    best: tuple[tuple[int, ...], Schedule] | None = None
    wrong: tuple[Violation, ...] = ()
    for candidate in candidates:
        schedule = with_links(problem, candidate.normalised())
        if schedule is None:
            wrong = wrong or (Violation(kind="link", message="the links cannot carry the transfers of this placement in time"),)
            continue
        found = assess(problem, schedule)
        if found.violations:
            wrong = found.violations
            continue
        key = found.key(problem)
        if best is None or key < best[0]:
            best = (key, schedule)
    return (None if best is None else best[1]), wrong


def report(wrong: tuple[Violation, ...]) -> Infeasibility:
    """An inspectable answer where a heuristic met a limit it could not respect; no proof."""
    first = wrong[0] if wrong else None
    kinds = tuple(dict.fromkeys(violation.kind for violation in wrong))
    return Infeasibility(
        demanded=first.message if first else "a schedule within the limits",
        bound="none: this solver proves nothing",
        gap=None,
        loosen=kinds,
    )


def finish(problem: Problem, candidates: Iterable[Schedule], name: str, *, bounds: Mapping[str, Bound] | None = None) -> Result:
    """The result of a heuristic."""
    schedule, wrong = best_feasible(problem, candidates)
    infeasibility = report(wrong) if schedule is None else None
    return conclude(problem, schedule, bounds=bounds, provenance=Provenance(solver=name, version=__version__), infeasibility=infeasibility)
