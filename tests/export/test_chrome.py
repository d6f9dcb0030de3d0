"""The trace against the rules of the Chrome trace event format."""

import json
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export.chrome import chrome_trace
from spikepipe_sched.platform import Platform
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result, conclude
from tests.helpers import HAND, hand_result, pipelined_result, platform, training_graph, training_problem


def events(result: Result, iterations: int = 3) -> dict[str, list[dict[str, Any]]]:
    """Events of a trace by phase, after checking what every viewer needs."""
    trace = json.loads(chrome_trace(result, iterations))
    by_phase: dict[str, list[dict[str, Any]]] = {}
    for event in trace["traceEvents"]:
        assert {"ph", "pid", "tid", "name"} <= set(event)
        if event["ph"] != "M":
            assert event["ts"] >= 0
        by_phase.setdefault(event["ph"], []).append(event)
    lanes: dict[int, list[tuple[float, float]]] = {}
    for event in by_phase["X"]:
        lanes.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in lanes.values():  # overlapping slices would be nested or dropped
        spans.sort()
        assert all(first[1] <= second[0] + 1e-9 for first, second in pairwise(spans))
    starts = {event["id"]: event for event in by_phase.get("s", [])}
    ends = {event["id"]: event for event in by_phase.get("f", [])}
    assert set(starts) == set(ends)
    for key, start in starts.items():
        assert start["ts"] <= ends[key]["ts"]
        assert start["tid"] != ends[key]["tid"]
        for event in (start, ends[key]):
            assert any(e["tid"] == event["tid"] and e["ts"] <= event["ts"] <= e["ts"] + e["dur"] for e in by_phase["X"])
    return by_phase


def test_one_event_per_task_and_iteration() -> None:
    found = events(pipelined_result())["X"]
    assert len(found) == 7 * 3
    second = next(e for e in found if e["name"] == "F(l1)" and e["args"]["iteration"] == 1)
    assert second["args"] == {"layer": "l1", "window": 0, "iteration": 1, "start_cycles": 20, "end_cycles": 24, "cycles": 4}
    assert (second["ts"], second["dur"], second["tid"], second["cat"]) == (0.02, 0.004, 2, "F")  # 1 GHz


def test_processors_are_named_threads() -> None:
    names = events(pipelined_result())["M"]
    assert [e["args"] for e in names if e["name"] == "thread_name"] == [{"name": "p0"}, {"name": "p1"}]
    assert next(e for e in names if e["name"] == "process_name")["args"]["name"] == "chain (clock 1000000000 Hz)"


def test_arrows_for_what_crosses() -> None:
    arrows = events(pipelined_result())["s"]
    # Per iteration: F(l0) to F(l1) and to W(l1), B(l1) to W(l0), as far as the reader is drawn.
    assert sorted(e["name"] for e in arrows) == ["l0.error"] * 3 + ["l0.out"] * 6


def test_without_a_clock_a_cycle_is_a_microsecond() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=5)
    graph.add_node("b", cycles=7)
    graph.add_edge("a", "b")
    found = events(hand_result(Problem.from_graph(graph, 1)))
    assert [(e["ts"], e["dur"], e["cat"], e["args"]["layer"]) for e in found["X"]] == [(0, 5, "task", None), (5, 7, "task", None)]
    assert "1 us is 1 cycle (clock unknown)" in found["M"][0]["args"]["name"]


def test_odd_clocks_never_make_events_overlap() -> None:
    base = platform()
    for clock in (7, 999_999_937, 3 * 10**9, 10**12):
        odd = Platform(name="odd", classes=base.classes, processors=base.processors, interconnect=base.interconnect, clock_hz=clock)
        events(hand_result(Problem.from_graph(training_graph(3), odd)))


def test_finite_unrolled_and_partial() -> None:
    assert len(events(hand_result(training_problem(3, 2, mode="finite", micro_batches=2)))["X"]) == 8 * 2 + 3
    unrolled = hand_result(training_problem(2, 2, unroll=2))
    assert len(events(unrolled, 3)["X"]) == 7 * 3
    assert len(events(unrolled, 1)["X"]) == 7


def test_misuse() -> None:
    with pytest.raises(InputError, match="at least one iteration"):
        chrome_trace(pipelined_result(), 0)
    with pytest.raises(InputError, match="no schedule"):
        chrome_trace(conclude(training_problem(), None, provenance=HAND))
