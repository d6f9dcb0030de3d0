"""The checker: every kind of violation once, wrap-around, delays against a slow replay."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, Interconnect, Limits, Platform, Problem, Schedule, SystolicArray
from spikepipe_sched.check import metrics, violations
from spikepipe_sched.problem import MAX_TIME
from tests.helpers import by_hand, in_turn, platform, scheduled, small_graph, training_problem
from tests.replay import Replay


def unlike(**options: Any) -> Problem:
    """a -> b on two classes of processor; the second cannot run b. 8 bytes: 1 + 2 cycles."""
    classes = {"big": SystolicArray(rows=2, cols=2, memory_bytes=100), "small": SystolicArray(rows=1, cols=1, memory_bytes=16)}
    link = Interconnect(latency_cycles=1, bandwidth_bytes_per_cycle=4)
    machine = Platform(name="unlike", classes=classes, processors=("big", "small"), interconnect=link, clock_hz=1)
    graph = small_graph({"a": {"big": 2, "small": 4}, "b": {"big": 3}}, {("a", "b"): {"bytes": 8}})
    return Problem.from_graph(graph, machine, **{"mode": "periodic"} | options)


def found(problem: Problem, schedule: Schedule) -> list[str]:
    return [str(violation) for violation in violations(problem, schedule)]


def test_a_feasible_schedule_has_no_violation() -> None:
    problem = unlike()
    assert found(problem, by_hand(problem, {"a": (0, 0), "b": (0, 2)}, period=5)) == []
    assert found(problem, by_hand(problem, {"a": (1, 0), "b": (0, 7)}, period=4)) == []


@pytest.mark.parametrize(
    ("tasks", "period", "message"),
    [
        ({"a": (0, 0), "b": (0, 2)}, None, "period: a periodic schedule needs a period"),
        ({"a": (0, 0), "b": (2, 2)}, 5, "processor: b is on processor 2, which does not exist"),
        ({"a": (0, 0), "b": (-1, 2)}, 5, "processor: b is on processor -1, which does not exist"),
        ({"a": (0, 0), "b": (1, 5)}, 5, "eligibility: b cannot run on p1"),
        ({"a": (0, -1), "b": (0, 2)}, 5, "start: a starts at -1, before 0"),
        ({"a": (0, 2**62), "b": (0, 2)}, 5, f"start: a start or the period is {2**62}, more than {MAX_TIME}"),
        ({"a": (0, 0), "b": (0, 2)}, 2**62, f"start: a start or the period is {2**62}, more than {MAX_TIME}"),
        ({"a": (0, 1), "b": (0, 7)}, 5, "overlap: a and b overlap on p0 modulo 5"),
        ({"a": (0, 0), "b": (0, 2)}, 4, "overlap: b and a overlap on p0 modulo 4"),
        ({"a": (0, 0), "b": (0, 1)}, 9, "precedence: b starts at 1, but a's result is there only at 2"),
        ({"a": (1, 0), "b": (0, 6)}, 9, "precedence: b starts at 6, but a's result is there only at 7"),
    ],
)
def test_a_broken_rule_is_named(tasks: dict[str, tuple[int, int]], period: int | None, message: str) -> None:
    problem = unlike()
    schedule = by_hand(problem, tasks, period)
    assert message in found(problem, schedule)
    assert len({violation.kind for violation in violations(problem, schedule)} - {"overlap", "precedence"}) <= 1


def test_a_finite_schedule_has_no_period() -> None:
    problem = unlike(mode="finite")
    assert found(problem, by_hand(problem, {"a": (0, 0), "b": (0, 2)}, period=9)) == ["period: a finite schedule has no period"]


def test_a_schedule_of_another_length_is_refused() -> None:
    schedule = Schedule(processor=np.array([0]), start=np.array([0]), period=9)
    assert found(unlike(), schedule) == ["tasks: the schedule has 1 entries, the problem 2"]


def test_micro_batches_stay_on_one_processor() -> None:
    problem = training_problem(1, 2, mode="finite", micro_batches=2)
    placed = {"F(l0)#0": (0, 0), "F(l0)#1": (1, 0), "W(l0)#0": (0, 20), "W(l0)#1": (0, 30), "U(l0)#0": (0, 40)}
    assert found(problem, by_hand(problem, placed)) == ["placement: F(l0)#1 is not on the processor of the task's first micro-batch"]


def test_an_edge_over_iterations_is_checked_at_its_period() -> None:
    problem = Problem.from_graph(small_graph({"a": 2, "b": 3}, {("b", "a"): {"distance": 2, "lag": 4}, ("a", "b"): {}}), 2)
    assert found(problem, by_hand(problem, {"a": (0, 0), "b": (0, 2)}, period=5)) == []  # b's result at 9, a two periods later at 10
    late = by_hand(problem, {"a": (0, 0), "b": (1, 2)}, period=4)
    assert found(problem, late) == ["precedence: a of 2 periods later starts at 8, but b's result is there only at 9"]


LIMITS = [
    (Limits(period_cycles=12), "period limit: the period is 13, the limit 12"),
    (Limits(delay=1), "delay limit: the delay of layer 'l0' is 2, the limit 1"),
    (Limits(layer_delay=(("l0", 1),)), "delay limit: the delay of layer 'l0' is 2, the limit 1"),
    (Limits(delay=5, layer_delay=(("l0", 1), ("l0", 7))), "delay limit: the delay of layer 'l0' is 2, the limit 1"),
    (Limits(traffic_bytes=15), "traffic limit: the traffic in bytes is 16, the limit 15"),
    (Limits(span_cycles=22), "span limit: the span of an iteration is 23, the limit 22"),
]


def two_stages(**options: Any) -> tuple[Problem, Schedule]:
    """One layer per processor: D of l0 is 2, of l1 1; 16 bytes cross."""
    problem = training_problem(**options)
    start = {"F(l0)": 0, "F(l1)": 7, "B(l1)": 11, "W(l1)": 15, "U(l1)": 19, "W(l0)": 18, "U(l0)": 22}
    return problem, by_hand(problem, {name: (int("l1" in name), s) for name, s in start.items()}, period=13)


@pytest.mark.parametrize(("limits", "message"), LIMITS)
def test_a_missed_limit_is_named(limits: Limits, message: str) -> None:
    problem, schedule = two_stages(limits=limits)
    assert found(problem, schedule) == [message]
    loose = {"period_cycles": 13, "delay": 2, "layer_delay": (("l0", 2),), "traffic_bytes": 16, "span_cycles": 23}
    relaxed, _ = two_stages(limits=Limits(**loose))
    assert found(relaxed, schedule) == []


def test_limits_on_makespan_and_memory() -> None:
    problem = unlike(mode="finite", limits=Limits(makespan_cycles=9))
    assert found(problem, by_hand(problem, {"a": (1, 0), "b": (0, 7)})) == ["makespan limit: the makespan is 10, the limit 9"]
    graph = small_graph({"a": 1, "b": 1}, {("a", "b"): {"bytes": 9}})
    machine = replace(platform(1), classes={"array": SystolicArray(rows=1, cols=1, memory_bytes=17)})
    problem = Problem.from_graph(graph, machine, mode="periodic")
    assert found(problem, by_hand(problem, {"a": (0, 0), "b": (0, 3)}, period=2)) == ["memory limit: the peak memory of p0 in bytes is 18, the limit 17"]


# -- overlap -----------------------------------------------------------------------------------------


def overlaps(cycles: list[int], starts: list[int], period: int | None) -> list[str]:
    graph = small_graph({f"t{i}": c for i, c in enumerate(cycles)})
    problem = Problem.from_graph(graph, 1, mode="finite" if period is None else "periodic")
    schedule = by_hand(problem, {f"t{i}": (0, s) for i, s in enumerate(starts)}, period)
    return [v.message for v in violations(problem, schedule) if v.kind == "overlap"]


def test_a_task_over_the_periods_end_meets_the_next_iterations_first() -> None:
    assert overlaps([2, 4], [0, 8], 10) == ["t1 and t0 overlap on p0 modulo 10"]
    assert overlaps([2, 4], [2, 8], 10) == []
    assert overlaps([2, 4], [12, 38], 10) == []


def test_a_task_longer_than_the_period_meets_itself() -> None:
    assert overlaps([6], [3], 5) == ["t0 is longer than the period 5"]
    assert overlaps([5], [3], 5) == []


def test_a_long_task_meets_all_it_covers() -> None:
    assert overlaps([9, 1, 1], [0, 2, 5], None) == ["t0 and t1 overlap on p0", "t0 and t2 overlap on p0"]


def test_zero_cycle_tasks_take_no_part() -> None:
    """They may start in the middle of another task, at its ends, and all at once."""
    assert overlaps([4, 0, 0, 0], [0, 2, 2, 4], 4) == []
    assert overlaps([4, 0, 0], [0, 2, 0], None) == []


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=5), st.one_of(st.none(), st.integers(1, 12)))
def test_overlap_agrees_with_counting_every_cycle(tasks: list[tuple[int, int]], period: int | None) -> None:
    used = [cycle if period is None else cycle % period for c, s in tasks for cycle in range(s, s + c)]
    assert bool(overlaps([c for c, _ in tasks], [s for _, s in tasks], period)) == (len(used) != len(set(used)))


# -- delays ------------------------------------------------------------------------------------------


def delays(problem: Problem, schedule: Schedule) -> tuple[dict[str, int], dict[str, int]]:
    figures = metrics(problem, schedule)
    return dict(figures.delays), dict(figures.backward_delays)


def loop(*, forward_lag: int = 0, **options: Any) -> Problem:
    """F(a) -> B(a) -> U(a), 4 cycles of transfer for weights, none for the rest."""
    graph = small_graph({"F(a)": 2, "B(a)": 2, "U(a)": 1}, {("F(a)", "B(a)"): {}, ("B(a)", "U(a)"): {}})
    graph.add_edge("U(a)", "F(a)", delay_layer="a", tensors={"w": 12}, lag=forward_lag)
    graph.add_edge("U(a)", "B(a)", delay_layer="a", tensors={"w": 12})
    return Problem.from_graph(graph, platform(), **options)


@pytest.mark.parametrize(
    ("starts", "period", "delay"),
    [
        ({"F(a)": (0, 0), "B(a)": (0, 2), "U(a)": (0, 4)}, 5, 1),  # the update ends as the next iteration begins
        ({"F(a)": (0, 0), "B(a)": (0, 2), "U(a)": (0, 5)}, 5, 2),
        ({"F(a)": (0, 0), "B(a)": (0, 2), "U(a)": (1, 4)}, 9, 1),  # 5 + 4 cycles to send the weights
        ({"F(a)": (0, 0), "B(a)": (0, 2), "U(a)": (1, 4)}, 8, 2),
        ({"F(a)": (0, 0), "B(a)": (1, 2), "U(a)": (1, 4)}, 3, 3),
    ],
)
def test_delays_by_hand(starts: dict[str, tuple[int, int]], period: int, delay: int) -> None:
    problem = loop()
    assert delays(problem, by_hand(problem, starts, period)) == ({"a": delay}, {"a": delay})


def test_a_lag_on_the_way_back_counts() -> None:
    starts = {"F(a)": (0, 0), "B(a)": (0, 2), "U(a)": (0, 4)}
    for lag, delay in ((0, 1), (1, 2), (5, 2), (6, 3), (-5, 1)):
        problem = loop(forward_lag=lag)
        assert delays(problem, by_hand(problem, starts, 5))[0] == {"a": delay}


def test_b_reads_the_version_of_f_or_its_own() -> None:
    """Stashed, B's far copy of the weights holds F back too; with the latest weights each waits for its own."""
    starts = {"F(a)": (1, 0), "B(a)": (0, 2), "U(a)": (1, 4)}
    problem = loop()
    assert delays(problem, by_hand(problem, starts, 6)) == ({"a": 2}, {"a": 2})
    latest = loop(weights="latest")
    assert delays(latest, by_hand(latest, starts, 6)) == ({"a": 1}, {"a": 2})
    near = by_hand(latest, {"F(a)": (0, 0), "B(a)": (1, 6), "U(a)": (1, 8)}, 6)
    assert delays(latest, near) == ({"a": 3}, {"a": 1})


def test_a_layer_that_no_forward_task_reads_has_the_least_delay() -> None:
    graph = small_graph({"B(a)": 2, "U(a)": 1}, {("B(a)", "U(a)"): {}, ("U(a)", "B(a)"): {}})
    graph.edges["U(a)", "B(a)"]["delay_layer"] = "a"
    problem = Problem.from_graph(graph, 1, weights="latest")
    schedule = by_hand(problem, {"B(a)": (0, 0), "U(a)": (0, 5)}, 3)
    assert delays(problem, schedule) == ({"a": 1}, {"a": 2})
    assert delays(replace(problem, weights="stash"), schedule) == ({"a": 2}, {"a": 2})


def test_copies_share_one_delay() -> None:
    """K = 2: even iterations on p0, odd ones on p1; every iteration waits for the weights of the other processor or goes one further back."""
    problem = loop(unroll=2)
    placed = {f"{name}#{i}": (i, start + 5 * i) for name, start in (("F(a)", 0), ("B(a)", 2), ("U(a)", 4)) for i in range(2)}
    # The update of j ends at 5 (j + 1) and reaches the other processor at 5 (j + 1) + 4, after iteration j + 1's start.
    assert delays(problem, by_hand(problem, placed, 10))[0] == {"a": 2}
    same = {name: (0, start) for name, (_, start) in placed.items()}
    assert delays(problem, by_hand(problem, same, 10))[0] == {"a": 1}


@settings(max_examples=100)
@given(scheduled("periodic"))
def test_delays_equal_a_replay_of_versions(case: tuple[Problem, Schedule]) -> None:
    """Iteration by iteration, one to three copies, both weight policies, lags of both signs."""
    problem, schedule = case
    forward, backward = Replay(problem, schedule).delays()
    expected = ({problem.layers[i]: d for i, d in forward.items()}, {problem.layers[i]: d for i, d in backward.items()})
    assert delays(problem, schedule) == expected


@pytest.mark.parametrize("weights", ["stash", "latest"])
@pytest.mark.parametrize("unroll", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_delays_of_training_equal_a_replay(unroll: int, weights: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = training_problem(3, 3, unroll=unroll, weights=weights)
    schedule = in_turn(problem, processor=rng.integers(0, 3, problem.instance.size))
    schedule = replace(schedule, start=schedule.start + rng.integers(0, 50, problem.instance.size), period=int(rng.integers(20, 120)))
    forward, backward = Replay(problem, schedule).delays()
    assert delays(problem, schedule) == ({f"l{i}": d for i, d in forward.items()}, {f"l{i}": d for i, d in backward.items()})


# -- figures -----------------------------------------------------------------------------------------


def test_figures_of_a_hand_made_schedule() -> None:
    problem, schedule = two_stages()
    figures = metrics(problem, schedule)
    assert figures.length_cycles == 13
    assert figures.busy_cycles == (9, 13)
    assert figures.utilisation == pytest.approx(22 / 26)
    assert figures.mac_utilisation == pytest.approx(5 * 8 / (8 * 13))
    assert figures.delays == (("l0", 2), ("l1", 1))
    assert [figures.value(name) for name in problem.objective] == [13, 3, 16, figures.memory_bytes]
    assert figures.memory_bytes == max(Replay(problem, schedule).peaks())


def test_the_span_ends_with_the_last_result() -> None:
    problem = Problem.from_graph(small_graph({"a": 2, "b": 3}, {("a", "b"): {"lag": 9}, ("b", "a"): {"distance": 5}}), 2)
    assert metrics(problem, by_hand(problem, {"a": (0, 4), "b": (0, 15)}, 5)).span_cycles == 14
    assert metrics(problem, by_hand(problem, {"a": (0, 4), "b": (0, 7)}, 5)).span_cycles == 11


# -- schedules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": [0.5, 1.0]},
        {"start": [0]},
        {"start": [[0, 1]], "processor": [[0, 0]]},
        {"processor": ["0", "1"]},
        {"start": np.array([2**63, 0], dtype=np.uint64)},
        {"start": [10**30, 0]},
        {"period": 0},
        {"period": -3},
        {"period": 2.5},
        {"period": True},
    ],
)
def test_a_schedule_holds_whole_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="schedule: "):
        Schedule(**{"processor": [0, 0], "start": [0, 1], "period": 4} | wrong)


def test_schedules_compare_by_value_and_shift_to_zero() -> None:
    first = Schedule(processor=np.array([0, 1]), start=np.array([3, 5]), period=4)
    assert first == Schedule(processor=np.array([0, 1]), start=np.array([3, 5]), period=np.int64(4))  # pyright: ignore[reportArgumentType]
    assert len({first, replace(first), replace(first, period=5)}) == 2
    assert first.normalised().start.tolist() == [0, 2]
    assert not first.start.flags.writeable
