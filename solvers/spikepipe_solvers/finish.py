"""How a heuristic ends: the best of its candidates, or the reason why none will do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spikepipe_sched.bounds import Bound
from spikepipe_sched.check import Violation, metrics, violations
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Infeasibility, Provenance, Result, conclude
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.version import __version__


def objective_key(problem: Problem, schedule: Schedule) -> tuple[int, ...]:
    """Values of the problem's objectives, in lexicographic order."""
    figures = metrics(problem, schedule)
    return tuple(figures.value(name) for name in problem.objective)


def best_feasible(problem: Problem, candidates: Iterable[Schedule]) -> tuple[Schedule | None, tuple[Violation, ...]]:
    """The best candidate that passes the check, or the violations of the last one that did not."""
    best: tuple[tuple[int, ...], Schedule] | None = None
    wrong: tuple[Violation, ...] = ()
    for candidate in candidates:
        schedule = candidate.normalised()
        found = violations(problem, schedule)
        if found:
            wrong = found
            continue
        key = objective_key(problem, schedule)
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
