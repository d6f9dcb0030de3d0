"""What a solver hands back: a checked schedule, what it is worth, and how far from the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from spikepipe_sched import bounds as combinatorial
from spikepipe_sched.assess import assess
from spikepipe_sched.bounds import Bound
from spikepipe_sched.check import Metrics, Violation
from spikepipe_sched.cost.shares import CostTerm
from spikepipe_sched.errors import SpikepipeError

if TYPE_CHECKING:
    import os

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    """Every objective equals its proven bound."""
    FEASIBLE = "feasible"
    """A checked schedule, not proven best."""
    INFEASIBLE = "infeasible"
    """Proven: no schedule satisfies the limits."""
    UNKNOWN = "unknown"
    """No schedule found, none excluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveValue:
    """One level of the lexicographic objective.

    ``gap`` is (value - bound) / bound, 0 if both are 0, None (infinite) if only the bound is. Below
    the first level, bound and gap are conditional on the values above.
    """

    name: str
    value: int
    bound: int
    gap: float | None
    bound_source: str

    @property
    def proven(self) -> bool:
        """Whether the value equals the bound."""
        return self.value == self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasibility:
    """Why there is no schedule: what was demanded, what is proven or was reached, what to loosen."""

    demanded: str
    bound: str
    gap: float | None
    loosen: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a result comes from."""

    solver: str
    version: str
    seed: int = 0
    time_limit_s: float | None = None
    deterministic_limit: float | None = None
    workers: int = 1
    runtime_s: float = 0.0
    interrupted: bool = False
    cost_terms: tuple[CostTerm, ...] = ()
    winner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A problem, its best known schedule, and the proof of how good it is.

    ``schedule``, ``metrics`` are None and ``objectives`` empty if none was found; ``infeasibility``
    then says why.
    """

    problem: Problem = field(repr=False)
    status: Status
    schedule: Schedule | None = field(repr=False)
    metrics: Metrics | None = field(repr=False)
    objectives: tuple[ObjectiveValue, ...]
    provenance: Provenance
    infeasibility: Infeasibility | None = None

    @property
    def objective(self) -> int | None:
        """Value of the first objective."""
        return self.objectives[0].value if self.objectives else None

    @property
    def bound(self) -> int | None:
        """Proven lower bound of the first objective."""
        return self.objectives[0].bound if self.objectives else None

    @property
    def gap(self) -> float | None:
        """Gap of the first objective; None: infinite, or nothing found."""
        return self.objectives[0].gap if self.objectives else None

    def key(self) -> tuple[int, ...]:
        """Objective values in lexicographic order, for comparing results of one problem."""
        return tuple(level.value for level in self.objectives)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The result as JSON (schema ``spikepipe-sched/result/1``); also written to ``path`` if given."""
        from spikepipe_sched.schema import result_to_json

        return result_to_json(self, path)

    @staticmethod
    def from_json(text: str | bytes | os.PathLike[str]) -> Result:
        """Read a result back from JSON text or a `pathlib.Path` (a str is never a path); exact inverse of `to_json`.

        Raises
        ------
        InputError
            With the JSON path of what is wrong.
        """
        from spikepipe_sched.schema import result_from_json

        return result_from_json(text)

    def __str__(self) -> str:
        from spikepipe_sched.export.summary import summary_lines

        return "\n".join(summary_lines(self))

    def _repr_html_(self) -> str:
        from spikepipe_sched.export.html import result_to_html

        return result_to_html(self)


def gap(value: int, bound: int) -> float | None:
    """(value - bound) / bound; 0 if both are 0, None (infinite) if only the bound is."""
    if bound == 0:
        return 0.0 if value == 0 else None
    return float(Fraction(value - bound, bound))


def conclude(
    problem: Problem,
    schedule: Schedule | None,
    *,
    provenance: Provenance,
    bounds: Mapping[str, Bound] | None = None,
    infeasibility: Infeasibility | None = None,
    proven_infeasible: bool = False,
) -> Result:
    """Check a schedule and wrap it up with every bound known.

    Parameters
    ----------
    bounds
        Proven bounds of a solver, by objective; below the first level each must hold for all
        schedules that equal this one in the levels above. The better of these and of
        `spikepipe_sched.bounds` counts.

    Raises
    ------
    SpikepipeError
        If the schedule violates the problem or a bound is above the value: a defect of the solver.
    """
    if schedule is None:
        status = Status.INFEASIBLE if proven_infeasible else Status.UNKNOWN
        return Result(problem=problem, status=status, schedule=None, metrics=None, objectives=(), provenance=provenance, infeasibility=infeasibility)
    schedule = schedule.normalised()
    found = assess(problem, schedule)
    if found.violations or found.metrics is None:
        raise InvalidSchedule(provenance.solver, found.violations)
    figures = found.metrics
    levels: list[ObjectiveValue] = []
    for name in problem.objective:
        value = figures.value(name)
        known = combinatorial.objective_bound(problem, name, figures.length_cycles)
        if bounds and name in bounds:
            known = combinatorial.best(known, bounds[name])
        if known.value > value:
            raise SpikepipeError(f"solver '{provenance.solver}': the bound {known.value} ({known.source}) on {name} is above the value {value}")
        levels.append(ObjectiveValue(name=name, value=value, bound=known.value, gap=gap(value, known.value), bound_source=known.source))
    status = Status.OPTIMAL if all(level.proven for level in levels) else Status.FEASIBLE
    return Result(problem=problem, status=status, schedule=schedule, metrics=figures, objectives=tuple(levels), provenance=provenance)


def with_provenance(result: Result, **changes: object) -> Result:
    """The same result with some fields of its provenance replaced."""
    return replace(result, provenance=replace(result.provenance, **changes))  # pyright: ignore[reportArgumentType]


class InvalidSchedule(SpikepipeError):
    """A solver returned a schedule that violates the problem."""

    def __init__(self, solver: str, wrong: tuple[Violation, ...]) -> None:
        self.violations = wrong
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        super().__init__(f"solver '{solver}' returned a schedule with a violation: {next(iter(wrong))}{more}")
