"""Solvers side by side: one bound for all, who is left out and why, and claims that another solver's schedule refutes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spikepipe_sched import InputError, Problem, Schedule, SolverSpec, SpikepipeError, compare, solver_names
from spikepipe_sched.bounds import Bound
from spikepipe_sched.comparison import side_by_side
from spikepipe_sched.result import Provenance, conclude
from spikepipe_sched.slack import within_slack
from spikepipe_sched.solver import load_solver, solve
from tests.helpers import in_turn, pipelined_result, small_graph, training_problem


class Fake:
    """A solver of the tests: everything in turn, with the bounds, the failure or the signal given."""

    def __init__(
        self,
        name: str,
        *,
        bound: int | None = None,
        on: str = "",
        failure: BaseException | None = None,
        unable: str | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.bound, self.on, self.failure, self.schedule = bound, on, failure, schedule
        self.spec = SolverSpec(
            name=name, summary="a fake", source="", exact=False, modes=("periodic", "finite"), supports=lambda _: unable, optimises="nothing", ignores="all"
        )

    def solve(self, problem, *, budget, seed, hint=None, observer=None):
        if self.failure is not None:
            raise self.failure
        bounds = {} if self.bound is None else {self.on or problem.objective[0]: Bound(value=self.bound, source="by the fake")}
        return conclude(problem, self.schedule or in_turn(problem), bounds=bounds, provenance=Provenance(solver=self.spec.name, version="0"))


def rows(comparison):
    return {row.solver: row for row in comparison.rows}


def test_every_gap_is_to_the_best_bound_that_any_solver_proved():
    problem = training_problem(3, 2)
    own, best = solve(problem, "sequential").bound, solve(problem, "stages").objective
    assert own is not None
    assert best is not None
    assert own < best
    found = compare(problem, ["sequential", "stages", Fake("prover", bound=best)])
    assert len(found.rows) == 3
    for row in found.rows:
        assert (row.objective, row.bound, row.bound_source) == ("period", best, "by the fake")
        assert row.value is not None
        assert row.gap == pytest.approx((row.value - best) / best)


def test_whoever_meets_a_bound_that_another_proved_is_optimal():
    """For the only objective; below the first the bounds are each solver's own."""
    problem = training_problem(3, 2, objective=("period",))
    best = solve(problem, "stages").objective
    both = [Fake("prover", bound=best, schedule=solve(problem, "stages").schedule), "stages", "sequential"]
    found = rows(compare(problem, both))
    assert solve(problem, "stages").status == "feasible"
    assert {name: row.status for name, row in found.items()} == {"prover": "optimal", "stages": "optimal", "sequential": "feasible"}
    several = rows(
        compare(training_problem(3, 2, objective=("period", "delay")), [Fake("prover", bound=best, schedule=solve(problem, "stages").schedule), "stages"])
    )
    assert several["stages"].gap == 0
    assert several["stages"].status == "feasible"


def test_bounds_below_the_first_objective_are_not_shared():
    found = compare(training_problem(3, 2), ["stages", "sequential"])
    for row in found.rows:
        assert row.result is not None
        assert [level.bound for level in row.result.objectives[1:]] == [level.bound for level in solve(found.problem, row.solver).objectives[1:]]


def test_a_claimed_bound_above_another_solvers_schedule_is_a_failure():
    problem = training_problem(2, 2)
    best = solve(problem, "stages").objective
    assert best is not None
    found = rows(compare(problem, ["stages", Fake("liar", bound=best + 1)]))
    assert found["liar"].status == "failed"
    assert f"below {best + 1}" in found["liar"].note
    assert "'stages' found" in found["liar"].note
    assert found["stages"].bound_source != "by the fake"


def test_a_claim_that_there_is_no_schedule_beside_one_is_a_failure():
    class Denier(Fake):
        def solve(self, problem, *, budget, seed, hint=None, observer=None):
            return conclude(problem, None, proven_infeasible=True, provenance=Provenance(solver=self.spec.name, version="0"))

    problem = training_problem(2, 2)
    found = rows(compare(problem, ["stages", Denier("denier")]))
    assert found["denier"].status == "failed"
    assert found["denier"].note == f"claims that there is no schedule, but 'stages' found one: period {found['stages'].value}"
    assert rows(compare(problem, [Denier("denier")], baseline=Denier("denier")))["denier"].status == "infeasible"


def test_under_a_slack_a_bound_holds_for_tighter_limits_only():
    """Both minimise the traffic, each within its own limit on the period: 13 cycles, and 26."""
    problem, schedule = training_problem(2, 2, objective=("period", "traffic")), pipelined_result().schedule
    assert schedule is not None

    def run(problem, solver):
        limited, _ = within_slack(problem, 0.0, solver)
        return solve(limited, solver)

    def sources(tight, loose):
        """Where the bounds of the two rows come from, if each claims so much; 16 bytes is what both reach."""
        fakes = [Fake("tight", bound=tight, on="traffic", schedule=schedule), Fake("loose", bound=loose, on="traffic", schedule=replace(schedule, period=26))]
        shown = side_by_side(problem, fakes, fakes[0], run)
        found = rows(shown)
        assert [(row.objective, row.value) for row in found.values()] == [("traffic", 16)] * 2
        assert ("under the limit on the period of tight" in str(shown)) == (len({row.bound_source for row in shown.rows}) == 2)
        return [row.bound_source == "by the fake" for row in found.values()]

    assert sources(None, None) == [False, False]
    assert sources(16, None) == [True, False]
    assert sources(None, 16) == [True, True]


def test_speed_ups_are_over_the_baseline_asked_for():
    problem = training_problem(3, 3)
    lengths = {row.solver: row.length_cycles or 0 for row in compare(problem, ["stages", "sequential"]).rows}
    assert rows(compare(problem, ["sequential"]))["sequential"].speedup == pytest.approx(lengths["stages"] / lengths["sequential"], abs=1e-4)
    found = rows(compare(problem, ["stages", "sequential"], baseline="sequential"))
    assert found["sequential"].speedup == 1
    assert found["stages"].speedup == pytest.approx(lengths["sequential"] / lengths["stages"], abs=1e-4)


def test_without_a_baseline_there_are_no_speed_ups_and_it_says_why():
    found = compare(training_problem(2, 2), ["stages"], baseline=Fake("unable", unable="it is Sunday"))
    assert found.rows[0].speedup is None
    assert "it is Sunday" in found.baseline_note
    assert "there are no speed-ups: unable:" in str(found)


def test_the_group_all_is_every_installed_solver_that_can():
    found = compare(training_problem(2, 2), "all", deterministic_limit=0.05)
    assert {row.solver for row in found.rows} | {name for name, _ in found.left_out} == set(solver_names())
    for name, why in found.left_out:
        assert why == load_solver(name).spec.supports(found.problem)
    assert not [row for row in found.rows if row.status == "not supported"]


def test_the_group_of_baselines_has_published_rules_and_no_searches():
    found = compare(training_problem(2, 2), ["baselines"], deterministic_limit=0.05)
    assert {"stages"} <= {row.solver for row in found.rows}
    assert all(row.source and not row.exact for row in found.rows)
    assert not {"auto", "cpsat", "sequential"} & {row.solver for row in found.rows}


def test_a_solver_of_a_group_that_cannot_be_loaded_is_left_out(monkeypatch):
    def load(name):
        if name == "stages":
            raise SpikepipeError("no luck")
        return load_solver(name)

    monkeypatch.setattr("spikepipe_sched.comparison.load_solver", load)
    monkeypatch.setattr("spikepipe_sched.comparison.solver_names", lambda: ("stages", "sequential"))
    found = compare(training_problem(2, 2), "all", baseline="sequential")
    assert ([row.solver for row in found.rows], found.left_out) == (["sequential"], (("stages", "no luck"),))
    with pytest.raises(SpikepipeError, match="no luck"):
        compare(training_problem(2, 2), ["stages"], baseline="sequential")


def test_a_crash_is_a_row():
    found = compare(training_problem(2, 2), [Fake("buggy", failure=ZeroDivisionError("by 0")), "sequential"])
    assert (rows(found)["buggy"].status, rows(found)["buggy"].note) == ("failed", "crashed: ZeroDivisionError: by 0; solved alone it shows where")
    assert rows(found)["sequential"].length_cycles is not None


def test_who_is_asked_for_by_name_has_a_row_even_if_in_a_group_too():
    found = compare(training_problem(2, 2), ["baselines", "list"], deterministic_limit=0.05)
    assert rows(found)["list"].status == "not supported"
    assert "list" not in dict(found.left_out)


def test_what_a_solver_says_about_itself_stands_in_its_row():
    row = compare(training_problem(2, 2), [Fake("fake")]).rows[0]
    assert (row.optimises, row.ignores, row.exact) == ("nothing", "all", False)


def test_an_interruption_keeps_what_was_found():
    found = compare(training_problem(2, 2), ["stages", Fake("slow", failure=KeyboardInterrupt()), "sequential"])
    assert found.interrupted
    assert [(row.solver, row.length_cycles is None, row.note) for row in found.rows] == [("stages", False, ""), ("slow", True, "interrupted")]


def test_a_failure_is_a_row_and_a_wrong_option_is_an_error():
    found = rows(compare(training_problem(2, 2), ["stages", Fake("broken", failure=SpikepipeError("no luck"))]))
    assert (found["broken"].status, found["broken"].note) == ("failed", "no luck")
    with pytest.raises(InputError, match="time limit"):
        compare(training_problem(2, 2), ["sequential"], time_limit_s=0)
    with pytest.raises(InputError, match="nosuch"):
        compare(training_problem(2, 2), ["nosuch"])
    with pytest.raises(InputError, match="at least one"):
        compare(training_problem(2, 2), [])
    with pytest.raises(InputError, match="two solvers are called 'twin'"):
        compare(training_problem(2, 2), [Fake("twin"), Fake("twin")])


def test_limits_that_cannot_be_met_are_rows_without_a_schedule():
    problem = Problem.from_graph(small_graph({"a": 4, "b": 4}), 2)
    limited = replace(problem, limits=replace(problem.limits, makespan_cycles=7))
    row = rows(compare(limited, ["sequential", "list"]))["sequential"]
    assert row.length_cycles is None
    assert row.note
