"""``cpsat`` against brute force: the same optimum in every level, on random small problems."""

from __future__ import annotations

import pytest

from spikepipe_sched import Status, solve
from tests.oracle import Oracle, TooLarge, random_problem

#: More seeds are compared by ``python -m tests.benchmarks agreement``.
BATCHES, SEEDS = 10, {"periodic": 4, "finite": 12}


def agrees(seed: int, mode: str, unroll: int = 1) -> bool:
    """Compare one problem: values equal in all levels, bounds below them; False if it is too large."""
    problem = random_problem(seed, mode, unroll=unroll)
    try:
        best = Oracle(problem).optimum()
    except TooLarge:
        return False
    found = solve(problem, "cpsat", deterministic_limit=10.0)
    if best is None:
        assert found.status in (Status.INFEASIBLE, Status.UNKNOWN), seed
        return True
    assert found.key() == best, seed
    assert all(level.bound <= value for level, value in zip(found.objectives, best, strict=True)), seed
    return True


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_optima_equal_brute_force(mode: str, batch: int) -> None:
    """Values equal in all levels, bounds below them; nothing found where nothing exists."""
    seeds = range(1000 + batch * SEEDS[mode], 1000 + (batch + 1) * SEEDS[mode])
    assert sum(agrees(seed, mode) for seed in seeds) > 0


@pytest.mark.parametrize("batch", range(3))
def test_optima_of_unrolled_problems_equal_brute_force(batch: int) -> None:
    """Copies of a task lie on different processors, and delays choose which copy is read."""
    assert sum(agrees(seed, "periodic", 2) for seed in range(12 * batch, 12 * batch + 12)) > 0
