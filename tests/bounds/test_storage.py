"""Bounds on traffic: by hand, and below that of every placement whose loads fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from spikepipe_sched import Problem, Schedule
from spikepipe_sched.bounds import objective_bound, traffic_bound
from spikepipe_sched.check import durations, metrics
from spikepipe_sched.cut import contiguous_cut
from tests.bounds.test_heads import machine
from tests.helpers import scheduled, small_graph, training_problem

CHAIN = {("a", "b"): {"bytes": 5}, ("b", "c"): {"bytes": 3}, ("c", "d"): {"bytes": 4}}


@pytest.mark.parametrize(("length", "bound"), [(16, 0), (15, 3), (8, 3), (7, 7), (5, 12), (4, 12)])
def test_as_many_processors_as_the_work_needs_are_linked(length: int, bound: int) -> None:
    """A chain of four tasks of 4 cycles: 16 in all; the cheapest tensors between 1, 2, 3 and 4 processors."""
    problem = Problem.from_graph(small_graph(dict.fromkeys("abcd", 4), CHAIN), machine("ppppp"))
    assert traffic_bound(problem, length).value == bound
    assert traffic_bound(problem, length).source == ("trivial" if bound == 0 else "tensors between as many processors as the work needs")


def test_separate_components_need_not_exchange_anything() -> None:
    graph = small_graph(dict.fromkeys("abcdxy", 4), {**CHAIN, ("x", "y"): {"bytes": 1}, ("d", "y"): {"tensors": {"empty": 0}}})
    problem = Problem.from_graph(graph, machine("pppppp"))
    assert [traffic_bound(problem, length).value for length in (24, 12, 8, 6, 4)] == [0, 0, 1, 4, 13]


def test_one_tensor_is_sent_to_every_processor_that_reads_it() -> None:
    """a's tensor of 2 bytes goes to three readers: it may count thrice."""
    graph = small_graph(dict.fromkeys("abcd", 4))
    for reader in "bcd":
        graph.add_edge("a", reader, tensors={"x": 2})
    problem = Problem.from_graph(graph, machine("pppp"))
    assert [traffic_bound(problem, length).value for length in (8, 6, 4)] == [2, 4, 6]


def test_micro_batches_cross_one_by_one_and_are_summed_once() -> None:
    graph = small_graph({"F(a)": 2, "U(a)": 6}, {("F(a)", "U(a)"): {"bytes": 4}})
    assert traffic_bound(Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=3), 6).value == 4
    graph = small_graph({"F(a)": 2, "W(a)": 2}, {("F(a)", "W(a)"): {"bytes": 4}})
    assert traffic_bound(Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=3), 6).value == 12


def test_unrolled_copies_are_separate_and_delayed_weights_link_them_unknown() -> None:
    graph = small_graph({"F(a)": 2, "U(a)": 2}, {("F(a)", "U(a)"): {"bytes": 4}})
    graph.add_edge("U(a)", "F(a)", delay_layer="a", bytes=1)
    assert traffic_bound(Problem.from_graph(graph, machine("pp")), 2).value == 1
    assert traffic_bound(Problem.from_graph(graph, machine("pp"), unroll=2), 4).value == 0
    assert traffic_bound(Problem.from_graph(graph, machine("ppp"), unroll=2), 3).value == 4


def test_the_bound_is_for_the_schedules_own_length_where_that_ranks_above() -> None:
    graph = small_graph(dict.fromkeys("abcd", 4), CHAIN)
    for mode, first in (("finite", "makespan"), ("periodic", "period")):
        for objective, bound in (((first, "traffic"), 3), (("traffic", first), 0), (("traffic",), 0)):
            problem = Problem.from_graph(graph, machine("ppp"), mode=mode, objective=objective)
            assert objective_bound(problem, "traffic", 8).value == bound
        alone = Problem.from_graph(graph, machine("ppp"), mode=mode, objective=(first,))
        assert objective_bound(alone, "traffic", 8).value == 0  # asked for although no level


def test_a_cut_into_stages_sends_at_least_so_much() -> None:
    for processors in (2, 3, 4):
        problem = training_problem(4, processors)
        cut = contiguous_cut(problem)
        assert cut is not None
        assert 0 < traffic_bound(problem, cut.load_cycles).value <= cut.traffic_bytes


@settings(max_examples=150)
@given(scheduled())
def test_no_placement_sends_less_than_its_largest_load_allows(pair: tuple[Problem, Schedule]) -> None:
    problem, schedule = pair
    load = int(np.bincount(schedule.processor, weights=durations(problem, schedule)).max())
    assert traffic_bound(problem, load).value <= metrics(problem, schedule).traffic_bytes
