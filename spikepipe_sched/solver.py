"""The solver contract, the registry of installed solvers, and `solve`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import metadata
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from spikepipe_sched.errors import InputError, SpikepipeError, Unsupported, require
from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule

MAX_WORKERS: Final = 1024
#: Seeds are 31-bit numbers: that is what CP-SAT takes.
MAX_SEED: Final = 2**31 - 1
ENTRY_POINTS: Final = "spikepipe_sched.solvers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a solve may spend.

    Parameters
    ----------
    time_limit_s
        Wall-clock seconds; ignored under a deterministic limit.
    deterministic_limit
        Work instead of time, in units of about a second of one core: with one worker the same seed
        then gives the same schedule on any machine.
    workers
        Threads.
    """

    time_limit_s: float = 30.0
    deterministic_limit: float | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        require(0 < self.time_limit_s < math.inf, f"budget: the time limit must be positive and finite, got {self.time_limit_s}")
        require(
            self.deterministic_limit is None or 0 < self.deterministic_limit < math.inf,
            f"budget: the deterministic limit must be positive and finite, got {self.deterministic_limit}",
        )
        require(1 <= self.workers <= MAX_WORKERS, f"budget: workers must be between 1 and {MAX_WORKERS}, got {self.workers}")
        if self.deterministic_limit is not None:
            object.__setattr__(self, "workers", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """News of a running solve: the incumbent and what is proven about the current objective.

    ``schedule`` is set where the incumbent is new; ``incumbent`` and ``bound`` are None if unknown.
    ``elapsed_s`` is the time since `solve` began, which says it, whatever parts a solver has.
    """

    solver: str
    objective: str
    incumbent: int | None = None
    bound: int | None = None
    elapsed_s: float = 0.0
    schedule: Schedule | None = None


Observer = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverSpec:
    """What a solver is, and what it can take.

    Parameters
    ----------
    summary, source
        One line; a DOI or arXiv number.
    exact
        Whether it may prove optima.
    supports
        Returns None, or the reason why the solver cannot take a problem.
    optimises, ignores
        What its decisions are made for, and what of the problem they do not look at: for whoever
        compares solvers. Limits that it ignores are checked all the same.
    """

    name: str
    summary: str
    source: str
    exact: bool
    modes: tuple[str, ...]
    supports: Callable[[Problem], str | None]
    optimises: str = ""
    ignores: str = ""


@runtime_checkable
class Solver(Protocol):
    """Anything with a `SolverSpec` and a ``solve`` method; `spikepipe_sched.solve` checks what it returns."""

    @property
    def spec(self) -> SolverSpec:
        """Name, source and abilities."""
        ...

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """The best schedule found within the budget, wrapped up by `conclude`."""
        ...


def solver_names() -> tuple[str, ...]:
    """Names of the installed solvers, from metadata: none of them is imported."""
    return tuple(sorted({entry.name for entry in metadata.entry_points(group=ENTRY_POINTS)}))


@runtime_checkable
class Presets(Protocol):
    """A solver with named settings: ``name:preset`` is one of them."""

    @property
    def presets(self) -> tuple[str, ...]:
        """Their names."""
        ...

    def preset(self, name: str) -> Solver:
        """The solver with those settings; its ``spec.name`` is ``name:preset``."""
        ...


def load_solver(name: str) -> Solver:
    """Import one solver; ``name:preset`` asks it for named settings.

    Raises
    ------
    InputError
        If there is no solver, or no preset, of that name.
    SpikepipeError
        If it cannot be imported, or is not a `Solver`.
    """
    name, colon, preset = name.partition(":")
    entries = sorted((e for e in metadata.entry_points(group=ENTRY_POINTS) if e.name == name), key=lambda e: e.value)
    if not entries:
        known = solver_names()
        raise InputError(f"there is no solver '{name}'; {_near(name, known)}installed: {', '.join(known) or 'none (reinstall the package)'}")
    if len({entry.value for entry in entries}) > 1:
        raise SpikepipeError(f"several installed packages provide a solver '{name}': {', '.join(e.value for e in entries)}; uninstall all but one")
    try:
        loaded = entries[0].load()
        solver = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise SpikepipeError(f"solver '{name}' ({entries[0].value}) cannot be loaded: {error}") from error
    if not isinstance(solver, Solver):
        raise SpikepipeError(f"solver '{name}' ({entries[0].value}) is not a Solver: it needs 'spec' and 'solve'")
    if not colon:
        return solver
    known = solver.presets if isinstance(solver, Presets) else ()
    choice = f"; {_near(preset, known)}choose from {', '.join(known)}" if known else ", it has none at all"
    require(preset in known, f"solver '{name}' has no preset '{preset}'{choice}")
    return solver.preset(preset) if isinstance(solver, Presets) else solver


def _near(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like it, as a question, if there is one; case and underscores make no difference."""
    close = get_close_matches(name.lower().replace("_", "-"), known, n=1)
    return f"did you mean '{close[0]}'? " if close else ""


class _Recorder:
    """Forwards progress and keeps the best schedule that passes the check, for interruptions."""

    def __init__(self, problem: Problem, observer: Observer | None) -> None:
        self.problem, self.observer = problem, observer
        self.best: tuple[tuple[int, ...], Schedule] | None = None
        self.began = time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        from spikepipe_sched.assess import assess

        if progress.schedule is not None and not (found := assess(self.problem, progress.schedule)).violations:
            key = found.key(self.problem)
            if self.best is None or key < self.best[0]:
                self.best = (key, progress.schedule)
        if self.observer is not None:
            self.observer(replace(progress, elapsed_s=time.perf_counter() - self.began))


def solve(
    problem: Problem,
    solver: str | Solver = "auto",
    *,
    time_limit_s: float = 30.0,
    deterministic_limit: float | None = None,
    workers: int | None = None,
    seed: int = 0,
    hint: Schedule | None = None,
    observer: Observer | None = None,
) -> Result:
    """Solve a problem and check what comes back.

    Whoever wrote the solver, the schedule is verified and its objective recomputed here. An
    interruption (Ctrl-C, Jupyter's stop) returns the best checked schedule the solver had reported.

    Parameters
    ----------
    solver
        A name from `solver_names`, or a `Solver` object.
    seed
        Same seed, one worker and a deterministic limit: same schedule.
    hint
        A schedule to start from; it need not be feasible.

    Raises
    ------
    InputError
        If the solver does not exist or does not support the problem (`Unsupported`), the hint is for
        another one, or a limit or the seed is out of range.
    SpikepipeError
        If the solver's schedule violates the problem, or its objective is not what it reports.
    """
    from spikepipe_sched.check import structure_violations
    from spikepipe_sched.conflicts import conflict
    from spikepipe_sched.result import Provenance, conclude, with_provenance

    chosen = load_solver(solver) if isinstance(solver, str) else solver
    if hint is not None:
        unfit = [wrong for wrong in structure_violations(problem, hint) if wrong.kind in ("tasks", "period", "processor")]
        require(not unfit, f"the hint is no schedule of this problem: {unfit[0].message if unfit else ''}")
    name = chosen.spec.name
    reason = chosen.spec.supports(problem)
    if reason is not None:
        raise Unsupported(f"solver '{name}' cannot take this problem: {reason}")
    require(0 <= seed <= MAX_SEED, f"the seed must be between 0 and {MAX_SEED}, got {seed}")
    excluded = conflict(problem)
    if excluded is not None:
        return conclude(
            problem,
            None,
            provenance=Provenance(solver=name, version=__version__, seed=seed, cost_terms=problem.cost_terms),
            infeasibility=excluded,
            proven_infeasible=True,
        )
    budget = Budget(time_limit_s=time_limit_s, deterministic_limit=deterministic_limit, **({} if workers is None else {"workers": workers}))
    recorder = _Recorder(problem, observer)
    interrupted = False
    try:
        raw = chosen.solve(problem, budget=budget, seed=seed, hint=hint, observer=recorder)
    except KeyboardInterrupt:
        interrupted = True
        best = recorder.best[1] if recorder.best else None
        raw = conclude(problem, best, provenance=Provenance(solver=name, version=__version__))
    checked = verify(raw, problem, name)
    return with_provenance(
        checked,
        solver=name,
        version=__version__,
        seed=seed,
        time_limit_s=None if deterministic_limit is not None else time_limit_s,
        deterministic_limit=deterministic_limit,
        workers=budget.workers,
        runtime_s=round(time.perf_counter() - recorder.began, 3),
        interrupted=interrupted or raw.provenance.interrupted,
        cost_terms=problem.cost_terms,
    )


def verify(result: Result, problem: Problem, name: str) -> Result:
    """Recompute everything a solver claims, except its bounds, which must not exceed the values.

    Raises
    ------
    SpikepipeError
        If the result is for another problem, its schedule violates this one, or a reported
        objective differs from the recomputed one.
    """
    from spikepipe_sched.bounds import Bound
    from spikepipe_sched.result import Status, conclude

    if result.problem is not problem:
        raise SpikepipeError(f"solver '{name}' returned a result for another problem")
    if result.schedule is None:
        if result.status not in (Status.INFEASIBLE, Status.UNKNOWN):
            raise SpikepipeError(f"solver '{name}' reports '{result.status}' without a schedule")
        return result
    reported = tuple(level.name for level in result.objectives)
    if reported != problem.objective:
        raise SpikepipeError(f"solver '{name}' reports {', '.join(reported) or 'nothing'}, but the problem asks for {', '.join(problem.objective)}")
    bounds = {level.name: Bound(value=level.bound, source=level.bound_source) for level in result.objectives}
    checked = conclude(problem, result.schedule, bounds=bounds, provenance=result.provenance)
    for claimed, level in zip(result.objectives, checked.objectives, strict=True):
        if claimed.value != level.value:
            raise SpikepipeError(f"solver '{name}' reports {claimed.name} = {claimed.value}, but it is {level.name} = {level.value}")
    return checked
