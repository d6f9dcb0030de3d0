"""``cpsat`` against brute force: the same optimum in every level, on random small problems."""

from __future__ import annotations

import pytest

from spikepipe_sched import Status, solve
from tests.oracle import Oracle, TooLarge, random_problem

#: More seeds are compared by ``python -m tests.benchmarks agreement``.
BATCHES, SEEDS = 10, {"periodic": 4, "finite": 12}


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_optima_equal_brute_force(mode: str, batch: int) -> None:
    """Values equal in all levels, bounds below them; nothing found where nothing exists."""
    compared = 0
    for seed in range(1000 + batch * SEEDS[mode], 1000 + (batch + 1) * SEEDS[mode]):
        problem = random_problem(seed, mode)
        try:
            best = Oracle(problem).optimum()
        except TooLarge:
            continue
        compared += 1
        found = solve(problem, "cpsat", deterministic_limit=1.5)
        if best is None:
            assert found.status in (Status.INFEASIBLE, Status.UNKNOWN), seed
            continue
        assert found.key() == best, seed
        assert all(level.bound <= value for level, value in zip(found.objectives, best, strict=True)), seed
    assert compared > 0
