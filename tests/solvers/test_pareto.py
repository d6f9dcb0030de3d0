"""Fronts against brute force, and what every front must satisfy."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import pytest

from spikepipe_sched import Limits, Problem, Result, check
from spikepipe_sched.errors import InputError
from spikepipe_sched.pareto import Front, _FrontSearch, pareto  # pyright: ignore[reportPrivateUsage]
from spikepipe_sched.result import ObjectiveValue, Provenance, Status
from tests.helpers import training_problem
from tests.oracle import Oracle, TooLarge, random_problem
from tests.solvers.instances import network_problem


def brute_force(problem: Problem, level: int, longest: int = 14) -> dict[int, int]:
    """Least value of a level of (period, delay, ...) at every period that has a schedule."""
    oracle = Oracle(problem)
    return {period: values[level] for period in range(1, longest + 1) if (values := oracle.at(period)) is not None}


def corners(least: dict[int, int]) -> list[tuple[int, int]]:
    """The periods at which the least value falls."""
    found: list[tuple[int, int]] = []
    for period, value in sorted(least.items()):
        if not found or value < found[-1][1]:
            found.append((period, value))
    return found


@pytest.mark.parametrize("seed", [1008, 1010, 1018, 1025, 1028])
def test_fronts_equal_brute_force(seed: int) -> None:
    """All points of (period, delay) on small problems, and each is proven exact."""
    problem = random_problem(seed, "periodic")
    try:
        expected = corners(brute_force(problem, problem.objective.index("delay")))
    except TooLarge:
        pytest.skip("too large to enumerate")
    front = pareto(problem, time_limit_s=20, points=8, workers=1)
    assert [point.values for point in front.points] == expected
    assert all(point.exact for point in front.points)


def well_formed(front: Front) -> None:
    """Non-dominated, checked, bounded."""
    values = [point.values for point in front.points]
    assert values == sorted(set(values))
    assert not any(a != b and all(x <= y for x, y in zip(a, b, strict=True)) for a in values for b in values)
    for point in front.points:
        assert point.result.schedule is not None
        assert point.result.metrics is not None
        assert check(point.result.problem, point.result.schedule) == ()
        assert tuple(point.result.metrics.value(name) for name in front.objectives) == point.values
        assert point.bound <= point.values[1]
        assert point.length_bound <= point.values[0]
        assert point.exact <= point.proven


@pytest.mark.parametrize(
    ("objectives", "mode"),
    [(("period", "delay"), "periodic"), (("period", "traffic"), "periodic"), (("period", "delay", "traffic"), "periodic"), (("makespan", "traffic"), "finite")],
)
def test_points_are_checked_and_beat_each_other_nowhere(objectives: tuple[str, ...], mode: str) -> None:
    """Whatever the objectives."""
    front = pareto(network_problem(mode=mode), objectives, time_limit_s=4, points=5, workers=1)
    assert len(front.points) >= 2
    well_formed(front)


def test_bounds_grow_towards_shorter_periods() -> None:
    """What is proven at a longer period holds at all shorter ones."""
    front = pareto(network_problem(), time_limit_s=4, points=5, workers=1)
    bounds = [point.bound for point in front.points]
    assert bounds == sorted(bounds, reverse=True)


def test_work_in_place_of_time_gives_the_same_front() -> None:
    """On any machine: the points and what is proven about them."""
    first, second = (pareto(network_problem(), deterministic_limit=1.5, points=4) for _ in range(2))
    assert [(point.values, point.bound, point.length_bound) for point in first.points] == [(p.values, p.bound, p.length_bound) for p in second.points]
    with pytest.raises(InputError, match="deterministic limit must be positive"):
        pareto(network_problem(), deterministic_limit=0.0)


def test_the_problems_own_limits_hold() -> None:
    """No point beyond the largest period."""
    front = pareto(network_problem(limits=Limits(period_cycles=900)), time_limit_s=3, points=4, workers=1)
    assert front.points
    assert all(point.values[0] <= 900 for point in front.points)


def test_documents_hold_every_schedule() -> None:
    """Each point's result can be read back."""
    front = pareto(network_problem(), time_limit_s=2, points=3, workers=1)
    document = json.loads(front.to_json())
    assert document["schema"] == "spikepipe-sched/front/1"
    assert [tuple(point["values"].values()) for point in document["points"]] == [point.values for point in front.points]
    for point, written in zip(front.points, document["points"], strict=True):
        assert Result.from_json(json.dumps(written["result"])).key() == point.result.key()


def test_fronts_that_make_no_sense_are_refused() -> None:
    """Unknown objectives, and problems whose longer periods need not be feasible."""
    with pytest.raises(InputError, match="period,delay or period,traffic or period,delay,traffic, not delay,period"):
        pareto(network_problem(), ("delay", "period"))
    with pytest.raises(InputError, match="makespan,traffic, not makespan,delay"):
        pareto(network_problem(mode="finite"), ("makespan", "delay"))
    with pytest.raises(InputError, match="points must be a whole number"):
        pareto(network_problem(), ["period", "delay"], points=2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="limit on the span"):
        pareto(network_problem(limits=Limits(span_cycles=10_000)))
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=2)
    graph.add_node("b", cycles=2)
    graph.add_edge("a", "b", lag=-1)
    with pytest.raises(InputError, match="negative lags"):
        pareto(Problem.from_graph(graph, 2, mode="periodic"))


@pytest.mark.parametrize(
    ("options", "objectives", "stretchable"),
    [
        ({}, ("period", "delay", "traffic"), True),
        ({"unroll": 2}, ("period", "delay"), True),
        ({"unroll": 2}, ("period", "traffic"), False),
        ({"unroll": 2, "limits": Limits(traffic_bytes=10)}, ("period", "delay"), False),
        ({"mode": "finite"}, ("makespan", "traffic"), False),
    ],
)
def test_what_is_proven_at_one_length_is_claimed_for_shorter_ones_where_they_stretch(
    options: dict[str, Any], objectives: tuple[str, ...], *, stretchable: bool
) -> None:
    """With a length that is not proven least; with unrolling a smaller delay may cost traffic."""
    problem = training_problem(2, 2, objective=objectives, **options)
    search = _FrontSearch(problem, objectives, 1.0, None, "sequential", 1, 0, None)
    assert search.stretchable() == stretchable
    levels = tuple(ObjectiveValue(name=name, value=100, bound=90, gap=1 / 9, bound_source="") for name in objectives)
    search.learn(Result(problem=problem, status=Status.FEASIBLE, schedule=None, metrics=None, objectives=levels, provenance=Provenance(solver="", version="")))
    assert search.length_bound((100, 89, 0)[: len(objectives)]) == (101 if stretchable else 90)
