"""Any solvers side by side on one problem: what each found, how far that is from the best bound known, and what each looks at.

A bound that one solver proves on the first objective holds for all of them, for it is the same
problem: every gap is to the best bound that any of them knows. Below the first objective bounds are
conditional on the schedule's own values, so nothing is shared there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.errors import InputError, SpikepipeError, Unsupported, require
from spikepipe_sched.result import Status, gap
from spikepipe_sched.solver import Solver, SolverSpec, load_solver, solve, solver_names

if TYPE_CHECKING:
    import os

    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: Names that stand for several installed solvers: every one, or those that follow a published rule and prove nothing.
GROUPS: Final = ("all", "baselines")
#: Whose length the others are set against.
BASELINE: Final = "stages"

#: Solves a problem with a solver.
Run = Callable[["Problem", Solver], "Result"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One solver; figures are None where it found no schedule, ``note`` says why.

    Parameters
    ----------
    solver, source, exact, optimises, ignores
        What it says about itself; see `SolverSpec`.
    status
        As in `Result`, else ``not supported`` or ``failed``; ``optimal``, too, where the only
        objective meets the bound, whoever proved it.
    objective, value, bound, bound_source, gap
        The first objective, and the best bound that any solver of the comparison proved on it.
    length_cycles
        The period, or the makespan.
    utilisation
        Share of the time in which processors are busy; 1 less that is the pipeline's bubble.
    speedup
        Length of the baseline over this one.
    """

    solver: str
    source: str
    exact: bool
    optimises: str
    ignores: str
    status: str
    note: str = ""
    objective: str | None = None
    value: int | None = None
    bound: int | None = None
    bound_source: str | None = None
    gap: float | None = None
    length_cycles: int | None = None
    total_delay: int | None = None
    traffic_bytes: int | None = None
    memory_bytes: int | None = None
    utilisation: float | None = None
    speedup: float | None = None
    seconds: float | None = None
    result: Result | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Solvers side by side on one problem.

    Parameters
    ----------
    rows
        In the order asked for.
    baseline, baseline_note
        The solver that speed-ups are over, and why there are none, if so.
    left_out
        Solvers of a group (`GROUPS`) that cannot take the problem, or be loaded, and why.
    interrupted
        Whether solvers are missing, or the last one was stopped early.
    """

    problem: Problem = field(repr=False)
    rows: tuple[Row, ...]
    baseline: str
    baseline_note: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    interrupted: bool = False

    def gantt(self) -> Figure:
        """The schedules under each other on one time axis, as a plotly figure.

        Raises
        ------
        InputError
            If there is no schedule.
        """
        from spikepipe_sched.export.panels import panels

        return panels(self)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The comparison as JSON (schema ``spikepipe-sched/comparison/1``), every schedule included; also written to ``path`` if given."""
        from spikepipe_sched.comparison_document import comparisons_to_json

        return comparisons_to_json([self], path)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The comparison as a page that needs nothing else; also written to ``path`` if given."""
        from spikepipe_sched.export.comparison import comparison_page
        from spikepipe_sched.files import write_atomically

        page = comparison_page([self])
        if path is not None:
            write_atomically(path, page)
        return page

    def __str__(self) -> str:
        from spikepipe_sched.export.comparison import comparison_text

        return comparison_text([self])

    def _repr_html_(self) -> str:
        from spikepipe_sched.export.comparison import comparison_cell

        return comparison_cell(self)


def compare(problem: Problem, solvers: str | Iterable[str | Solver] = (BASELINE, "auto"), *, baseline: str | Solver = BASELINE, **options: Any) -> Comparison:
    """Run several solvers on one problem, each within the limits given.

    An interruption ends the comparison early and keeps what was found.

    Parameters
    ----------
    solvers
        Names or `Solver` objects; ``all`` and ``baselines`` stand for the installed ones that can
        take the problem: every one, or those that follow a published rule and prove nothing.
    baseline
        The solver that speed-ups are over; it runs in any case.
    **options
        For each solve: ``time_limit_s``, ``deterministic_limit``, ``workers``, ``seed``, ``hint``,
        ``observer``, as in `spikepipe_sched.solve`.

    Raises
    ------
    InputError
        If there is no such solver, or an option is out of range.
    """
    return side_by_side(problem, solvers, baseline, lambda asked, solver: solve(asked, solver, **options))


def side_by_side(problem: Problem, solvers: str | Iterable[str | Solver], baseline: str | Solver, run: Run) -> Comparison:
    """`compare`, with any way to run a solver."""
    chosen, of_groups, broken = choose(solvers)
    reference = load_solver(baseline) if isinstance(baseline, str) else baseline
    outcomes: dict[str, Result | SpikepipeError] = {}
    interrupted = False
    for name, solver in {reference.spec.name: reference, **chosen}.items():
        try:
            outcomes[name] = _outcome(problem, solver, run)
        except KeyboardInterrupt:
            interrupted = True
            break
        outcome = outcomes[name]
        if not isinstance(outcome, SpikepipeError) and outcome.provenance.interrupted:
            interrupted = True
            break
    claims = {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, SpikepipeError)}
    outcomes |= _refuted(claims)
    results = [outcome for outcome in outcomes.values() if not isinstance(outcome, SpikepipeError) and outcome.objectives]
    first = outcomes.get(reference.spec.name)
    length, why = _length(first), "" if first is None else _why(first)
    left_out = broken | {name: str(outcome) for name in of_groups if isinstance(outcome := outcomes.get(name), Unsupported)}
    return Comparison(
        problem=problem,
        rows=tuple(_row(chosen[name].spec, outcomes[name], results, length) for name in chosen if name in outcomes and name not in left_out),
        baseline=reference.spec.name,
        baseline_note=why if length is None else "",
        left_out=tuple(left_out.items()),
        interrupted=interrupted,
    )


def choose(solvers: str | Iterable[str | Solver]) -> tuple[dict[str, Solver], list[str], dict[str, str]]:
    """The solvers by name, each once; which of them nobody asked for but by a group; and those of a group that cannot be loaded, with the reason."""
    asked: list[str | Solver] = [solvers] if isinstance(solvers, str) else list(solvers)
    require(asked, "compare: name at least one solver")
    chosen: dict[str, Solver] = {}
    by_name: set[str] = set()
    broken: dict[str, str] = {}
    for item in asked:
        if isinstance(item, str) and item in GROUPS:
            for name in solver_names():
                try:
                    solver = load_solver(name)
                except SpikepipeError as error:  # one bad package must not cost all the others their rows
                    broken[name] = str(error)
                    continue
                if item == "all" or (solver.spec.source and not solver.spec.exact):
                    chosen.setdefault(solver.spec.name, solver)
            continue
        solver = load_solver(item) if isinstance(item, str) else item
        other = chosen.setdefault(solver.spec.name, solver)
        require(other is solver or isinstance(item, str), f"compare: two solvers are called '{solver.spec.name}'")
        by_name.add(solver.spec.name)
    return chosen, [name for name in chosen if name not in by_name], broken


def _outcome(problem: Problem, solver: Solver, run: Run) -> Result | SpikepipeError:
    """A result, or why there is none, crashes included; what is wrong with the options is no matter of a solver, and raised."""
    try:
        return run(problem, solver)
    except Unsupported as error:
        return Unsupported(solver.spec.supports(problem) or str(error))
    except InputError:
        raise
    except SpikepipeError as error:
        return error
    except Exception as error:  # noqa: BLE001  (a solver of another package may raise anything, and must not cost the others their rows)
        return SpikepipeError(f"crashed: {type(error).__name__}: {error}; solved alone it shows where")


def _comparable(of: Result, to: Result) -> bool:
    """Whether what is proven for ``of`` holds for ``to``: the same problem, or one with a tighter limit on the period (under a slack each solver has its own)."""
    loose, tight = of.problem.limits.period_cycles, to.problem.limits.period_cycles
    return of.problem.objective[0] == to.problem.objective[0] and (loose is None or (tight is not None and tight <= loose))


def _refuted(results: dict[str, Result]) -> dict[str, SpikepipeError]:
    """Solvers that claim a bound which another one's schedule is below, or that there is no schedule at all."""
    wrong: dict[str, SpikepipeError] = {}
    for name, result in results.items():
        for other, found in results.items():
            if not found.objectives or not _comparable(result, found):
                continue
            first = found.objectives[0]
            if result.status is Status.INFEASIBLE:
                wrong[name] = SpikepipeError(f"claims that there is no schedule, but '{other}' found one: {first.name} {first.value:,}")
            elif result.bound is not None and first.value < result.bound:
                source = result.objectives[0].bound_source
                wrong[name] = SpikepipeError(f"claims that no {first.name} is below {result.bound:,} ({source}), but '{other}' found {first.value:,}")
    return wrong


def _length(outcome: Result | SpikepipeError | None) -> int | None:
    return None if outcome is None or isinstance(outcome, SpikepipeError) or outcome.metrics is None else outcome.metrics.length_cycles


def _why(outcome: Result | SpikepipeError) -> str:
    """Why there is no schedule, or what else is to be said."""
    if isinstance(outcome, SpikepipeError):
        return str(outcome)
    why = [outcome.infeasibility.demanded] if outcome.infeasibility is not None else []
    return "; ".join([*why, *(["interrupted"] if outcome.provenance.interrupted else [])])


def _row(spec: SolverSpec, outcome: Result | SpikepipeError, results: Iterable[Result], reference: int | None) -> Row:
    about: dict[str, Any] = {"solver": spec.name, "source": spec.source, "exact": spec.exact, "optimises": spec.optimises, "ignores": spec.ignores}
    if isinstance(outcome, SpikepipeError):
        return Row(**about, status="not supported" if isinstance(outcome, Unsupported) else "failed", note=_why(outcome))
    about |= {"status": str(outcome.status), "note": _why(outcome), "seconds": outcome.provenance.runtime_s, "result": outcome}
    if outcome.metrics is None:
        return Row(**about)
    first, figures = outcome.objectives[0], outcome.metrics
    claims = [other.objectives[0] for other in results if _comparable(other, outcome)]
    known = max(claims, key=lambda claim: claim.bound)
    if len(outcome.objectives) == 1 and first.value == known.bound:
        about["status"] = str(Status.OPTIMAL)
    return Row(
        **about,
        objective=first.name,
        value=first.value,
        bound=known.bound,
        bound_source=known.bound_source,
        gap=gap(first.value, known.bound),
        length_cycles=figures.length_cycles,
        total_delay=figures.total_delay,
        traffic_bytes=figures.traffic_bytes,
        memory_bytes=figures.memory_bytes,
        utilisation=figures.utilisation,
        speedup=round(reference / figures.length_cycles, 4) if reference is not None and figures.length_cycles else None,
    )
