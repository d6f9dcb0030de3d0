"""The heuristics against their papers, their formulas and brute force."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched import Interconnect, Platform, Problem, SystolicArray, check, solve
from spikepipe_sched.check import layer_delays
from spikepipe_solvers.balance import balance, improve, loads, longest_first
from spikepipe_solvers.decode import Decoder, schedule_of
from spikepipe_solvers.lists import earliest_gap, upward_rank
from spikepipe_solvers.retime import retime
from tests.solvers.instances import arrays, network_problem, residual_problem


def heft_example() -> Problem:
    """The ten tasks on three unlike processors of the HEFT paper (doi:10.1109/71.993206, figure 2)."""
    cycles = [(14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10), (13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16)]
    sent = {(1, 2): 18, (1, 3): 12, (1, 4): 9, (1, 5): 11, (1, 6): 14, (2, 8): 19, (2, 9): 16, (3, 7): 23, (4, 8): 27, (4, 9): 23, (5, 9): 13}
    sent |= {(6, 8): 15, (7, 10): 17, (8, 10): 11, (9, 10): 13}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for i, row in enumerate(cycles, start=1):
        graph.add_node(f"n{i}", cycles=dict(zip("abc", row, strict=True)))
    for (u, v), size in sent.items():
        graph.add_edge(f"n{u}", f"n{v}", bytes=size)
    classes = {name: SystolicArray(rows=1, cols=1) for name in "abc"}
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=1)
    return Problem.from_graph(graph, Platform(name="heft", classes=classes, processors=("a", "b", "c"), interconnect=link, clock_hz=1))


def test_heft_reproduces_its_paper() -> None:
    """Upward ranks of table 3 and the makespan 80 of figure 3."""
    problem = heft_example()
    expected = [108.000, 77.000, 80.000, 80.000, 69.000, 63.333, 42.667, 35.667, 44.333, 14.667]
    assert upward_rank(problem) == pytest.approx(expected, abs=5e-4)
    assert solve(problem, "list").objective == 80


def test_cpsat_beats_heft_on_its_own_example() -> None:
    """The optimum is known to be below 80; whatever is found is checked and bounded."""
    found = solve(heft_example(), "cpsat", deterministic_limit=5.0)
    assert found.objective is not None
    assert found.bound is not None
    assert found.bound <= found.objective < 80


def test_earliest_gap_inserts_between_busy_intervals() -> None:
    """Idle time is used as soon as it is long enough."""
    begins, ends = [2, 6, 10], [4, 9, 12]
    assert [earliest_gap(begins, ends, ready, 2) for ready in (0, 1, 3, 7, 11)] == [0, 4, 4, 12, 12]
    assert earliest_gap(begins, ends, 3, 0) == 3


def equal_stages(count: int, **options: object) -> Problem:
    """One layer per stage: F takes 2 cycles, B with W inside it 4, U none; communication is free."""
    graph: nx.DiGraph[str] = nx.DiGraph(layers=[f"l{i}" for i in range(count)])
    for i in range(count):
        for kind, cycles in (("F", 2), ("W", 4), ("U", 0)):
            graph.add_node(f"{kind}{i}", kind=kind, layer=f"l{i}", cycles=cycles)
        graph.add_edge(f"W{i}", f"U{i}")
        graph.add_edge(f"F{i}", f"W{i}")
        graph.add_edge(f"U{i}", f"F{i}", delay_layer=f"l{i}")
        if i:
            graph.add_edge(f"F{i - 1}", f"F{i}")
            graph.add_edge(f"W{i}", f"W{i - 1}")
    return Problem.from_graph(graph, count, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_asynchronous_stages_have_the_delays_of_1f1b(count: int) -> None:
    """D_l - 1 = stages after l, at a period of one forward and one backward."""
    found = solve(equal_stages(count, mode="periodic"), "stages")
    assert found.objective == 6
    assert found.metrics is not None
    assert [delay - 1 for _, delay in found.metrics.delays] == [count - 1 - i for i in range(count)]


@pytest.mark.parametrize(("count", "micro_batches"), [(2, 1), (3, 3), (4, 8), (4, 12)])
def test_finite_stages_have_the_length_of_1f1b(count: int, micro_batches: int) -> None:
    """(M + P - 1)(F + B) (Narayanan et al., PipeDream-flush; bubble (P - 1) / (M + P - 1))."""
    assert solve(equal_stages(count, mode="finite", micro_batches=micro_batches), "stages").objective == (micro_batches + count - 1) * 6


def test_sequential_has_no_staleness_and_no_traffic() -> None:
    """One processor: D = 1 everywhere."""
    found = solve(residual_problem(), "sequential")
    assert found.metrics is not None
    assert {delay for _, delay in found.metrics.delays} == {1}
    assert found.metrics.traffic_bytes == 0
    assert found.objective == int(found.problem.instance.duration[:, 0].sum())


durations = st.integers(1, 4).flatmap(
    lambda p: st.lists(st.lists(st.integers(0, 30), min_size=p, max_size=p), min_size=1, max_size=9).map(lambda rows: np.array(rows, dtype=np.int64))
)


@given(durations)
def test_balancing_never_gets_worse_than_longest_first(duration: np.ndarray) -> None:
    """Improvement keeps every task and never raises the largest load."""
    first = longest_first(duration)
    better = improve(duration, first)
    assert loads(duration, better).max() <= loads(duration, first).max()
    assert loads(duration, better).sum() == duration[np.arange(len(better)), better].sum()


def test_balancing_respects_eligibility() -> None:
    """A task that only one processor can run goes there."""
    duration = np.array([[-1, 5], [3, -1], [2, 2], [4, -1]])
    placed = balance(duration)
    assert placed[0] == 1
    assert placed[1] == 0
    assert placed[3] == 0


@given(st.integers(0, 10_000), st.integers(0, 60))
def test_decoding_is_feasible_at_any_period_that_holds_the_loads(seed: int, slack: int) -> None:
    """Whatever the assignment, priorities and slack: no overlap, no precedence violation; retiming never adds delay."""
    rng = random.Random(seed)
    problem = network_problem(windows=rng.choice([1, 2]), platform=arrays(rng.randint(1, 4), latency=rng.randint(0, 50)))
    count = problem.instance.size
    processor = [rng.randrange(len(problem.processors)) for _ in range(count)]
    period = int(loads(problem.instance.duration, np.array(processor)).max()) + slack
    decoder = Decoder(problem)
    start = decoder.fixed(period, processor, decoder.sequence([rng.random() for _ in range(count)]))
    schedule = schedule_of(processor, start, period)
    assert check(problem, schedule) == ()
    retimed = retime(problem, schedule)
    assert check(problem, retimed.normalised()) == ()
    assert layer_delays(problem, retimed)[0].sum() <= layer_delays(problem, schedule)[0].sum()


def test_modulo_meets_the_balanced_period() -> None:
    """The period of ``modulo`` is the largest load of its own assignment: nothing is lost to packing."""
    problem = network_problem(windows=4)
    found = solve(problem, "modulo", deterministic_limit=1.0)
    assert found.schedule is not None
    assert found.objective == loads(problem.instance.duration, balance(problem.instance.duration)).max()
