"""Published least periods, found and not excluded; ``SPIKEPIPE_DATA`` names the folder with the problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikepipe_sched import check, solve
from spikepipe_sched.bounds import period_bound, recurrence_bound
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.ims import iterative_modulo_schedule
from tests.solvers.goldens import FILE, golden_problems


@pytest.mark.reference
def test_modulo_finds_the_published_periods(reference_data: Path) -> None:
    """All of them, unrolled and under limits on the span and on iterations in flight; no bound is above."""
    for name, (problem, period) in golden_problems(reference_data / FILE).items():
        assert period_bound(problem).value <= period * problem.unroll, name
        assert solve(problem, "modulo", deterministic_limit=1.0).objective == period * problem.unroll, name


@pytest.mark.reference
def test_iterative_modulo_scheduling_alone_finds_them_and_nothing_shorter(reference_data: Path) -> None:
    """At the published period a schedule that passes the check; a cycle less, none."""
    for name, (problem, period) in golden_problems(reference_data / FILE).items():
        clock, whole = Clock(Budget(deterministic_limit=5.0)), period * problem.unroll
        assert whole.denominator == 1
        found = iterative_modulo_schedule(problem, int(whole), seed=0, clock=clock)
        assert found is not None, name
        assert check(problem, found.normalised()) == (), name
        assert iterative_modulo_schedule(problem, int(whole) - 1, seed=0, clock=clock) is None, name


@pytest.mark.reference
def test_recurrences_allow_a_fraction_that_only_unrolling_reaches(reference_data: Path) -> None:
    """Van Dongen's loop: 16 cycles per 3 iterations, 6 per single one."""
    problems = golden_problems(reference_data / FILE)
    assert recurrence_bound(problems["van Dongen"][0]) == 6
    assert recurrence_bound(problems["van Dongen, unrolled"][0]) == 16
