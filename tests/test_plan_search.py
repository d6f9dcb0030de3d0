"""How a plan's solves end, are interrupted and shown to lie, and what they may spend."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikepipe_sched import SpikepipeError, lower
from spikepipe_sched.bounds import Bound
from spikepipe_sched.errors import Unsupported
from spikepipe_sched.plan_candidates import Findings
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
    search.attempt(size, 2, Purse(0.1, timed=False), 1.0, 10**6)
    assert size.reached(10**6) == 1
    with pytest.raises(AssertionError, match="went on"):
        search.attempt(size, 2, Purse(0.1, timed=False), 1.0, size.bound(2).value)


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
    search.attempt(size, 2, Purse(0.1, timed=False), 1.0)
    with pytest.raises(SpikepipeError, match=r"none are below 1000000 \(by the liar\)"):
        search.attempt(size, 1, Purse(0.1, timed=False), 1.0)


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
        assert found.result.provenance.interrupted
        assert not recheck(found.result)
        assert found.result.bound is not None


def test_an_interruption_of_a_solver_ends_the_search():
    fake = Fake(then=KeyboardInterrupt())
    found = quick(pe_budget=256, solver=fake)
    assert (found.interrupted, fake.asked) == (True, 1)
    assert found.chosen is not None
    assert found.chosen.processors == 1


class Weak(Fake):
    """For the length its tasks take turns, with pauses, on as many arrays as there are; for anything else they share one array and take no more than they need."""

    def solve(self, problem, *, budget, seed, hint=None, observer=None):
        schedule = in_turn(problem)
        if problem.objective[0] == "period":
            turns = np.argsort(np.argsort(schedule.start, kind="stable"))
            start = schedule.start + self.pause * turns
            schedule = replace(schedule, processor=turns % len(problem.processors), start=start, period=int(start.max()) + self.last)
        elif self.spread:
            assert hint is not None
            schedule = replace(schedule, processor=np.asarray(hint.processor), start=np.asarray(hint.start), period=hint.period - 1)
        return conclude(problem, schedule, provenance=Provenance(solver="fake", version="0"))

    pause, last, spread = 50, 2000, False


@pytest.mark.parametrize("question", [{"pe_budget": 256}, {"target_cycles": 10**6}])
@pytest.mark.parametrize("spread", [False, True])
def test_what_the_further_objectives_find_is_what_is_chosen(monkeypatch: pytest.MonkeyPatch, question: dict[str, Any], spread: bool):
    """On fewer arrays in less time; or on as many, one cycle shorter."""
    monkeypatch.setattr(Weak, "spread", spread)
    found = quick(arrays=[(8, 8)], solver=Weak(), objective=("period", "traffic"), **question)
    assert found.result is not None
    assert found.result.schedule is not None
    assert found.chosen is not None
    assert not recheck(found.result)
    assert found.result.objective == found.chosen.length_cycles
    used = len(np.unique(found.result.schedule.processor))
    assert (used, len(found.result.problem.processors)) == (found.chosen.processors, found.chosen.processors)
    assert [(each.processors, each.verdict) for each in found.candidates if each.verdict == "chosen"] == [(used, "chosen")]


class Choosy(Fake):
    """Takes certain numbers of arrays, and asks how much it may spend."""

    def __init__(self, numbers: set[int], *, levels: tuple[str, ...] = ("period", "delay")) -> None:
        super().__init__()
        self.work: list[float] = []
        self.spec = replace(
            self.spec, supports=lambda problem: None if len(problem.processors) in numbers and problem.objective[0] in levels else "it will not"
        )

    def solve(self, problem, *, budget, seed, hint=None, observer=None):
        self.work.append(budget.deterministic_limit)
        if problem.limits.period_cycles is not None and problem.limits.period_cycles < 800:
            return conclude(problem, None, provenance=Provenance(solver="fake", version="0"))
        return super().solve(problem, budget=budget, seed=seed, hint=hint, observer=observer)


@pytest.mark.parametrize("question", [{"pe_budget": 256}, {"target_cycles": 10**6}, {"target_cycles": 250}])
@pytest.mark.parametrize("numbers", [{1}, {2}, {1, 3}])
def test_numbers_of_arrays_that_the_solver_cannot_take_are_passed_over(question: dict[str, Any], numbers: set[int]):
    choosy, any_number = Choosy(numbers), Choosy({1, 2, 3, 4})
    found = quick(arrays=[(8, 8)], solver=choosy, **question)
    quick(arrays=[(8, 8)], solver=any_number, **question)
    asked = {each.processors for each in found.candidates if each.solved}
    assert asked
    assert asked <= numbers
    assert any(each.length_cycles is not None for each in found.candidates)
    assert choosy.work[0] >= any_number.work[0] - 1e-9  # what was refused cost nothing


def test_only_if_the_solver_cannot_take_any_number_is_it_an_error():
    with pytest.raises(Unsupported, match="it will not"):
        quick(pe_budget=256, arrays=[(8, 8), (16, 16)], solver=Choosy(set()))


def test_objectives_that_the_solver_cannot_take_alone_are_left_as_they_are():
    found = quick(pe_budget=256, arrays=[(8, 8)], solver=Choosy({1, 2, 3, 4}, levels=("period",)), objective=("period", "traffic"))
    assert found.result is not None
    assert [level.name for level in found.result.objectives] == ["period", "traffic"]


@pytest.mark.parametrize("target", [None, 100, 120])
def test_fewer_arrays_of_an_equal_bound_that_may_be_better_have_a_row(target: int | None):
    """Two sizes of 64 elements; two arrays of the one take 100 cycles, and one array of either may take as few."""
    first, other = one_size(), one_size()
    for size in (first, other):
        size.free = {count: Bound(value=100, source="made") for count in (1, 2)}
    first.lengths, first.solved = {2: 100}, {2}
    rows = Findings([first, other], (first, 2), target).candidates()
    assert [(each.processors, each.verdict, each.solved) for each in rows] == [
        (1, "open", False),
        (2, "chosen", True),
        (1, "open", False),
        (2, "excluded", False),
    ]


def test_a_purse_never_grants_more_than_it_has():
    purse = Purse(8.0, timed=False)
    part = purse.part(0.5)
    assert part.grant(0.25) == {"deterministic_limit": 1.0}
    assert (part.left(), purse.left()) == (3.0, 7.0)
    assert part.grant(1.0) == {"deterministic_limit": 3.0}
    assert (part.left(), purse.left()) == (0.0, 4.0)
    part.give_back({"deterministic_limit": 1.0})
    assert (part.left(), purse.left()) == (1.0, 5.0)
    timed = Purse(8.0, timed=True)
    assert timed.grant(0.5)["time_limit_s"] <= 4.0
    assert timed.left() > 7.0
