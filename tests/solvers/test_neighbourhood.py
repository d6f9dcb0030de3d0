"""Large neighbourhood search around an incumbent."""

from __future__ import annotations

import pytest

from spikepipe_sched import Limits, Problem, check, solve
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.neighbourhood import improve_by_neighbourhoods
from tests.solvers.instances import arrays, network_problem, residual_problem


def start(problem: Problem, solver: str) -> Incumbent:
    """An incumbent from a quick solver."""
    incumbent = Incumbent(problem, "test")
    schedule = solve(problem, solver).schedule
    assert schedule is not None
    assert incumbent.offer(schedule, solver)
    return incumbent


CASES = {
    "delay": lambda: (start(network_problem(windows=4, objective=("period", "delay")), "stages"), "delay"),
    "traffic": lambda: (start(network_problem(windows=2, objective=("period", "traffic")), "stages"), "traffic"),
    "memory": lambda: (start(network_problem(objective=("period", "memory")), "stages"), "memory"),
    "makespan": lambda: (start(network_problem(mode="finite", micro_batches=3), "sequential"), "makespan"),
    "limited memory": lambda: (start(network_problem(platform=arrays(2, memory_bytes=2000), objective=("period", "delay")), "stages"), "delay"),
    "residual": lambda: (start(residual_problem(mode="finite", micro_batches=2), "stages"), "makespan"),
}


@pytest.mark.parametrize("name", CASES)
def test_incumbents_never_get_worse(name: str) -> None:
    """Every level above keeps its value, the schedule passes the check, and the same seed gives the same schedule."""
    found = []
    for _ in range(2):
        incumbent, level = CASES[name]()
        before = incumbent.key
        ceilings = {above: incumbent.value(above) for above in incumbent.problem.objective[: incumbent.problem.objective.index(level)]}
        assert not improve_by_neighbourhoods(incumbent, level, ceilings, Clock(Budget(deterministic_limit=4.0)), seed=3)
        assert incumbent.key <= before
        assert all(incumbent.value(above) <= value for above, value in ceilings.items())
        assert incumbent.schedule is not None
        assert check(incumbent.problem, incumbent.schedule) == ()
        found.append(incumbent.schedule)
    assert found[0] == found[1]


def test_long_makespans_are_cut() -> None:
    """From everything on one processor, parts alone lead to less than two thirds of the makespan on three."""
    incumbent, level = CASES["makespan"]()
    before = incumbent.value("makespan")
    improve_by_neighbourhoods(incumbent, level, {}, Clock(Budget(deterministic_limit=20.0)), seed=0)
    assert incumbent.value("makespan") < 2 * before / 3
    assert incumbent.winner == "neighbourhoods"


def test_search_stops_at_its_bound() -> None:
    """With the bound met there is nothing to look for."""
    problem = network_problem(objective=("delay",), limits=Limits())
    incumbent = start(problem, "sequential")
    schedule = incumbent.schedule
    improve_by_neighbourhoods(incumbent, "delay", {}, Clock(Budget(deterministic_limit=5.0)), seed=0, lower=incumbent.value("delay"))
    assert incumbent.schedule is schedule
