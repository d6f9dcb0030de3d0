"""The contract every registered solver must satisfy, on every small instance it supports."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from spikepipe_sched import Problem, Result, Status, check, metrics, solve, solver_names
from spikepipe_sched.errors import InputError
from spikepipe_sched.recheck import recheck
from spikepipe_sched.solver import load_solver
from spikepipe_solvers.portfolio import repeated
from tests.solvers.instances import INSTANCES

LIMIT = 0.3


@cache
def problem(name: str) -> Problem:
    """Each instance is built once."""
    return INSTANCES[name]()


@cache
def result(solver: str, name: str) -> Result:
    """Each pair is solved once, with one worker and a deterministic limit."""
    return solve(problem(name), solver, deterministic_limit=LIMIT, seed=1)


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize("solver", solver_names())
def test_contract(solver: str, name: str) -> None:
    """A checked schedule with honest objectives and bounds, or an inspectable reason why there is none."""
    spec = load_solver(solver).spec
    reason = spec.supports(problem(name))
    if reason is not None:
        with pytest.raises(InputError, match="cannot take this problem"):
            result(solver, name)
        return
    assert problem(name).mode in spec.modes
    found = result(solver, name)
    assert recheck(found) == []
    if found.schedule is None:
        assert found.status in (Status.INFEASIBLE, Status.UNKNOWN)
        assert found.infeasibility is not None
        assert found.infeasibility.loosen
        return
    assert check(problem(name), found.schedule) == ()
    figures = metrics(problem(name), found.schedule)
    assert [level.value for level in found.objectives] == [figures.value(level) for level in problem(name).objective]
    assert all(level.bound <= level.value for level in found.objectives)
    assert Result.from_json(found.to_json()).to_json() == found.to_json()


@pytest.mark.parametrize("name", INSTANCES)
def test_no_part_beats_the_portfolio(name: str) -> None:
    """What any part finds, ``auto`` matches or beats; below the first level what a search finds depends on the time it has."""
    best = result("auto", name)
    for solver in solver_names():
        if load_solver(solver).spec.supports(problem(name)) is None and (part := result(solver, name)).objective is not None:
            assert best.objective is not None
            if solver in ("cpsat", "modulo"):
                assert best.objective <= part.objective
            else:
                assert best.key() <= part.key()


def test_bounds_of_all_solvers_agree() -> None:
    """No solver's bound is above another solver's value."""
    for name in INSTANCES:
        able = [result(s, name) for s in solver_names() if load_solver(s).spec.supports(problem(name)) is None]
        bounds = [found.bound for found in able if found.bound is not None]
        values = [found.objective for found in able if found.objective is not None]
        assert not bounds or max(bounds) <= min(values), name


@pytest.mark.parametrize("solver", solver_names())
def test_same_seed_same_schedule(solver: str) -> None:
    """One worker, a deterministic limit and a seed fix the schedule."""
    name = next(name for name in INSTANCES if load_solver(solver).spec.supports(problem(name)) is None and result(solver, name).schedule is not None)
    assert result(solver, name).schedule == solve(problem(name), solver, deterministic_limit=LIMIT, seed=1).schedule


def test_infeasible_limits_are_proven_and_named() -> None:
    """A limit nobody can meet comes back as a result that says so."""
    found = result("cpsat", "tiny, period out of reach")
    assert found.status is Status.INFEASIBLE
    assert found.infeasibility is not None
    assert "period_cycles" in found.infeasibility.loosen
    assert result("cpsat", "tiny, too little memory").schedule is None


@pytest.mark.parametrize("k", [2, 3])
def test_several_iterations_per_period_are_no_worse_than_one_repeated(k: int) -> None:
    """A schedule of one iteration, repeated, is one of several: feasible, with the same delays, and where ``auto`` starts."""
    one = solve(INSTANCES["tiny"](), "auto", deterministic_limit=1.0)
    several = replace(one.problem, unroll=k)
    assert one.schedule is not None
    again = repeated(one.schedule, k)
    assert check(several, again) == ()
    assert metrics(several, again).delays == metrics(one.problem, one.schedule).delays
    assert metrics(several, again).traffic_bytes == k * metrics(one.problem, one.schedule).traffic_bytes
    found = solve(several, "auto", deterministic_limit=4.0)
    assert found.objective is not None
    assert found.objective <= metrics(several, again).length_cycles
