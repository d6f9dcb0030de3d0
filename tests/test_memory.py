"""Lifetimes and peaks, by hand and against a slow replay."""

from bisect import bisect_right
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Problem, Schedule
from spikepipe_sched.check import layer_delays, metrics
from spikepipe_sched.memory import lifetimes, memory_profiles
from spikepipe_sched.traffic import flows
from tests.helpers import by_hand, platform, scheduled, small_graph, training_problem
from tests.replay import Replay


def lives(problem: Problem, schedule: Schedule) -> list[tuple[int, ...]]:
    """(processor, begin, end, bytes), sorted; empty lifetimes left out."""
    place, begin, end, size = lifetimes(problem, schedule, flows(problem, *layer_delays(problem, schedule)))
    return sorted(row for row in zip(place.tolist(), begin.tolist(), end.tolist(), size.tolist(), strict=True) if row[1] < row[2])


def pair(**edge: object) -> Problem:
    """a (2 cycles) -> b (3 cycles), 10 bytes: 1 + 3 cycles to send."""
    return Problem.from_graph(small_graph({"a": 2, "b": 3}, {("a", "b"): {"bytes": 10} | edge}), platform(), mode="periodic")


@pytest.mark.parametrize(("start", "peak"), [(2, 10), (7, 20), (8, 30), (9, 30), (12, 30), (13, 40)])
def test_a_tensor_lives_from_its_producers_start_to_its_readers_end(start: int, peak: int) -> None:
    """At period 5, with the lifetime [0, start + 3): as many copies as periods it touches."""
    schedule = by_hand(pair(), {"a": (0, 0), "b": (0, start)}, period=5)
    assert lives(pair(), schedule) == [(0, 0, start + 3, 10)]
    assert metrics(pair(), schedule).peak_memory_bytes == (peak, 0)


def test_a_tensor_that_is_sent_lies_on_both_sides() -> None:
    """Until the transfer ends, and from the producer's end."""
    schedule = by_hand(pair(), {"a": (0, 0), "b": (1, 8)}, period=20)
    assert lives(pair(), schedule) == [(0, 0, 2 + 4, 10), (1, 2, 11, 10)]


def test_a_late_result_is_sent_late() -> None:
    schedule = by_hand(pair(lag=5), {"a": (0, 0), "b": (1, 11)}, period=20)
    assert lives(pair(lag=5), schedule) == [(0, 0, 2 + 5 + 4, 10), (1, 2, 14, 10)]


def test_a_reader_of_a_later_iteration_keeps_the_tensor() -> None:
    schedule = by_hand(pair(distance=2), {"a": (0, 0), "b": (0, 2)}, period=5)
    assert lives(pair(distance=2), schedule) == [(0, 0, 5 + 2 * 5, 10)]
    assert metrics(pair(distance=2), schedule).peak_memory_bytes == (30, 0)


def test_one_copy_serves_all_readers_of_a_processor() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1, "d": 1}, {("a", x): {"tensors": {"out": 4}} for x in "bcd"})
    problem = Problem.from_graph(graph, platform(), mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0), "b": (0, 1), "c": (1, 3), "d": (1, 6)}, period=10)
    assert lives(problem, schedule) == [(0, 0, 1 + 2, 4), (1, 1, 7, 4)]


def test_intervals_are_half_open() -> None:
    """What ends when another begins does not meet it."""
    graph = small_graph({"a": 1, "b": 1, "c": 1, "d": 1}, {("a", "b"): {"bytes": 7}, ("c", "d"): {"bytes": 5}})
    problem = Problem.from_graph(graph, 1, mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0), "b": (0, 1), "c": (0, 2), "d": (0, 3)}, period=4)
    assert metrics(problem, schedule).peak_memory_bytes == (7,)


def test_a_lifetime_over_the_periods_end_meets_the_next_iteration() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1, "d": 1}, {("a", "b"): {"bytes": 7}, ("c", "d"): {"bytes": 5}})
    problem = Problem.from_graph(graph, 1, mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0), "b": (0, 1), "c": (0, 3), "d": (0, 6)}, period=4)  # [0, 2) and [3, 7) = [3, 4) + [0, 3)
    assert metrics(problem, schedule).peak_memory_bytes == (12,)


def test_gradient_sums_live_from_the_first_share_to_the_updates_end() -> None:
    """On the senders too; the receiver holds the sum from the end of the last share."""
    shares = {"W(a,0)": 2, "W(a,1)": 2, "W(a,2)": 2}
    graph = small_graph({**shares, "U(a)": 1}, {(w, "U(a)"): {"tensors": {"gradient": 8}} for w in shares})
    problem = Problem.from_graph(graph, platform(3), mode="periodic")
    placed = {"W(a,0)": (0, 0), "W(a,1)": (0, 2), "W(a,2)": (1, 1), "U(a)": (2, 7)}
    assert lives(problem, by_hand(problem, placed, period=20)) == [(0, 0, 8, 8), (1, 1, 8, 8), (2, 3, 8, 8), (2, 4, 8, 8)]
    together = {"W(a,0)": (0, 0), "W(a,1)": (0, 2), "W(a,2)": (0, 4), "U(a)": (0, 7)}
    assert lives(problem, by_hand(problem, together, period=20)) == [(0, 0, 8, 8)]


def test_weights_live_until_their_last_reader_delays_later() -> None:
    graph = small_graph({"F(a)": 2, "B(a)": 3, "U(a)": 1}, {("F(a)", "B(a)"): {}, ("B(a)", "U(a)"): {}})
    for reader in ("F(a)", "B(a)"):
        graph.add_edge("U(a)", reader, delay_layer="a", tensors={"weights": 16})
    problem = Problem.from_graph(graph, platform())
    schedule = by_hand(problem, {"F(a)": (0, 0), "B(a)": (0, 5), "U(a)": (0, 8)}, period=6)
    assert metrics(problem, schedule).delays == (("a", 2),)  # U ends at 9; F of 2 iterations later starts at 12
    assert lives(problem, schedule) == [(0, 8, 8 + 2 * 6, 16)]  # B ends at 8
    latest = replace(problem, weights="latest")
    assert metrics(latest, schedule).backward_delays == (("a", 1),)  # B of the next iteration starts at 11
    assert lives(latest, schedule) == [(0, 8, max(2 + 2 * 6, 8 + 6), 16)]


def test_weights_of_a_finite_run_are_resident() -> None:
    """With the update all the time, where F and B read them from 0 to the last reader's end; the sum of gradients as produced."""
    problem = training_problem(1, 3, mode="finite", micro_batches=2)
    placed = {"F(l0)#0": (1, 0), "F(l0)#1": (1, 4), "W(l0)#0": (0, 4), "W(l0)#1": (0, 8), "U(l0)#0": (2, 17)}
    expected = [(0, 4, 18, 16), (1, 0, 8, 16), (2, 0, 18, 16), (2, 0, 18, 16), (2, 12, 18, 16)]  # gradient; weights; weights, state, gradient
    assert lives(problem, by_hand(problem, placed)) == expected


def test_copies_are_sent_like_tasks() -> None:
    """Unrolled twice, alternating processors: each copy's state goes to the other side."""
    problem = Problem.from_graph(small_graph({"a": 2}, {("a", "a"): {"distance": 1, "bytes": 4}}), platform(), mode="periodic", unroll=2)
    schedule = by_hand(problem, {"a#0": (0, 0), "a#1": (1, 5)}, period=10)
    # a#0 -> a#1 of the same period, a#1 -> a#0 of the next; a transfer takes 2 cycles.
    assert lives(problem, schedule) == [(0, 0, 4, 4), (0, 7, 12, 4), (1, 2, 7, 4), (1, 5, 9, 4)]


def test_sums_beyond_64_bits_are_exact() -> None:
    """A schedule that keeps 2^40 iterations of 2^40 bytes is refused, not wrapped around."""
    problem = Problem.from_graph(small_graph({"a": 1, "b": 0}, {("a", "b"): {"bytes": 2**40}}), 1, mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0), "b": (0, 2**40)}, period=1)
    assert metrics(problem, schedule).peak_memory_bytes == (2**80,)


def test_a_problem_without_tensors_needs_no_memory() -> None:
    for mode in ("periodic", "finite"):
        problem = Problem.from_graph(small_graph({"a": 1, "b": 0}, [("a", "b")]), 2, mode=mode)
        schedule = by_hand(problem, {"a": (0, 0), "b": (1, 1)}, period=1 if mode == "periodic" else None)
        assert metrics(problem, schedule).peak_memory_bytes == (0, 0)


@settings(max_examples=80)
@given(scheduled())
def test_peaks_equal_a_replay_of_many_iterations(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    assert metrics(problem, schedule).peak_memory_bytes == Replay(problem, schedule).peaks()


@settings(max_examples=25)
@given(scheduled(), st.randoms(use_true_random=False))
def test_profiles_equal_a_replay_at_any_time(case: tuple[Problem, Schedule], rng: Random) -> None:
    problem, schedule = case
    length = schedule.period or metrics(problem, schedule).length_cycles
    profiles = memory_profiles(problem, schedule, flows(problem, *layer_delays(problem, schedule)))
    replay, peaks = Replay(problem, schedule), list[int]()
    for p, profile in enumerate(profiles):
        times, levels = profile.steps()
        assert times[0] == 0
        assert times == sorted(set(times))
        for time in rng.sample(range(length), min(length, 2)) + [time for time in rng.sample(times, min(len(times), 2)) if time < length]:
            assert levels[bisect_right(times, time) - 1] == replay.held(p, time)
        peaks.append(max(levels))
    assert tuple(peaks) == metrics(problem, schedule).peak_memory_bytes


@settings(max_examples=40)
@given(scheduled("periodic"))
def test_peaks_of_sums_equal_a_replay(case: tuple[Problem, Schedule]) -> None:
    """The same with every tensor a share of one sum."""
    problem, schedule = case
    if len(problem.tensors) > 1:
        problem = replace(problem, edges=replace(problem.edges, tensor=problem.edges.tensor * 0))
    assert metrics(problem, schedule).peak_memory_bytes == Replay(problem, schedule).peaks()
