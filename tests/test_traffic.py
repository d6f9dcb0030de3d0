"""What crosses between processors, by hand and against a slow replay."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from spikepipe_sched import Interconnect, Problem, Schedule
from spikepipe_sched.check import layer_delays, metrics
from spikepipe_sched.traffic import flows, moved_bytes, traffic_matrix
from tests.helpers import by_hand, in_turn, platform, scheduled, small_graph, training_graph, training_problem
from tests.replay import Replay


def traffic(problem: Problem, placement: list[int]) -> int:
    return metrics(problem, in_turn(problem, placement)).traffic_bytes


def test_a_tensor_is_sent_once_to_every_processor_that_reads_it() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1, "d": 1}, {("a", x): {"tensors": {"out": 10}} for x in "bcd"})
    problem = Problem.from_graph(graph, platform(3))
    assert traffic(problem, [0, 0, 0, 0]) == 0
    assert traffic(problem, [0, 1, 1, 1]) == 10
    assert traffic(problem, [0, 1, 2, 1]) == 20


def test_a_tensor_read_in_several_iterations_is_sent_once() -> None:
    """Whatever the distance: one transfer, kept until the last reader."""
    graph = small_graph({"a": 1, "b": 1, "c": 1}, {("a", "b"): {"tensors": {"out": 10}}, ("a", "c"): {"tensors": {"out": 10}, "distance": 3}})
    assert traffic(Problem.from_graph(graph, platform()), [0, 1, 1]) == 10


def test_edges_without_a_common_tensor_are_sent_apart() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1}, {("a", "b"): {"bytes": 10}, ("a", "c"): {"bytes": 4}})
    assert traffic(Problem.from_graph(graph, platform()), [0, 1, 1]) == 14


def test_gradients_of_one_processor_are_summed_before_they_are_sent() -> None:
    """One per (sending, receiving) pair."""
    cycles = {"W(a,0)": 1, "W(a,1)": 1, "W(a,2)": 1, "U(a)": 1}
    graph = small_graph(cycles, {(w, "U(a)"): {"tensors": {"gradient": 8}} for w in cycles if w[0] == "W"})
    problem = Problem.from_graph(graph, platform(3), mode="periodic")
    assert traffic(problem, [0, 0, 0, 1]) == 8
    assert traffic(problem, [0, 0, 1, 1]) == 8
    assert traffic(problem, [0, 0, 1, 2]) == 16


def test_micro_batches_send_activations_each_and_gradients_once() -> None:
    problem = training_problem(1, 2, mode="finite", micro_batches=3)
    names = problem.tasks.names
    assert traffic(problem, [int(name == "U(l0)") for name in names]) == 16  # the gradient; weights come from before the run
    problem = training_problem(2, 2, mode="finite", micro_batches=3)
    assert traffic(problem, [int("l1" in name) for name in problem.tasks.names]) == 3 * (8 + 8)


def test_weights_go_to_every_processor_that_multiplies_by_them() -> None:
    problem = training_problem(2, 3)
    placement = [{"F(l1)": 1, "B(l1)": 2}.get(name, 0) for name in problem.tasks.names]
    # l1's weights to F and to B; l0's output to F(l1), F(l1) to B nothing, B(l1)'s error back.
    assert traffic(problem, placement) == 16 + 16 + 8 + 8


@pytest.mark.parametrize("unroll", [2, 3])
def test_traffic_counts_all_copies(unroll: int) -> None:
    once, copies = training_problem(2, 2), training_problem(2, 2, unroll=unroll)
    placement = [int("l1" in name) for name in once.tasks.names]
    assert traffic(copies, placement) == unroll * traffic(once, placement)


def test_link_load_is_the_time_its_transfers_need_over_the_period() -> None:
    graph = small_graph({"a": 1, "b": 1}, {("a", "b"): {"bytes": 10}})  # 3 cycles at 4 bytes a cycle, without the latency
    problem = Problem.from_graph(graph, platform(), mode="periodic")
    figures = metrics(problem, by_hand(problem, {"a": (1, 0), "b": (0, 5)}, period=2))
    assert figures.link_loads == (("p1", "p0", 1.5),)


def test_a_run_that_takes_no_time_has_a_link_load() -> None:
    """Nothing is divided by zero where a lag undoes the transfer."""
    graph = small_graph({"a": 0, "b": 0}, {("a", "b"): {"bytes": 4, "lag": -2}})
    problem = Problem.from_graph(graph, platform())
    figures = metrics(problem, by_hand(problem, {"a": (0, 0), "b": (1, 0)}))
    assert figures.length_cycles == 0
    assert figures.link_loads == (("p0", "p1", 1.0),)
    assert figures.utilisation == 0


@settings(max_examples=60)
@given(scheduled())
def test_the_matrix_of_traffic_equals_a_replay(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    found = traffic_matrix(problem, flows(problem, *layer_delays(problem, schedule)), schedule.processor)
    assert {(p, q): size for (p, q), size in np.ndenumerate(found) if size} == Replay(problem, schedule).sent_bytes()
    assert int(found.sum()) == metrics(problem, schedule).traffic_bytes


def test_links_are_loaded_with_what_the_matrix_says() -> None:
    """At one byte a cycle a link's transfers take as many cycles as they have bytes."""
    link = Interconnect(bandwidth_bytes_per_cycle=1)
    problem = Problem.from_graph(training_graph(4), replace(platform(3), interconnect=link), mode="periodic")
    schedule = in_turn(problem, [task % 3 for task in range(len(problem.tasks.names))])
    sent = traffic_matrix(problem, flows(problem, *layer_delays(problem, schedule)), schedule.processor)
    loads = {(source, target): load for source, target, load in metrics(problem, schedule).link_loads}
    names = [p.name for p in problem.processors]
    assert {(names[p], names[q]): size / (schedule.period or 1) for (p, q), size in np.ndenumerate(sent) if size} == pytest.approx(loads)
    assert not np.diagonal(sent).any()


def test_moved_bytes_are_what_tasks_read_and_write() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1}, {("a", x): {"tensors": {"out": 10}} for x in "bc"})
    assert moved_bytes(Problem.from_graph(graph, 2)) == 10 + 2 * 10
    assert moved_bytes(Problem.from_graph(small_graph({"a": 1}), 2)) == 0


@settings(max_examples=80)
@given(scheduled())
def test_traffic_equals_a_replay(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    assert metrics(problem, schedule).traffic_bytes == Replay(problem, schedule).traffic()


@settings(max_examples=30)
@given(scheduled("periodic"))
def test_traffic_of_sums_equals_a_replay(case: tuple[Problem, Schedule]) -> None:
    """The same with every tensor a share of one sum."""
    problem, schedule = case
    edges = problem.edges
    changes: dict[str, Any] = {"tensor": edges.tensor * 0, "tensor_ptr": edges.tensor_ptr}
    if len(problem.tensors) > 1:
        problem = replace(problem, edges=replace(edges, **changes))
    assert metrics(problem, schedule).traffic_bytes == Replay(problem, schedule).traffic()
