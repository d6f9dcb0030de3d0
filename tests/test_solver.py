"""The contract between `solve` and whoever wrote the solver."""

import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

import numpy as np
import pytest

import spikepipe_sched
import spikepipe_sched.check
import spikepipe_sched.lower
from spikepipe_sched import Budget, InputError, Problem, Progress, Result, Schedule, SolverSpec, SpikepipeError, Status, solve, solver_names
from spikepipe_sched import solver as module
from spikepipe_sched.bounds import Bound
from spikepipe_sched.check import metrics
from spikepipe_sched.result import InvalidSchedule, Provenance, conclude
from spikepipe_sched.solver import ENTRY_POINTS, Observer, load_solver
from tests.helpers import HAND, in_turn, pipelined_result, training_graph, training_problem, unlike_platform


@dataclass
class Fake:
    """A solver that returns what it is told to; ``says`` are the schedules it reports first."""

    returns: Any = None
    says: tuple[Schedule, ...] = ()
    raises: BaseException | None = None
    reason: str | None = None
    got: dict[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> SolverSpec:
        return SolverSpec(name="fake", summary="", source="", exact=False, modes=("periodic", "finite"), supports=lambda _: self.reason)

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        self.got = {"budget": budget, "seed": seed, "hint": hint}
        for schedule in self.says:
            assert observer is not None
            observer(Progress(solver="fake", objective="period", schedule=schedule))
        if self.raises is not None:
            raise self.raises
        return self.returns


# -- the registry ------------------------------------------------------------------------------------


def test_installed_solvers_are_known_by_name() -> None:
    assert {"auto", "cpsat", "list", "modulo", "sequential", "stages"} <= set(solver_names())
    for name in solver_names():
        assert load_solver(name).spec.name == name


def test_a_preset_without_presets_is_refused() -> None:
    with pytest.raises(InputError, match="solver 'sequential' has no preset 'fast', it has none at all"):
        load_solver("sequential:fast")


def test_an_unknown_solver_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"there is no solver 'magic'; installed: .*sequential"):
        solve(training_problem(), "magic")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("zb_h1", "zb-h1"), ("zbh1", "zb-h1"), ("ZB-H1", "zb-h1"), ("cp-sat", "cpsat"), ("1f1B", "1f1b"), ("LIST:heft", "list"), ("list:HEFTY", "heft")],
)
def test_a_name_that_looks_like_one_suggests_it(name: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"; did you mean '{meant}'\? (installed: |choose from )"):
        load_solver(name)


def entry(name: str, value: str) -> metadata.EntryPoint:
    return metadata.EntryPoint(name=name, value=value, group=ENTRY_POINTS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["nowhere.to:FIND"], "cannot be loaded: No module named 'nowhere'"),
        (["math:pi"], "is not a Solver: it needs 'spec' and 'solve'"),
        (["first:SOLVER", "second:SOLVER"], "several installed packages provide a solver 'mine': first:SOLVER, second:SOLVER"),
    ],
)
def test_a_broken_entry_point_is_named(values: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.metadata, "entry_points", lambda group: [entry("mine", value) for value in values])
    with pytest.raises(SpikepipeError, match=message):
        load_solver("mine")


# -- what comes back is checked ----------------------------------------------------------------------


def test_a_solver_object_is_as_good_as_a_name() -> None:
    problem = training_problem()
    fake = Fake(conclude(problem, in_turn(problem), provenance=HAND))
    found = solve(problem, fake, seed=7, deterministic_limit=2.0, workers=8)
    assert fake.got["seed"] == 7
    assert fake.got["budget"].workers == 1
    assert (found.provenance.solver, found.provenance.seed, found.provenance.time_limit_s, found.provenance.deterministic_limit) == ("fake", 7, None, 2.0)
    assert found.key() == conclude(problem, in_turn(problem), provenance=HAND).key()


def test_a_schedule_with_a_violation_is_never_returned() -> None:
    problem = training_problem()
    good = conclude(problem, in_turn(problem), provenance=HAND)
    assert good.schedule is not None
    with pytest.raises(
        SpikepipeError, match=r"solver '.*' returned a schedule with a violation: overlap: .* overlap on p0 modulo 1.* \(and \d+ more\)"
    ) as caught:
        solve(problem, Fake(replace(good, schedule=replace(good.schedule, period=1))))
    assert isinstance(caught.value, InvalidSchedule)
    assert {violation.kind for violation in caught.value.violations} == {"overlap"}


@pytest.mark.parametrize(("level", "claim"), [(0, 1), (1, 99), (3, 0)])
def test_a_misreported_objective_is_refused(level: int, claim: int) -> None:
    good = pipelined_result()
    levels = list(good.objectives)
    name, value = levels[level].name, levels[level].value
    levels[level] = replace(levels[level], value=claim, bound=0)
    with pytest.raises(SpikepipeError, match=f"solver 'fake' reports {name} = {claim}, but it is {name} = {value}"):
        solve(good.problem, Fake(replace(good, objectives=tuple(levels))))


def test_missing_objectives_are_refused() -> None:
    good = pipelined_result()
    with pytest.raises(SpikepipeError, match="solver 'fake' reports nothing, but the problem asks for period, delay, traffic, memory"):
        solve(good.problem, Fake(replace(good, objectives=())))


def test_a_bound_above_the_value_is_refused() -> None:
    good = pipelined_result()
    levels = (replace(good.objectives[0], bound=14), *good.objectives[1:])
    with pytest.raises(SpikepipeError, match=r"the bound 14 .* on period is above the value 13"):
        solve(good.problem, Fake(replace(good, objectives=levels)))


def test_a_result_for_another_problem_is_refused() -> None:
    with pytest.raises(SpikepipeError, match="returned a result for another problem"):
        solve(training_problem(), Fake(pipelined_result()))


def test_success_without_a_schedule_is_refused() -> None:
    problem = training_problem()
    nothing = conclude(problem, None, provenance=HAND)
    assert solve(problem, Fake(nothing)).status == Status.UNKNOWN
    with pytest.raises(SpikepipeError, match="reports 'optimal' without a schedule"):
        solve(problem, Fake(replace(nothing, status=Status.OPTIMAL)))


def test_the_status_follows_from_the_bounds() -> None:
    """Whatever the solver says."""
    good = pipelined_result()
    assert solve(good.problem, Fake(replace(good, status=Status.OPTIMAL))).status == Status.FEASIBLE
    assert good.schedule is not None
    bounds = {level.name: Bound(value=level.value, source="proof") for level in good.objectives}
    proven = conclude(good.problem, good.schedule, bounds=bounds, provenance=HAND)
    assert solve(good.problem, Fake(proven)).status == Status.OPTIMAL


def test_a_reason_not_to_take_a_problem_is_told() -> None:
    with pytest.raises(InputError, match="solver 'fake' cannot take this problem: it is a Tuesday"):
        solve(training_problem(), Fake(reason="it is a Tuesday"))
    graph = training_graph(1)
    graph.nodes["F(l0)"]["cycles"], graph.nodes["W(l0)"]["cycles"] = {"big": 1}, {"small": 1}
    problem = Problem.from_graph(graph, unlike_platform())
    with pytest.raises(InputError, match="solver 'sequential' cannot take this problem: no processor can run every task"):
        solve(problem, "sequential")


@pytest.mark.parametrize("budget", [{"time_limit_s": 0.0}, {"deterministic_limit": -1.0}, {"workers": 0}])
def test_a_budget_is_positive(budget: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"budget: .* must be"):
        solve(training_problem(), "sequential", **budget)


def test_a_hint_is_of_the_right_shape() -> None:
    """It need not be feasible, but it must name a processor for every copy."""
    problem = training_problem()
    hint, result = in_turn(problem), conclude(problem, in_turn(problem), provenance=HAND)
    wrong = [
        in_turn(training_problem(3)),
        replace(hint, period=None),
        replace(hint, processor=hint.processor + 9),
    ]
    for other in wrong:
        with pytest.raises(InputError, match="the hint is no schedule of this problem: "):
            solve(problem, Fake(result), hint=other)
    infeasible = replace(hint, period=1)
    fake = Fake(result)
    solve(problem, fake, hint=infeasible)
    assert fake.got["hint"] is infeasible


# -- interruption ------------------------------------------------------------------------------------


def test_an_interruption_returns_the_best_checked_schedule() -> None:
    """The better of two, not the last, and not one that is wrong."""
    best = pipelined_result()
    problem, schedule = best.problem, best.schedule
    assert schedule is not None
    says = (in_turn(problem), schedule, replace(in_turn(problem), period=500), replace(schedule, period=5))
    seen: list[Progress] = []
    found = solve(problem, Fake(says=says, raises=KeyboardInterrupt()), observer=seen.append)
    assert found.key() == best.key()
    assert found.provenance.interrupted
    assert found.metrics == metrics(problem, schedule)
    assert len(seen) == len(says)


def test_an_interruption_before_the_first_schedule_returns_nothing() -> None:
    found = solve(training_problem(), Fake(raises=KeyboardInterrupt()))
    assert (found.status, found.schedule, found.provenance.interrupted) == (Status.UNKNOWN, None, True)


def test_a_solver_may_end_early_by_itself() -> None:
    problem = training_problem()
    early = conclude(problem, in_turn(problem), provenance=Provenance(solver="fake", version="0", interrupted=True))
    assert solve(problem, Fake(early)).provenance.interrupted


def test_other_errors_of_a_solver_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        solve(training_problem(), Fake(raises=ZeroDivisionError()))


# -- names and imports -------------------------------------------------------------------------------


def test_steps_that_share_their_name_with_a_module_stay_callable() -> None:
    """Their modules were imported above, which puts them on the package."""
    problem = training_problem()
    assert spikepipe_sched.check(problem, in_turn(problem)) == ()  # pyright: ignore[reportCallIssue]
    assert spikepipe_sched.check.violations(problem, in_turn(problem)) == ()
    machine = spikepipe_sched.load_platform(spikepipe_sched.list_platforms()[0].name)
    graph = spikepipe_sched.lower(  # pyright: ignore[reportCallIssue]
        spikepipe_sched.load_network("tiny"), spikepipe_sched.TrainingSetup(batch=1), machine
    )
    assert len(graph) > 0


def test_public_names_exist() -> None:
    for name in spikepipe_sched.__all__:
        assert getattr(spikepipe_sched, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = spikepipe_sched.magic


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, spikepipe_sched; print([m for m in ('numpy', 'networkx', 'scipy', 'ortools', 'plotly', 'torch', 'msgspec') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_schedules_of_solvers_start_at_zero() -> None:
    problem = training_problem()
    schedule = in_turn(problem)
    late = conclude(problem, replace(schedule, start=schedule.start + 7), provenance=HAND)
    assert late.schedule is not None
    assert int(np.min(late.schedule.start)) == 0
