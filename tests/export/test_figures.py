"""Figures of a schedule, read back from their JSON and compared with the checker's numbers and with replays."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.graph_objects import Figure

from spikepipe_sched import Problem, Schedule
from spikepipe_sched.check import metrics
from spikepipe_sched.errors import InputError
from spikepipe_sched.export import figures
from spikepipe_sched.export.figures import delay_per_layer, memory_over_time, traffic_heatmap, utilisation
from spikepipe_sched.result import Result, conclude
from tests.helpers import HAND, by_hand, hand_result, pipelined_result, scheduled, small_graph, training_graph, training_problem, unlike_platform
from tests.pages import evil_problem


def read(figure: Figure) -> dict[str, Any]:
    return json.loads(figure.to_json() or "")


@pytest.mark.parametrize("draw", [utilisation, traffic_heatmap, memory_over_time, delay_per_layer])
def test_without_a_schedule_there_is_nothing_to_draw(draw: Any) -> None:
    with pytest.raises(InputError, match="no schedule to draw"):
        draw(conclude(training_problem(), None, provenance=HAND))


@pytest.mark.parametrize("draw", [utilisation, traffic_heatmap, memory_over_time, delay_per_layer])
def test_names_are_no_markup(draw: Any) -> None:
    text = draw(hand_result(evil_problem())).to_json()
    assert "<img" not in text
    assert "<svg" not in text
    assert "<!--" not in text


def test_a_processors_time_is_split_by_kind_and_adds_up() -> None:
    for problem in (training_problem(3, 3), training_problem(3, 2, mode="finite", micro_batches=2), training_problem(2, 2, unroll=2)):
        result = hand_result(problem)
        assert result.metrics is not None
        traces = read(utilisation(result))["data"]
        assert [trace["name"] for trace in traces] == ["F forward", "B activation gradient", "W weight gradient", "U weight update", "idle"]
        cycles = np.array([[cell for (cell,) in trace["customdata"]] for trace in traces])
        assert tuple(cycles[:-1].sum(axis=0).tolist()) == result.metrics.busy_cycles
        assert (cycles.sum(axis=0) == result.metrics.length_cycles).all()
        assert np.allclose(sum(np.array(trace["x"]) for trace in traces), 100)


def test_the_heat_map_has_what_each_processor_sends_to_each_other() -> None:
    heat = read(traffic_heatmap(pipelined_result()))
    (cells,) = (trace["z"] for trace in heat["data"])
    assert cells == [[None, 8], [8, None]]  # l0's output to l1, and l1's error back
    assert "16 bytes per iteration" in heat["layout"]["title"]["text"]


def test_memory_over_time_has_the_peaks_and_the_limits() -> None:
    result = hand_result(Problem.from_graph(training_graph(), unlike_platform()))
    assert result.metrics is not None
    figure = read(memory_over_time(result))
    assert tuple(max(trace["y"]) for trace in figure["data"]) == result.metrics.peak_memory_bytes
    assert sorted(shape["y0"] for shape in figure["layout"]["shapes"]) == [1024, 4096]
    assert all(trace["line"]["shape"] == "hv" and trace["x"][0] == 0 and trace["x"][-1] == result.metrics.length_cycles for trace in figure["data"])


@settings(max_examples=30)
@given(scheduled(), st.integers(1, 5))
def test_fewer_steps_keep_the_peak_and_are_never_below(case: tuple[Problem, Schedule], most: int) -> None:
    problem, schedule = case
    result = Result(problem=problem, status=hand_result().status, schedule=schedule, metrics=None, objectives=(), provenance=HAND)
    whole = read(memory_over_time(result))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "MAX_STEPS", most)
        cut = read(memory_over_time(result))
    assert [max(trace["y"]) for trace in whole["data"]] == list(map(float, metrics(problem, schedule).peak_memory_bytes))
    assert ("the most in each of" in cut["layout"]["title"]["text"]) == any(len(trace["x"]) - 1 > most for trace in whole["data"])
    for all_steps, some in zip(whole["data"], cut["data"], strict=True):
        assert max(some["y"]) == max(all_steps["y"])
        assert len(some["x"]) - 1 <= most
        for time in {*all_steps["x"][:-1], *some["x"][:-1]}:

            def at(trace: Any, time: int = time) -> float:
                return trace["y"][np.searchsorted(trace["x"][:-1], time, side="right") - 1]

            assert at(some) >= at(all_steps)


def test_delays_stand_beside_the_proven_least() -> None:
    figure = read(delay_per_layer(pipelined_result()))
    assert [(trace["name"], trace["y"]) for trace in figure["data"]] == [("delay", [2, 1]), ("proven least at this period", [2, 1])]


def test_a_backward_delay_has_its_bar_where_it_differs() -> None:
    graph = small_graph({"F(a)": 2, "B(a)": 3, "U(a)": 1}, {("F(a)", "B(a)"): {}, ("B(a)", "U(a)"): {}})
    for reader in ("F(a)", "B(a)"):
        graph.add_edge("U(a)", reader, delay_layer="a", tensors={"weights": 16})
    problem = replace(Problem.from_graph(graph, 2), weights="latest")
    result = hand_result(problem, by_hand(problem, {"F(a)": (0, 0), "B(a)": (0, 8), "U(a)": (0, 11)}, period=6))
    shown = {trace["name"]: trace["y"] for trace in read(delay_per_layer(result))["data"]}
    assert result.metrics is not None
    assert shown["forward delay"] == [dict(result.metrics.delays)["a"]] != shown["backward delay"]
    assert shown["backward delay"] == [dict(result.metrics.backward_delays)["a"]]


def test_a_finite_run_has_no_delays() -> None:
    with pytest.raises(InputError, match="no delays to draw"):
        delay_per_layer(hand_result(training_problem(2, 2, mode="finite", micro_batches=2)))


def test_lines_of_memory_can_be_told_apart() -> None:
    lines = [trace["line"] for trace in read(memory_over_time(hand_result(training_problem(2, 16))))["data"]]
    assert max(Counter((line["color"], line["dash"]) for line in lines).values()) == 1
