"""A schedule is checked once; what is kept equals what the check says, and dies with its problem."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from spikepipe_sched import Schedule, check, metrics
from spikepipe_sched.assess import KEPT, assess
from tests.helpers import training_problem
from tests.oracle import random_problem


@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_it_says_what_the_check_says(mode: str) -> None:
    """On random schedules, right and wrong ones."""
    rng = np.random.default_rng(0)
    right = 0
    for seed in range(30):
        problem = random_problem(seed, mode)
        size, period = problem.instance.size, 12 if mode == "periodic" else None
        schedule = Schedule(processor=rng.integers(0, 2, size), start=np.arange(size) * 5 + rng.integers(0, 3, size), period=period)
        found = assess(problem, schedule)
        assert found.violations == check(problem, schedule)
        right += not found.violations
        if found.metrics is not None:
            assert found.metrics == metrics(problem, schedule)
            assert found.key(problem) == tuple(found.metrics.value(name) for name in problem.objective)
    assert right > 0


def test_a_schedule_that_is_no_schedule_has_no_figures() -> None:
    """A processor that does not exist."""
    problem = random_problem(0, "finite")
    size = problem.instance.size
    found = assess(problem, Schedule(processor=np.full(size, 9), start=np.arange(size) * 9))
    assert found.metrics is None
    assert {violation.kind for violation in found.violations} == {"processor"}


def test_an_equal_schedule_is_not_checked_again() -> None:
    """The findings are the same object; the oldest of many are forgotten."""
    problem = training_problem()
    size = problem.instance.size
    schedules = [Schedule(processor=np.zeros(size, dtype=int), start=np.arange(size) * 100 + i, period=10_000) for i in range(KEPT + 1)]
    first = assess(problem, schedules[0])
    again = Schedule(processor=schedules[0].processor, start=schedules[0].start, period=10_000)
    assert assess(problem, again) is first
    for schedule in schedules[1:]:
        assess(problem, schedule)
    assert assess(problem, schedules[0]) is not first


def test_findings_die_with_their_problem() -> None:
    """Nothing keeps a problem alive."""
    problem = random_problem(3, "finite")
    size = problem.instance.size
    assess(problem, Schedule(processor=np.zeros(size, dtype=int), start=np.arange(size)))
    alive = weakref.ref(problem)
    del problem
    gc.collect()
    assert alive() is None
