"""Bounds on delays: by hand, against cutting paths in every way, and against every start."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from spikepipe_sched import Limits, Problem
from spikepipe_sched.bounds import delay as delay_module
from spikepipe_sched.bounds import delay_bound, layer_lengths, layer_paths, period_bound
from spikepipe_sched.bounds.delay import cut_path, stretches
from spikepipe_sched.bounds.delay import least_delays as least_delay_bounds
from tests.bounds.exhaustive import least_delays, rich_problem
from tests.bounds.test_heads import machine
from tests.helpers import small_graph, training_problem


def layered(
    cycles: Mapping[str, Any], edges: Mapping[tuple[str, str], Mapping[str, int]], classes: str, back: Mapping[str, int] | None = None, **options: Any
) -> Problem:
    """A graph from F(a) to U(a), which F(a) reads."""
    graph = small_graph(cycles, edges)
    graph.add_edge("U(a)", "F(a)", delay_layer="a", **(back or {}))
    return Problem.from_graph(graph, machine(classes), mode="periodic", **options)


def test_what_lies_between_shares_the_processors() -> None:
    """F, four W of 3 cycles on two processors, U: 8 cycles, though the path is 5."""
    wgrads = [f"W(a,{i})" for i in range(4)]
    edges = {("F(a)", w): {} for w in wgrads} | {(w, "U(a)"): {} for w in wgrads}
    problem = layered({"F(a)": 1, "U(a)": 1} | dict.fromkeys(wgrads, 3), edges, "pp")
    assert (layer_paths(problem).tolist(), layer_lengths(problem).tolist()) == ([5], [8])
    assert delay_bound(problem, 7).value == 2
    assert delay_bound(problem, 7).source == "F..U with transfers and load over the period"
    assert delay_bound(problem, 8).value == 1
    assert delay_bound(problem, 8).source == "path: longest F..U over the period"


def test_only_what_lies_between_counts() -> None:
    """What follows the update, and what it does not wait for, may run whenever."""
    problem = layered({"F(a)": 1, "B": 9, "U(a)": 1, "E": 9}, {("F(a)", "U(a)"): {}, ("F(a)", "B"): {}, ("E", "U(a)"): {}}, "p")
    assert layer_lengths(problem).tolist() == [2]
    assert least_delay_bounds(problem, 20).tolist() == [1]


def test_an_update_that_waits_for_no_reader_has_no_length() -> None:
    problem = layered({"F(a)": 1, "W(a)": 5, "U(a)": 1}, {("W(a)", "U(a)"): {}}, "p")
    assert layer_lengths(problem).tolist() == [0]
    assert least_delay_bounds(problem, 7).tolist() == [1]


def test_transfers_or_a_shared_processor_lengthen_a_join() -> None:
    problem = layered({"F(a)": 1, "x": 4, "y": 4, "U(a)": 1}, {("F(a)", n): {} for n in "xy"} | {(n, "U(a)"): {"bytes": 3} for n in "xy"}, "pp")
    assert (layer_paths(problem).tolist(), layer_lengths(problem).tolist()) == ([6], [9])
    assert least_delays(problem, 7) == 2 == delay_bound(problem, 7).value


def test_the_way_back_pays_a_transfer_if_no_class_runs_both() -> None:
    problem = layered({"F(a)": {"p": 2}, "U(a)": {"q": 1}}, {("F(a)", "U(a)"): {"bytes": 1}}, "pq", {"bytes": 5})
    assert layer_lengths(problem).tolist() == [2 + 1 + 1 + 5]
    assert least_delays(problem, 8) == 2 == delay_bound(problem, 8).value
    assert least_delays(problem, 9) == 1 == delay_bound(problem, 9).value
    assert period_bound(replace(problem, limits=Limits(delay=1))).value == 9
    mixed = layered({"F(a)": {"p": 2}, "U(a)": {"p": 2, "q": 1}}, {("F(a)", "U(a)"): {"bytes": 1}}, "pq", {"bytes": 5})
    assert layer_lengths(mixed).tolist() == [4]


@pytest.mark.parametrize(("lag", "length"), [(0, 8), (3, 11), (-2, 6)])
def test_lags_on_the_way_back_move_the_origin(lag: int, length: int) -> None:
    wgrads = [f"W(a,{i})" for i in range(4)]
    edges = {("F(a)", w): {} for w in wgrads} | {(w, "U(a)"): {} for w in wgrads}
    problem = layered({"F(a)": 1, "U(a)": 1} | dict.fromkeys(wgrads, 3), edges, "pp", {"lag": lag})
    assert layer_lengths(problem).tolist() == [length]


def test_a_path_longer_than_a_period_changes_processors() -> None:
    """Of a chain of 4 + 4 + 1 cycles a processor holds two at a period of 8, and one at 4; 2 bytes are cheaper than 3."""
    edges = {("F(a)", "W(a)"): {"bytes": 3}, ("W(a)", "U(a)"): {"bytes": 2}}
    problem = layered({"F(a)": 4, "W(a)": 4, "U(a)": 1}, edges, "ppp")
    (stretch,) = stretches(problem)
    assert [cut_path(stretch, capacity) for capacity in (9, 8, 7, 5, 4)] == [9, 11, 12, 12, 14]
    assert delay_bound(problem, 5).value == 3 == least_delays(problem, 5)
    unrolled = layered({"F(a)": 4, "W(a)": 4, "U(a)": 1}, edges, "ppp", unroll=2)
    assert delay_bound(unrolled, 8).value == 3  # 2 * 11 / 8: both iterations cut
    assert delay_bound(unrolled, 9).value == 2  # 2 * 9 / 9


def test_under_latest_only_forward_readers_count() -> None:
    graph = small_graph({"F(a)": 1, "B(a)": 5, "U(a)": 1}, {("F(a)", "U(a)"): {}, ("B(a)", "U(a)"): {}})
    for reader in ("F(a)", "B(a)"):
        graph.add_edge("U(a)", reader, delay_layer="a")
    for weights, length in (("stash", 6), ("latest", 2)):
        assert layer_lengths(Problem.from_graph(graph, machine("pp"), weights=weights)).tolist() == [length]


def cheapest_cuts(cycles: list[int], price: list[int], parted: list[bool], capacity: int) -> int:
    """Least transfers over all ways to cut a chain into runs that fit, single tasks always do."""
    costs = []
    for cut in itertools.product([False, True], repeat=len(price)):
        ends = [i + 1 for i, here in enumerate(cut) if here]
        runs = [range(i, j) for i, j in zip([0, *ends], [*ends, len(cycles)], strict=True)]
        fits = all(len(run) == 1 or sum(cycles[i] for i in run) <= capacity for run in runs)
        if fits and all(here or not apart for here, apart in zip(cut, parted, strict=True)):
            costs.append(sum(p for p, here in zip(price, cut, strict=True) if here))
    return min(costs)


@pytest.mark.parametrize("seed", range(60))
def test_the_cuts_are_the_cheapest(seed: int) -> None:
    """A chain whose tasks run on class p, q or both; lags of both signs."""
    rng = random.Random(seed)
    n = rng.randint(2, 9)
    names = ["F(a)", *(f"x{i}" for i in range(n - 2)), "U(a)"]
    cycles = [rng.randint(1, 9) for _ in range(n)]
    able = [rng.choice(["pq", "pq", "pq", "p", "q"]) for _ in range(n)]
    price = [rng.randint(0, 9) for _ in range(n - 1)]
    lags = [rng.randint(-2, 2) for _ in range(n - 1)]
    edges = {(u, v): {"bytes": b, "lag": lag} for u, v, b, lag in zip(names, names[1:], price, lags, strict=False)}
    problem = layered({name: dict.fromkeys(some, c) for name, c, some in zip(names, cycles, able, strict=True)}, edges, "ppqq")
    (stretch,) = stretches(problem)
    parted = [not set(a) & set(b) for a, b in itertools.pairwise(able)]
    for capacity in (1, 9, 12, 20, 100):
        assert cut_path(stretch, capacity) == sum(cycles) + sum(lags) + cheapest_cuts(cycles, price, parted, capacity)


def test_delay_bounds_never_exceed_the_best_start() -> None:
    """On problems with copies, unlike processors, lags, under both policies, at the least periods."""
    compared = raised = exact = 0
    for seed in range(150):
        problem = rich_problem(seed, "periodic", tasks=4)
        period = period_bound(problem).value
        for length in (period, period + 1):
            best = least_delays(problem, length, most_rows=100_000)
            if best is None or best < 0:
                continue
            bound = delay_bound(problem, length).value
            plain = max(1, -(-int(layer_paths(problem).max()) * problem.unroll // length))
            assert plain <= bound <= best, (seed, length)
            compared, raised, exact = compared + 1, raised + (bound > plain), exact + (bound == best)
    assert compared >= 100
    assert raised >= 4
    assert exact >= 0.7 * compared


def test_periods_below_the_bound_cannot_keep_their_limits() -> None:
    """Every period at which some schedule keeps a delay limit is allowed by the bound."""
    compared = tight = 0
    for seed in range(40):
        problem = rich_problem(seed, "periodic", tasks=3)
        for limit in (1, 2):
            bound = period_bound(replace(problem, limits=Limits(delay=limit)))
            found = next((p for p in range(1, 9) if 0 < (least_delays(problem, p, most_rows=100_000) or 0) <= limit), None)
            if found is not None and problem.weights == "stash":
                compared, tight = compared + 1, tight + (bound.value == found)
                assert bound.value <= found, (seed, limit)
    assert compared >= 15
    assert tight >= compared // 2


@pytest.mark.parametrize("unroll", [1, 2])
def test_a_longer_period_never_needs_more_delay(unroll: int) -> None:
    problem = training_problem(4, 3, unroll=unroll)
    sums = [delay_bound(problem, period).value for period in range(4, 120)]
    assert sums == sorted(sums, reverse=True)
    assert (sums[0], sums[-1]) == (max(sums), 4)


def test_very_large_problems_keep_to_the_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    assert least_delay_bounds(training_problem(2, 2), 4).tolist() == [7, 4]
    monkeypatch.setattr(delay_module, "MOST_CHOICES", 10)
    problem = training_problem(2, 2)
    assert least_delay_bounds(problem, 4).tolist() == [5, 3]
    assert layer_lengths(problem).tolist() == layer_paths(problem).tolist()


def test_a_problem_without_delays_has_none() -> None:
    problem = Problem.from_graph(small_graph({"F(a)": 1, "U(a)": 1}, [("F(a)", "U(a)")]), 2, mode="periodic")
    assert least_delay_bounds(problem, 2).tolist() == [0]
    assert delay_bound(problem, 2).value == 0
