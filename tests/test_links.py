"""Shared links: every rule by hand, and any schedule against a replay cycle by cycle."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, Interconnect, Problem, Schedule
from spikepipe_sched.bounds import objective_bound
from spikepipe_sched.check import metrics, violations
from spikepipe_sched.export.chrome import chrome_trace
from spikepipe_sched.transfers import transfers
from tests.helpers import by_hand, hand_result, in_turn, pipelined_result, platform, problems, scheduled, small_graph, training_problem
from tests.replay import Replay

SHARINGS = ("bus", "ports", "pairs")


def with_sharing(problem: Problem, sharing: str, **changes: Any) -> Problem:
    finite = {"bandwidth_bytes_per_cycle": problem.interconnect.bandwidth_bytes_per_cycle or 1}
    return replace(problem, interconnect=replace(problem.interconnect, **({"sharing": sharing} | finite | changes)))


def shared_problem(sharing: str, edges: dict[tuple[str, str], dict[str, Any]], *, processors: int = 4, **options: Any) -> Problem:
    """Tasks of 2 cycles; 1 cycle of latency, 4 bytes a cycle."""
    names = sorted({name for edge in edges for name in edge})
    problem = Problem.from_graph(small_graph(dict.fromkeys(names, 2), edges), platform(processors), **{"mode": "finite"} | options)
    return with_sharing(problem, sharing)


def timed(problem: Problem, tasks: dict[str, tuple[int, int]], sent: dict[tuple[str, int, int], int], period: int | None = None) -> Schedule:
    """A schedule from {task: (processor, start)} and {(tensor, sender, receiver): start}."""
    schedule = by_hand(problem, tasks, period)
    found = transfers(problem, schedule.processor)
    assert len(sent) == found.size
    return replace(schedule, transfers=np.array([sent[problem.tensors[t], p, q] for t, _, p, q in found.rows()], dtype=np.int64))


def found(problem: Problem, schedule: Schedule) -> list[str]:
    return [str(violation) for violation in violations(problem, schedule)]


# -- by hand -----------------------------------------------------------------------------------------

#: a -> b and c -> d, 8 bytes each: 2 cycles on the link, 1 of latency.
TWO = {("a", "b"): {"bytes": 8}, ("c", "d"): {"bytes": 8}}
AB, CD = "a -> b", "c -> d"


def test_a_transfer_and_its_reader_in_time() -> None:
    problem = shared_problem("bus", TWO)
    schedule = timed(problem, {"a": (0, 0), "b": (1, 5), "c": (2, 0), "d": (3, 7)}, {(AB, 0, 1): 2, (CD, 2, 3): 4})
    assert found(problem, schedule) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ab": 1}, "transfer: a -> b from p0 to p1 starts at 1, but is complete only at 2"),
        ({"b": 4}, "precedence: b starts at 4, but a's result is there only at 5"),
        ({"cd": 3, "d": 6}, "link: a -> b from p0 to p1 and c -> d from p2 to p3 overlap on the bus"),
    ],
)
def test_a_broken_rule_is_named(change: dict[str, int], message: str) -> None:
    problem, when = shared_problem("bus", TWO), {"ab": 2, "cd": 4, "b": 5, "d": 7} | change
    schedule = timed(problem, {"a": (0, 0), "b": (1, when["b"]), "c": (2, 0), "d": (3, when["d"])}, {(AB, 0, 1): when["ab"], (CD, 2, 3): when["cd"]})
    assert found(problem, schedule) == [message]
    assert violations(problem, schedule)[0].tasks == (("a", "c") if "bus" in message else ("a", "b") if "precedence" in message else ("a",))


@pytest.mark.parametrize(
    ("sharing", "places", "on"),
    [
        ("bus", (0, 1, 2, 3), "the bus"),
        ("ports", (0, 1, 2, 3), None),
        ("ports", (0, 1, 0, 3), "the sending port of p0"),
        ("ports", (0, 1, 2, 1), "the receiving port of p1"),
        ("ports", (0, 1, 1, 0), None),  # a port for each direction
        ("pairs", (0, 1, 0, 3), None),
        ("pairs", (0, 1, 1, 0), None),
        ("pairs", (0, 1, 0, 1), "the link p0 to p1"),
    ],
)
def test_what_transfers_share(sharing: str, places: tuple[int, int, int, int], on: str | None) -> None:
    """Both at once: the second sender's task comes first where both send from one processor."""
    problem = shared_problem(sharing, TWO)
    a, b, c, d = places
    tasks = {"a": (a, 2), "b": (b, 7), "c": (c, 0), "d": (d, 12)}
    schedule = timed(problem, tasks, {(AB, a, b): 4, (CD, c, d): 5})
    expected = [] if on is None else [f"link: a -> b from p{a} to p{b} and c -> d from p{c} to p{d} overlap on {on}"]
    assert found(problem, schedule) == expected


@pytest.mark.parametrize(("start", "fits"), [(9, True), (10, True), (11, False), (12, False), (13, False), (14, True)])
def test_links_are_taken_modulo_the_period(start: int, fits: bool) -> None:
    """At period 5 the other transfer holds the bus in cycles 2 and 3 of each."""
    problem = shared_problem("bus", TWO, mode="periodic")
    schedule = timed(problem, {"a": (0, 0), "b": (1, 5), "c": (2, 0), "d": (3, 20)}, {(AB, 0, 1): 2, (CD, 2, 3): start}, period=5)
    assert [v.kind for v in violations(problem, schedule)] == ([] if fits else ["link"])


def test_a_transfer_longer_than_the_period() -> None:
    problem = shared_problem("pairs", {("a", "b"): {"bytes": 24}}, mode="periodic")
    schedule = timed(problem, {"a": (0, 0), "b": (1, 9)}, {(AB, 0, 1): 2}, period=5)
    assert found(problem, schedule) == ["link: a -> b from p0 to p1 is longer than the period 5"]


def test_the_latency_does_not_hold_the_link() -> None:
    problem = with_sharing(shared_problem("bus", TWO), "bus", latency_cycles=50)
    schedule = timed(problem, {"a": (0, 0), "b": (1, 54), "c": (2, 0), "d": (3, 56)}, {(AB, 0, 1): 2, (CD, 2, 3): 4})
    assert found(problem, schedule) == []


def test_a_tensor_goes_once_to_all_readers_of_a_processor() -> None:
    edges = {("a", x): {"tensors": {"out": 8}} for x in "bcd"}
    problem = shared_problem("bus", edges)
    tasks = {"a": (0, 0), "b": (1, 5), "c": (1, 7), "d": (2, 7)}
    assert found(problem, timed(problem, tasks, {("out", 0, 1): 2, ("out", 0, 2): 4})) == []


def test_a_sum_is_sent_after_the_last_share() -> None:
    problem = shared_problem("bus", {(x, "d"): {"tensors": {"sum": 8}} for x in "abc"})
    tasks = {"a": (0, 0), "b": (0, 2), "c": (1, 0), "d": (2, 9)}
    assert found(problem, timed(problem, tasks, {("sum", 0, 2): 6, ("sum", 1, 2): 4})) == []
    assert found(problem, timed(problem, tasks, {("sum", 0, 2): 2, ("sum", 1, 2): 4})) == ["transfer: sum from p0 to p2 starts at 2, but is complete only at 4"]


def test_the_tensors_of_an_edge_are_sent_one_by_one() -> None:
    problem = shared_problem("pairs", {("a", "b"): {"tensors": {"x": 5, "y": 5}}})
    tasks = {"a": (0, 0), "b": (1, 7)}
    assert found(problem, timed(problem, tasks, {("x", 0, 1): 2, ("y", 0, 1): 4})) == []
    assert found(problem, timed(problem, tasks | {"b": (1, 6)}, {("x", 0, 1): 2, ("y", 0, 1): 4})) == [
        "precedence: b starts at 6, but a's result is there only at 7"
    ]


@pytest.mark.parametrize(("lag", "earliest"), [(0, 2), (3, 5), (-1, 1)])
def test_a_result_is_sent_when_it_is_there(lag: int, earliest: int) -> None:
    problem = shared_problem("bus", {("a", "b"): {"bytes": 8, "lag": lag}})
    for start in (earliest, earliest - 1):
        schedule = timed(problem, {"a": (0, 0), "b": (1, 20)}, {(AB, 0, 1): start})
        assert [v.kind for v in violations(problem, schedule)] == ["transfer"] * (start < earliest)


def test_what_has_no_bytes_is_not_sent() -> None:
    problem = shared_problem("bus", {("a", "b"): {}, ("a", "c"): {"lag": 3}})
    assert found(problem, by_hand(problem, {"a": (0, 0), "b": (1, 2), "c": (2, 5)})) == []
    assert found(problem, by_hand(problem, {"a": (0, 0), "b": (1, 2), "c": (2, 4)})) == ["precedence: c starts at 4, but a's result is there only at 5"]


@pytest.mark.parametrize(
    ("sharing", "sent", "message"),
    [
        ("bus", None, "transfers: 2 transfers share links, but the schedule does not say when they start"),
        ("bus", [2], "transfers: the schedule has 1 transfers, its placement 2"),
        ("bus", [2, -1], "transfers: transfers start between -1 and 2, not within 0 and 70368744177664"),
        ("bus", [2, 2**50], "transfers: transfers start between 2 and 1125899906842624, not within 0 and 70368744177664"),
        ("none", [2, 4], "transfers: the schedule says when transfers start, but the platform's links are not shared"),
    ],
)
def test_transfers_are_there_where_links_are_shared(sharing: str, sent: list[int] | None, message: str) -> None:
    problem = shared_problem(sharing, TWO)
    schedule = by_hand(problem, {"a": (0, 0), "b": (1, 5), "c": (2, 0), "d": (3, 7)})
    assert found(problem, replace(schedule, transfers=None if sent is None else np.array(sent))) == [message]


def test_delays_follow_from_when_the_weights_arrive() -> None:
    problem = with_sharing(training_problem(1, 2), "bus")  # 16 bytes: 4 cycles, 1 of latency
    tasks = {"F(l0)": (0, 0), "W(l0)": (0, 4), "U(l0)": (1, 13)}
    names = {"l0.gradient": (0, 1), "l0.weights": (1, 0)}
    for start, delay in ((14, 1), (15, 1), (16, 2), (35, 2), (36, 3)):
        schedule = timed(problem, tasks, {("l0.gradient", 0, 1): 8, ("l0.weights", *names["l0.weights"]): start}, period=20)
        assert metrics(problem, schedule).delays == (("l0", delay),)


def test_the_sender_keeps_what_waits_for_the_link() -> None:
    problem = shared_problem("bus", {("a", "b"): {"bytes": 8}}, mode="periodic")
    for start in (2, 9):
        schedule = timed(problem, {"a": (0, 0), "b": (1, 20)}, {(AB, 0, 1): start}, period=40)
        assert Replay(problem, schedule).lives() == [(0, j * 40, start + 3 + j * 40, 8) for j in range(60)] + [
            (1, 2 + j * 40, 22 + j * 40, 8) for j in range(60)
        ]
        busy = replace(schedule, period=start + 2)  # a copy is kept a cycle longer than a period
        assert metrics(problem, busy).peak_memory_bytes[0] == 16


def test_shared_links_and_unrolling_exclude_each_other() -> None:
    def look() -> None:
        problem = with_sharing(training_problem(unroll=2), "bus")
        violations(problem, in_turn(problem))

    with pytest.raises(InputError, match=r"shared links.* need unroll=1"):
        look()


@pytest.mark.parametrize("sharing", ["mesh", None, 3])
def test_unknown_sharing_is_refused(sharing: Any) -> None:
    with pytest.raises(InputError, match="interconnect: sharing must be one of none, bus, ports, pairs"):
        Interconnect(sharing=sharing)


def test_schedules_compare_by_their_transfers() -> None:
    one = Schedule(processor=np.array([0, 1]), start=np.array([3, 9]), transfers=np.array([5]))
    assert one == replace(one, transfers=np.array([5]))
    assert len({one, replace(one, transfers=np.array([6])), replace(one, transfers=None), replace(one, transfers=np.zeros(0, dtype=int))}) == 4
    moved = one.normalised()
    assert (moved.start.tolist(), moved.transfers.tolist() if moved.transfers is not None else None) == ([0, 6], [2])
    assert replace(one, transfers=np.array([1])).normalised().start.tolist() == [2, 8]
    for wrong in ([0.5], ["1"], [[1]], [10**30]):
        with pytest.raises(InputError, match="schedule: transfers"):
            replace(one, transfers=wrong)  # type: ignore[arg-type]


# -- against a replay --------------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn, mode: str | None = None) -> tuple[Problem, Schedule]:
    """Any problem over shared links and a schedule with any placement, transfers near where they belong."""
    problem, schedule = draw(scheduled(mode).filter(lambda case: case[0].unroll == 1))
    problem = with_sharing(problem, draw(st.sampled_from(SHARINGS)))
    sent = transfers(problem, schedule.processor)
    end = schedule.start + problem.instance.duration[np.arange(problem.instance.size), schedule.processor]
    jumps = [draw(st.sampled_from((0, 0, 0, 1, 2, 5, -1))) for _ in range(sent.size)]
    starts = np.maximum(sent.releases(end) + np.array(jumps, dtype=np.int64), 0)
    return problem, replace(schedule, transfers=starts)


@settings(max_examples=150)
@given(cases())
def test_violations_are_those_of_a_replay(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    kinds = {violation.kind for violation in violations(problem, schedule)} & {"link", "transfer", "precedence"}
    assert kinds == Replay(problem, schedule).link_faults()


@settings(max_examples=80)
@given(cases("periodic"))
def test_delays_equal_a_replay(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    forward, backward = Replay(problem, schedule).delays()
    figures = metrics(problem, schedule)
    assert dict(figures.delays) == {problem.layers[i]: d for i, d in forward.items()}
    assert dict(figures.backward_delays) == {problem.layers[i]: d for i, d in backward.items()}


@settings(max_examples=80)
@given(cases())
def test_peaks_equal_a_replay(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    assert metrics(problem, schedule).peak_memory_bytes == Replay(problem, schedule).peaks()


@settings(max_examples=150)
@given(cases())
def test_sharing_only_adds(case: tuple[Problem, Schedule]) -> None:
    """What respects shared links respects the problem without them, where no figure is larger: all its bounds hold."""
    problem, schedule = case
    if {violation.kind for violation in violations(problem, schedule)} & {"link", "transfer", "precedence"}:
        return
    free, plain = with_sharing(problem, "none"), replace(schedule, transfers=None)
    assert "precedence" not in {violation.kind for violation in violations(free, plain)}
    shared, alone = metrics(problem, schedule), metrics(free, plain)
    assert all(alone.value(name) <= shared.value(name) for name in problem.objective)
    assert all(a <= b for a, b in zip(alone.peak_memory_bytes, shared.peak_memory_bytes, strict=True))
    for name in problem.objective:
        assert objective_bound(problem, name, shared.length_cycles) == objective_bound(free, name, alone.length_cycles)


@settings(max_examples=40)
@given(problems().filter(lambda p: p.unroll == 1))
def test_one_processor_needs_no_links(problem: Problem) -> None:
    able = np.flatnonzero((problem.instance.duration >= 0).all(axis=0))
    if able.size:
        schedule = in_turn(problem, processor=np.full(problem.instance.size, able[0]))
        assert violations(with_sharing(problem, "bus"), schedule) == violations(problem, schedule)


# -- in a trace --------------------------------------------------------------------------------------


def test_a_trace_has_a_row_for_every_link() -> None:
    """Over ports each transfer shows at both ends, once per iteration."""
    problem = shared_problem("ports", TWO, mode="periodic")
    schedule = timed(problem, {"a": (0, 0), "b": (1, 5), "c": (0, 2), "d": (3, 7)}, {(AB, 0, 1): 2, (CD, 0, 3): 4}, period=5)
    events = json.loads(chrome_trace(hand_result(problem, schedule), iterations=2))["traceEvents"]
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name" and event["tid"] > 4}
    assert list(rows.values()) == ["the sending port of p0", "the receiving port of p1", "the receiving port of p3"]
    drawn = sorted((rows[e["tid"]], e["args"]["start_cycles"], e["args"]["end_cycles"], e["name"]) for e in events if e["ph"] == "X" and e["cat"] == "transfer")
    sending = [("the sending port of p0", start, start + 2, name) for start, name in ((2, AB), (4, CD), (7, AB), (9, CD))]
    assert drawn[4:] == sending
    assert drawn[:4] == [
        (f"the receiving port of {p}", start, start + 2, name) for p, name, starts in (("p1", AB, (2, 7)), ("p3", CD, (4, 9))) for start in starts
    ]
    assert not [event for event in json.loads(chrome_trace(pipelined_result()))["traceEvents"] if event["tid"] > 2]
