"""The solver ``modulo`` as a whole."""

from __future__ import annotations

import pytest

from spikepipe_sched import Limits, check, solve
from spikepipe_sched.bounds import period_bound
from spikepipe_solvers.balance import balance, largest_load
from spikepipe_solvers.modulo import climb
from tests.solvers.instances import arrays, network_problem, residual_problem


def test_the_period_is_that_of_the_balanced_load() -> None:
    """Where nothing else couples iterations, nothing is lost to packing."""
    problem = network_problem(windows=4)
    assert solve(problem, "modulo", deterministic_limit=0.3).objective == largest_load(problem.instance.duration, balance(problem.instance.duration))


def test_unrolling_shortens_the_period_where_one_task_decides_it() -> None:
    """Eight arrays, the longest task alone takes longer than an even share: two iterations at a time share it out."""
    once, twice = (network_problem(platform=arrays(8), unroll=k) for k in (1, 2))
    assert period_bound(once).source == "longest task"
    single, double = (solve(problem, "modulo", deterministic_limit=0.3) for problem in (once, twice))
    assert single.objective is not None
    assert double.objective is not None
    assert double.objective < 2 * single.objective
    assert double.objective == largest_load(twice.instance.duration, balance(twice.instance.duration))


@pytest.mark.parametrize("unroll", [2, 3])
def test_unrolled_schedules_lose_nothing_to_packing(unroll: int) -> None:
    """The copies' updates wait for each other in turn, and the period is still that of the load."""
    problem = network_problem(windows=2, unroll=unroll)
    found = solve(problem, "modulo", deterministic_limit=0.3)
    assert found.objective == max(period_bound(problem).value, largest_load(problem.instance.duration, balance(problem.instance.duration)))


@pytest.mark.parametrize("limits", [Limits(delay=1), Limits(delay=2), Limits(span_cycles=1500), Limits(layer_delay=(("first", 1),))])
def test_limits_are_met_at_a_period_far_below_one_processor(limits: Limits) -> None:
    """Delay limits and limits on the span cost period, but less than half of what two processors gain."""
    problem, free = residual_problem(limits=limits), residual_problem()
    alone = solve(free, "sequential").objective
    found = solve(problem, "modulo", deterministic_limit=0.3)
    assert found.schedule is not None
    assert check(problem, found.schedule) == ()
    assert found.objective is not None
    assert alone is not None
    assert found.objective < 0.75 * alone


@pytest.mark.parametrize("options", [{"unroll": 3, "windows": 2}, {"limits": Limits(delay=2)}])
def test_same_seed_same_schedule(options: dict[str, object]) -> None:
    """Under a deterministic limit the seed decides."""
    first, second = (solve(network_problem(**options), "modulo", deterministic_limit=0.2, seed=3) for _ in range(2))  # type: ignore[arg-type]
    assert first.schedule == second.schedule


@pytest.mark.parametrize(("threshold", "least", "most"), [(7, 3, 50), (3, 3, 50), (50, 3, 50), (70_001, 1000, 10**6)])
def test_the_search_for_a_period_ends_at_the_threshold(threshold: int, least: int, most: int) -> None:
    """Exactly for short periods, within a two-thousandth for long ones."""
    best = [most]

    def reached(period: int) -> bool:
        if period >= threshold:
            best[0] = min(best[0], period)
        return period >= threshold

    climb(reached, least, lambda: best[0], lambda: False)
    assert threshold <= best[0] <= threshold * (1 + 1 / 2000)


def test_the_search_for_a_period_ends_where_nothing_is_possible() -> None:
    """No period up to the highest is reached."""
    tried: list[int] = []

    def never(period: int) -> bool:
        tried.append(period)
        return False

    climb(never, 5, lambda: 40, lambda: False)
    assert max(tried) == 40
    assert len(set(tried)) == len(tried)
