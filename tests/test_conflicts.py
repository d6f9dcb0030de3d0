"""Limits that bounds already exclude are answered at once, by every solver alike."""

from __future__ import annotations

import pytest

from spikepipe_sched import Limits, Problem, Status, solve
from spikepipe_sched.conflicts import conflict
from tests.helpers import small_graph, training_problem
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


@pytest.mark.parametrize(
    ("limits", "loosen"),
    [
        (Limits(delay=2, period_cycles=9), "delay"),
        (Limits(layer_delay=(("l0", 2),), period_cycles=9), "delay of layer 'l0'"),
        (Limits(delay=6, layer_delay=(("l0", 2), ("l1", 5)), period_cycles=9), "delay of layer 'l0'"),
    ],
)
def test_a_delay_that_no_allowed_period_covers_is_named_with_its_layer(limits, loosen):
    """F F F, B B and W of 4 cycles and U of 1, on three processors with two transfers of 3: 31 cycles, more than three periods of 9."""
    problem = training_problem(3, 4, limits=limits)
    found = conflict(problem)
    assert found is not None
    assert found.loosen == (loosen, "period_cycles")
    assert found.demanded == "a delay of layer 'l0' of at most 2 with period_cycles of at most 9"
    assert found.bound.startswith("no schedule has less than 4 at this period")
    assert found.gap == 1.0
    assert solve(problem, "sequential").infeasibility == found


def test_delays_that_some_allowed_period_covers_are_left_to_the_solvers():
    for limits in (Limits(delay=1), Limits(delay=4, period_cycles=9), Limits(layer_delay=(("l2", 2),), period_cycles=9)):
        assert conflict(training_problem(3, 4, limits=limits)) is None


def test_a_period_too_short_for_the_work_is_not_blamed_on_the_delays():
    """37 cycles of work on four processors."""
    found = conflict(training_problem(3, 4, limits=Limits(delay=1, period_cycles=8)))
    assert found is not None
    assert found.loosen == ("period_cycles",)


def test_a_span_with_room_for_the_path_but_not_for_the_work_is_named():
    problem = training_problem(3, 1, limits=Limits(span_cycles=34))
    found = conflict(problem)
    assert found is not None
    assert found.loosen == ("span_cycles",)
    assert found.bound == "no schedule has less than 35 (area: work / processors)"


def test_traffic_that_so_short_a_schedule_must_send_is_named_with_the_length():
    """Four tasks of 4 cycles at a period or makespan below 16 need two processors, and 5 bytes between them."""
    graph = small_graph({"a": 4, "b": 4, "c": 4, "d": 4}, {("a", "b"): {"bytes": 5}, ("a", "c"): {"bytes": 6}, ("b", "d"): {"bytes": 7}})
    for most, traffic, refused in ((15, 4, True), (15, 5, False), (16, 0, False)):
        periodic, finite = Limits(traffic_bytes=traffic, period_cycles=most), Limits(traffic_bytes=traffic, makespan_cycles=most)
        for mode, limits, length in (("periodic", periodic, "period_cycles"), ("finite", finite, "makespan_cycles")):
            found = conflict(Problem.from_graph(graph, 2, mode=mode, limits=limits))
            assert (found.loosen if found else ()) == (("traffic_bytes", length) if refused else ())
