"""The summary's figures, by hand."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.export import summary
from spikepipe_sched.export.summary import overhead, percent, samples_per_second, signed_percent, speedup, summary_lines, summary_rows
from spikepipe_sched.platform import SystolicArray
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Infeasibility, Result, conclude
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import solve
from spikepipe_sched.traffic import moved_bytes
from tests.helpers import HAND, hand_result, pipelined_result, platform, training_problem


def rows(result: Result) -> dict[str, str]:
    return dict(summary_rows(result))


def test_periodic() -> None:
    found = rows(pipelined_result())
    assert found["problem"] == "chain: 7 tasks on 2 processors, periodic"
    assert found["cost model"] == "gemm 125.0 %, sparsity -25.0 %"
    assert found["period"] == "13 cycles; 1,230,769,230.8 samples/s at 1,000 MHz"  # 16 samples every 13 ns
    assert found["objective period"] == "13 cycles, bound 12 (longest tasks: some must share a processor): gap 8.33 %"
    assert found["objective delay"].endswith("optimal, given the objectives above")
    assert found["delay per layer"] == "l0 2, l1 1 (sum 3) iterations"
    assert found["traffic"] == "16 bytes per iteration; overhead +0.00 % over contiguous stages"
    assert found["speed-up"] == "1.00x over contiguous stages on 2 processors (2 used; largest load 13 cycles)"
    assert found["utilisation"].startswith("84.6 % of cycles busy; 0.385 ")  # 22 / 26; 40 MACs / (8 PEs * 13)
    assert "warning" not in found


def test_lines_are_aligned() -> None:
    lines = summary_lines(pipelined_result())
    assert len(lines) == len(summary_rows(pipelined_result()))
    assert len({line.index("chain" if line.startswith("problem") else "13 cycles") for line in lines if line.startswith(("problem", "period "))}) == 1


def test_unrolled_figures_are_per_iteration() -> None:
    one, two = hand_result(training_problem(2, 2)), hand_result(training_problem(2, 2, unroll=2))
    assert one.metrics is not None
    assert two.metrics is not None
    assert two.metrics.length_cycles == 2 * one.metrics.length_cycles
    for function in (samples_per_second, lambda p, length: speedup(p, length, contiguous_cut(p))):
        assert function(one.problem, one.metrics.length_cycles) == function(two.problem, two.metrics.length_cycles)
    assert "for 2 iterations (57.0 each)" in rows(two)["period"]


def test_finite() -> None:
    result = hand_result(training_problem(3, 2, mode="finite", micro_batches=2))
    found = rows(result)
    assert found["makespan"].startswith("157 cycles; 203,821,656.1 samples/s")  # 2 * 16 in 157 ns
    assert "delay per layer" not in found
    assert "speed-up" not in found  # at least 0.32x would say nothing


def test_a_finite_run_is_at_least_so_much_faster_than_stages_with_their_largest_load() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for layer, kind, cycles in (("a", "F", 1), ("b", "F", 1), ("c", "F", 6), ("b", "W", 8), ("a", "W", 8)):
        graph.add_node(f"{kind}({layer})", kind=kind, layer=layer, cycles=cycles)
    graph.add_edge("F(a)", "F(b)")
    found = rows(solve(Problem.from_graph(graph, 2, mode="finite"), "cpsat", deterministic_limit=1.0, workers=1))
    assert found["makespan"] == "14 cycles"
    assert found["speed-up"] == "at least 1.07x over contiguous stages on 2 processors (2 used; largest load 15 cycles)"  # a; b and c


def test_overhead_and_speedup_by_hand() -> None:
    problem = training_problem()
    cut = contiguous_cut(problem)
    assert cut is not None
    assert (cut.stages, cut.load_cycles, cut.traffic_bytes) == (2, 13, 16)
    assert overhead(problem, 116, cut) == pytest.approx(100 / moved_bytes(problem))
    assert speedup(problem, 26, cut) == 0.5
    assert overhead(problem, 116, None) is None
    assert speedup(problem, 26, None) is None


def test_no_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "contiguous_cut", lambda problem: None)
    found = rows(pipelined_result())
    assert "overhead n/a" in found["traffic"]
    assert found["speed-up"].startswith("n/a")


def test_overloaded_links_are_warned_of() -> None:
    result = pipelined_result()
    assert result.metrics is not None
    loaded = replace(result, metrics=replace(result.metrics, link_loads=(("p0", "p1", 1.5), ("p1", "p0", 0.5))))
    assert rows(loaded)["warning"] == "1 link cannot carry the traffic: p0 to p1 would need 1.50 of the time"


def test_users_own_graph_without_clock_or_layers() -> None:
    graph: nx.DiGraph[str] = nx.path_graph(3, create_using=nx.DiGraph)
    for node in graph:
        graph.nodes[node]["cycles"] = 2
    found = rows(hand_result(Problem.from_graph(graph, 2, objective=("makespan",))))
    assert [*found] == ["problem", "status", "makespan", "objective makespan", "utilisation", "speed-up"]  # nothing of stages, traffic, memory, MACs
    assert found["makespan"] == "6 cycles"
    assert found["utilisation"] == "50.0 % of cycles busy"
    assert found["speed-up"] == "1.00x over one processor (6 cycles of work)"


def test_a_task_graph_is_set_against_the_fastest_processor_that_can_run_all_of_it() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles={"slow": 8, "fast": 4, "odd": 1})
    graph.add_node("b", cycles={"slow": 6, "fast": 3})
    graph.add_edge("a", "b", bytes=5)
    arrays = {name: SystolicArray(rows=1, cols=1) for name in ("slow", "fast", "odd")}
    machine = replace(platform(), classes=arrays, processors=("slow", "fast", "odd"))
    problem = Problem.from_graph(graph, machine)
    schedule = Schedule(processor=np.array([2, 1]), start=np.array([0, 4]), period=None)  # the 5 bytes take 1 + 2 cycles
    found = rows(conclude(problem, schedule, provenance=HAND))
    assert found["makespan"].startswith("7 cycles")
    assert found["speed-up"] == "1.00x over one processor (7 cycles of work)"
    assert found["traffic"] == "5 bytes"
    graph.nodes["b"]["cycles"] = {"odd": 2}
    graph.nodes["a"]["cycles"] = {"fast": 4}
    apart = Problem.from_graph(graph, machine)
    assert "speed-up" not in rows(conclude(apart, Schedule(processor=np.array([1, 2]), start=np.array([0, 7]), period=None), provenance=HAND))


def test_nothing_found() -> None:
    why = Infeasibility(demanded="period <= 3", bound="11 cycles", gap=2.5, loosen=("limits.period_cycles",))
    found = rows(conclude(training_problem(), None, provenance=HAND, infeasibility=why, proven_infeasible=True))
    assert found["status"].startswith("infeasible; solver hand")
    assert (found["demanded"], found["bound"], found["gap"], found["loosen"]) == ("period <= 3", "11 cycles", "250.00 %", "limits.period_cycles")
    assert set(rows(conclude(training_problem(), None, provenance=HAND))) == {"problem", "status"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, "infinite"), (0.0, "0.00 %"), (0.00012, "0.012 %"), (0.25, "25.00 %"), (10.0, "1,000.00 %"), (34.5, "over 1,000 %")]
)
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_a_difference_has_its_sign_and_nothing_a_plus() -> None:
    assert [signed_percent(value) for value in (0.0123, -0.1, -0.00001)] == ["+1.23 %", "-10.00 %", "+0.00 %"]
