"""How a plan's solves end, are interrupted and shown to lie, and what they may spend."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from spikepipe_sched import SpikepipeError, lower
from spikepipe_sched.bounds import Bound
from spikepipe_sched.plan_search import Purse, Search
from spikepipe_sched.plan_size import Size
from spikepipe_sched.recheck import recheck
from spikepipe_sched.result import Provenance, conclude
from spikepipe_sched.solver import Progress, SolverSpec
from tests.helpers import in_turn
from tests.test_plan import ONCE, TINY, platform, quick


class Fake:
    """All tasks one after the other on one array; tells it before it ends."""

    def __init__(self, *, bound: int | None = None, then: BaseException | None = None) -> None:
        self.bound, self.then, self.asked = bound, then, 0
        self.spec = SolverSpec(name="fake", summary="a fake", source="", exact=False, modes=("periodic",), supports=lambda _: None)

    def solve(self, problem, *, budget, seed, hint=None, observer=None):
        self.asked += 1
        schedule = in_turn(problem)
        assert observer is not None
        observer(Progress(solver="fake", objective="period", schedule=schedule))
        if self.then is not None:
            raise self.then
        bounds = {} if self.bound is None else {"period": Bound(value=self.bound, source="by the fake")}
        return conclude(problem, schedule, bounds=bounds, provenance=Provenance(solver="fake", version="0"))


def one_size() -> Size:
    """Up to two 8x8 arrays."""
    machine = platform().with_array(8, 8).with_processors(1)
    size = Size(8, 8, lower(TINY, ONCE, machine), machine, {"mode": "periodic"})
    size.most = 2
    return size


def test_a_solve_ends_as_soon_as_the_target_is_reached():
    size = one_size()
    search = Search([size], Fake(then=AssertionError("went on")), 1, 0, None)
    search.attempt(size, 2, {"deterministic_limit": 0.1}, 10**6)
    assert size.reached(10**6) == 1
    with pytest.raises(AssertionError, match="went on"):
        search.attempt(size, 2, {"deterministic_limit": 0.1}, size.bound(2).value)


def test_a_bound_that_a_schedule_refutes_is_a_failure():
    class Liar(Fake):
        """Takes much longer on two arrays than on one, and claims that nothing is shorter."""

        def solve(self, problem, *, budget, seed, hint=None, observer=None):
            if len(problem.processors) == 1:
                return conclude(problem, in_turn(problem), provenance=Provenance(solver="fake", version="0"))
            bounds = {"period": Bound(value=10**6, source="by the liar")}
            return conclude(problem, replace(in_turn(problem), period=10**6), bounds=bounds, provenance=Provenance(solver="fake", version="0"))

    size = one_size()
    search = Search([size], Liar(), 1, 0, None)
    search.attempt(size, 2, {"deterministic_limit": 0.1})
    with pytest.raises(SpikepipeError, match=r"none are below 1000000 \(by the liar\)"):
        search.attempt(size, 1, {"deterministic_limit": 0.1})


@pytest.mark.parametrize("asked", [1, 2])
def test_an_interruption_keeps_the_best_choice(monkeypatch: pytest.MonkeyPatch, asked: int):
    real, calls = Search.attempt, itertools.count(1)

    def attempt(self: Search, *arguments: Any) -> None:
        if next(calls) == asked:
            raise KeyboardInterrupt
        real(self, *arguments)

    monkeypatch.setattr(Search, "attempt", attempt)
    found = quick(pe_budget=256, solver="stages", objective=("period", "delay"))
    assert found.interrupted
    assert (found.chosen is None) == (asked == 1)
    if found.result is not None:
        assert not recheck(found.result)
        assert found.result.bound is not None


def test_an_interruption_of_a_solver_ends_the_search():
    fake = Fake(then=KeyboardInterrupt())
    found = quick(pe_budget=256, solver=fake)
    assert (found.interrupted, fake.asked) == (True, 1)
    assert found.chosen is not None
    assert found.chosen.processors == 1


def test_a_purse_never_grants_more_than_it_has():
    purse = Purse(8.0, timed=False)
    part = purse.part(0.5)
    assert part.grant(0.25) == {"deterministic_limit": 1.0}
    assert (part.left(), purse.left()) == (3.0, 7.0)
    assert part.grant(1.0) == {"deterministic_limit": 3.0}
    assert (part.left(), purse.left()) == (0.0, 4.0)
    timed = Purse(8.0, timed=True)
    assert timed.grant(0.5)["time_limit_s"] <= 4.0
    assert timed.left() > 7.0
