"""Whatever a result claims falsely is listed."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from spikepipe_sched.bounds import Bound, objective_bound
from spikepipe_sched.check import Metrics
from spikepipe_sched.problem import Problem
from spikepipe_sched.recheck import COMBINATORIAL, recheck
from spikepipe_sched.result import Result, Status, conclude
from spikepipe_sched.schedule import Schedule
from tests.helpers import HAND, hand_result, pipelined_result, problems, training_graph, training_problem, unlike_platform


def kinds(result: Result) -> list[str]:
    return [violation.kind for violation in recheck(result)]


def with_level(result: Result, index: int, **changes: Any) -> Result:
    levels = list(result.objectives)
    levels[index] = replace(levels[index], **changes)
    return replace(result, objectives=tuple(levels))


def test_concluded_results_are_sound() -> None:
    assert recheck(pipelined_result()) == []
    assert recheck(hand_result(training_problem(3, 2, mode="finite", micro_batches=3))) == []
    assert recheck(hand_result(training_problem(2, 2, unroll=2, weights="latest"))) == []
    assert recheck(conclude(training_problem(), None, provenance=HAND)) == []


@settings(max_examples=100, deadline=None)
@given(problems())
def test_concluded_results_are_sound_for_any_problem(problem: Problem) -> None:
    if all(p.memory_bytes is None for p in problem.processors):
        assert recheck(Result.from_json(hand_result(problem).to_json())) == []


def test_violations_of_the_schedule_are_listed() -> None:
    result = pipelined_result()
    assert result.schedule is not None
    start = result.schedule.start.copy()
    start[3] = 0  # F(l1) before its input is there
    early = replace(result, schedule=Schedule(processor=result.schedule.processor, start=start, period=13))
    assert "precedence" in kinds(early)
    assert "metric" not in kinds(replace(early, metrics=None))
    short = replace(result, schedule=Schedule(processor=result.schedule.processor, start=result.schedule.start, period=12))
    assert {"overlap", "metric", "objective"} <= set(kinds(short))
    nowhere = Schedule(processor=np.full(7, 9), start=result.schedule.start, period=13)
    assert kinds(replace(result, schedule=nowhere)) == ["processor"] * 7


def test_every_metric_is_compared() -> None:
    result = pipelined_result()
    assert result.metrics is not None
    for field in fields(Metrics):
        value = getattr(result.metrics, field.name)
        wrong = value[:-1] if isinstance(value, tuple) else value * 2
        found = recheck(replace(result, metrics=replace(result.metrics, **{field.name: wrong})))
        assert [v.kind for v in found] == ["metric"], field.name
        assert found[0].message.startswith(f"{field.name} is reported as ")


def test_rounding_of_ratios_is_no_violation() -> None:
    result = pipelined_result()
    assert result.metrics is not None
    near = replace(result.metrics, utilisation=np.nextafter(result.metrics.utilisation, 1.0))
    assert recheck(replace(result, metrics=near)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"value": 14, "gap": 2 / 12}, ["objective"]),
        ({"gap": 0.0}, ["gap"]),
        ({"gap": None}, ["gap"]),
        ({"bound": 13, "gap": 0.0}, ["bound"]),
        ({"bound": 13, "gap": 0.0, "bound_source": "longest task"}, ["bound"]),
        ({"bound": 13, "gap": 0.0, "bound_source": "cpsat"}, []),  # a search may prove more
        ({"bound": 10, "gap": 0.3}, []),  # less than is known is no lie
        ({"bound": 14, "gap": 0.0, "bound_source": "cpsat"}, ["bound", "gap"]),
    ],
)
def test_objective_bound_and_gap(changes: dict[str, Any], expected: list[str]) -> None:
    assert kinds(with_level(pipelined_result(), 0, **changes)) == expected


def test_objectives_are_those_of_the_problem() -> None:
    result = pipelined_result()
    assert kinds(replace(result, objectives=result.objectives[:2])) == ["objectives"]
    assert kinds(with_level(result, 0, name="makespan")) == ["objectives"]


def test_status_must_fit() -> None:
    result = pipelined_result()
    assert kinds(replace(result, status=Status.OPTIMAL)) == ["status"]
    proven = {level.name: Bound(value=level.value, source="search") for level in result.objectives}
    optimal = conclude(result.problem, result.schedule, bounds=proven, provenance=HAND)
    assert kinds(optimal) == []
    assert kinds(replace(optimal, status=Status.FEASIBLE)) == ["status"]
    assert kinds(replace(conclude(result.problem, None, provenance=HAND), status=Status.OPTIMAL)) == ["status"]


@settings(max_examples=50, deadline=None)
@given(problems())
def test_the_sources_of_combinatorial_bounds_are_known(problem: Problem) -> None:
    for name in problem.objective:
        assert objective_bound(problem, name, 100).source in COMBINATORIAL


def test_unlike_processors() -> None:
    problem = Problem.from_graph(training_graph(2), unlike_platform(), mode="periodic")
    result = hand_result(problem)
    assert kinds(result) == []
    first = result.objectives[0]
    above = first.bound + 2  # the LP's last digits may differ by one
    assert kinds(with_level(result, 0, bound=above, gap=(first.value - above) / above)) == ["bound"]
