"""Loads of intervals: by hand, and against sliding every task through every interval."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from spikepipe_sched import Problem
from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.bounds.heads import NEVER, Graph
from spikepipe_sched.bounds.load import load_length
from tests.bounds.exhaustive import least_length
from tests.bounds.test_heads import machine
from tests.helpers import small_graph


def lonely(cycles: list[list[int]], processors: list[int], group: list[int] | None = None) -> Graph:
    """Tasks without edges: their heads and tails are given."""
    nothing = np.zeros(0, dtype=np.int64)
    return Graph(
        order=np.arange(len(cycles)),
        source=nothing,
        target=nothing,
        lag=nothing,
        apart=nothing,
        cycles=np.array(cycles),
        processors=np.array(processors),
        group=np.arange(len(cycles)) if group is None else np.array(group),
    )


def columns(values: list[int], classes: int = 1) -> np.ndarray:
    return np.repeat(np.array(values)[:, None], classes, axis=1)


def test_what_comes_before_and_after_adds_to_the_work_between() -> None:
    """One cycle, four tasks of 3 on two processors, one cycle: 8, though the area is 7 and the path 5."""
    graph = small_graph({"a": 1, "z": 1} | {f"t{i}": 3 for i in range(4)}, [("a", f"t{i}") for i in range(4)] + [(f"t{i}", "z") for i in range(4)])
    problem = Problem.from_graph(graph, machine("pp"))
    assert (makespan_bound(problem).value, makespan_bound(problem).source) == (8, "load of an interval / processors")
    assert least_length(problem) in (8, None)


def test_an_interval_in_the_middle_can_be_the_narrowest() -> None:
    """Three tasks of 2 must run in [4, 8] of 10 on one of two processors, or half: the length grows by one for 7 > 2 * 3."""
    graph, ends = lonely([[2]] * 3 + [[1]] * 2, [2]), columns([4, 4, 4, 0, 9])
    assert load_length(graph, ends, columns([4, 4, 4, 9, 0]), 10) == 11


def test_processors_begin_and_end_with_different_tasks() -> None:
    """13 cycles on two processors: only those of group 0 can end one of them, the other has 2 more cycles to wait for: 15 / 2."""
    graph = lonely([[3], [2], [4], [4]], [2], [0, 0, 1, 2])
    assert load_length(graph, columns([0, 2, 0, 0]), columns([0, 1, 3, 2]), 7) == 8


def test_tasks_confined_to_a_class_compete_for_it() -> None:
    """Of six tasks of 2 on p and q, four can run on p alone, which there is once."""
    graph = lonely([[2, -1]] * 4 + [[2, 2]] * 2, [1, 2])
    heads = np.where(graph.cycles < 0, NEVER, 0)
    assert load_length(graph, heads, heads, 2) == 8
    wide = replace(graph, processors=np.array([2, 2]))
    assert load_length(wide, heads, heads, 2) == 4


def test_a_group_has_one_processor() -> None:
    """Micro-batches: 1 + 3 * 4 + 2 on four processors; those that may start at 9 alone take until 19."""
    head, tail = columns([1, 1, 1]), columns([2, 2, 3])
    assert load_length(lonely([[4]] * 3, [4], [5, 5, 5]), head, tail, 8) == 15
    assert load_length(lonely([[4]] * 3, [4], [5, 5, 5]), columns([1, 9, 9]), tail, 16) == 19
    assert load_length(lonely([[4]] * 3, [4]), head, tail, 8) == 8


def test_tasks_without_cycles_are_no_load() -> None:
    """However many, they may all meet at one time, and share a processor in a group."""
    assert load_length(lonely([[0]] * 9, [1]), columns([3] * 9), columns([2] * 9), 5) == 5
    assert load_length(lonely([[0]] * 9, [1], [0] * 9), columns([3] * 9), columns([2] * 9), 5) == 5
    assert load_length(lonely([[0], [4]], [1], [0, 0]), columns([6, 0]), columns([0, 6]), 10) == 10


def overlap(head: int, cycles: int, latest: int, a: int, b: int) -> int:
    """Least cycles within [a, b] over all starts."""
    return min(max(0, min(start + cycles, b) - max(start, a)) for start in range(head, latest + 1))


def least_by_sliding(head: list[int], cycles: list[int], tail: list[int], processors: int, length: int) -> int:
    """Least length at which no interval from a head or to a tail is overloaded."""
    while True:
        tasks = [(h, c, length - q - c) for h, c, q in zip(head, cycles, tail, strict=True)]
        times = range(min(head), length - min(tail) + 1)
        intervals = {(a, b) for a in head for b in times if b >= a} | {(a, length - q) for q in tail for a in times if a <= length - q}
        if all(sum(overlap(*task, a, b) for task in tasks) <= processors * (b - a) for a, b in intervals):
            return length
        length += 1


@pytest.mark.parametrize("seed", range(60))
def test_the_length_equals_that_of_sliding(seed: int) -> None:
    """All intervals from a head, and to a tail; also from before 0, as between a layer's readers and its update."""
    rng = random.Random(seed)
    n, processors, low = rng.randint(3, 9), rng.randint(1, 3), rng.choice([0, 0, -4])
    head, cycles, tail = ([rng.randint(least, 5) for _ in range(n)] for least in (low, 0, low))
    longest = max(h + c + q for h, c, q in zip(head, cycles, tail, strict=True))
    found = load_length(lonely([[c] for c in cycles], [processors]), columns(head), columns(tail), longest)
    assert found == (least_by_sliding(head, cycles, tail, processors, longest) if n > processors else longest)


def test_intervals_from_heads_and_to_tails_both_count() -> None:
    """The narrowest interval here ends at a tail, and begins at no head; with time running backwards it is the other way round."""
    graph, head, tail = lonely([[1], [5], [6], [9], [8], [3]], [3]), columns([2, 7, 7, 0, 6, 1]), columns([7, 6, 4, 7, 2, 0])
    assert load_length(graph, head, tail, 18) == load_length(graph, tail, head, 18) == 19


def test_fewer_intervals_never_give_more() -> None:
    raised = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        graph = lonely(rng.integers(1, 30, (400, 1)).tolist(), [8])
        head, tail = rng.integers(0, 400, (400, 1)), rng.integers(0, 400, (400, 1))
        longest = int((head + graph.cycles + tail).max())
        few, many = (load_length(graph, head, tail, longest, cells) for cells in (2000, 10**6))
        assert longest <= few <= many
        raised += few > longest
    assert raised >= 3


def test_large_times_do_not_wrap_around() -> None:
    """A thousand tasks of 2 ** 36 cycles between heads and tails of 2 ** 45."""
    graph = lonely([[2**36]] * 1000, [10])
    ends = columns([2**45] * 1000)
    assert load_length(graph, ends, ends, 2**46 + 2**36) == 2**46 + 100 * 2**36
    assert load_length(replace(graph, group=np.arange(1000) // 500), ends, ends, 2**46) == 2**46 + 500 * 2**36
