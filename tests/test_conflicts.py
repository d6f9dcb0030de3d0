"""Limits that bounds already exclude are answered at once, by every solver alike."""

from __future__ import annotations

import pytest

from spikepipe_sched import Limits, Status, solve
from spikepipe_sched.conflicts import conflict
from tests.solvers.instances import arrays, network_problem


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("period_cycles", {"limits": Limits(period_cycles=5)}),
        ("makespan_cycles", {"mode": "finite", "limits": Limits(makespan_cycles=5)}),
        ("span_cycles", {"limits": Limits(span_cycles=5)}),
        ("memory_bytes", {"platform": arrays(2, memory_bytes=10)}),
    ],
)
def test_impossible_limits_are_named_with_their_proof(name, options):
    """Infeasible, with the bound and the limit to loosen, before any search."""
    problem = network_problem(**options)
    found = solve(problem, "sequential")
    assert found.status is Status.INFEASIBLE
    assert found.infeasibility is not None
    assert found.infeasibility.loosen == (name,)
    assert "no schedule has less than" in found.infeasibility.bound
    assert found.infeasibility.gap is not None


def test_limits_at_their_bounds_are_left_to_the_solvers():
    """A limit equal to the bound is not excluded."""
    problem = network_problem()
    period = solve(network_problem(objective=("period",)), "cpsat", deterministic_limit=2.0)
    assert period.bound is not None
    assert conflict(problem) is None
    assert conflict(network_problem(limits=Limits(period_cycles=period.bound))) is None
