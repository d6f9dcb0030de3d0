"""Weight versions of a schedule: against a run of all events, one by one."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, Problem, Schedule
from spikepipe_sched.problem import WeightPolicy
from spikepipe_sched.versions import WeightDelays
from tests.helpers import by_hand, in_turn, small_graph, training_problem
from tests.replay import Replay

#: Iterations looked at one by one: more than any delay here.
FIRST = 24


@st.composite
def trained(draw: st.DrawFn) -> tuple[Problem, Schedule]:
    """A chain in training, its tasks anywhere, at a period that several iterations share."""
    layers, processors = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    problem = training_problem(layers, processors, unroll=draw(st.integers(1, 3)), weights=draw(st.sampled_from(get_args(WeightPolicy))))
    n = problem.instance.size
    placed = in_turn(problem, processor=np.array(draw(st.lists(st.integers(0, processors - 1), min_size=n, max_size=n))))
    assert placed.period is not None
    later = np.array(draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)))
    return problem, replace(placed, start=placed.start + later, period=max(1, placed.period // draw(st.integers(1, 6))))


def in_sequence(replay: Replay, edge: int) -> bool:
    """Whether every update of a layer waits for the one before."""
    update = int(replay.problem.edges.source[edge])
    return all(replay.ready(edge, (update, j), (update, j + 1)) <= replay.start((update, j + 1)) for j in range(replay.copies))


def newest_versions(replay: Replay, layer: int, kinds: str) -> list[int]:
    """Of the first iterations: the newest version that all its tasks of these kinds find when they start, from events alone.

    Version v is there once updates 0 to v - 1 have ended and arrived where the task runs.
    """
    edges = replay.problem.edges
    mine = [e for e in np.flatnonzero(edges.delay_layer == layer).tolist() if replay.problem.tasks.kinds[int(edges.target[e])] in kinds]
    versions = []
    for j in range(FIRST):
        found = FIRST
        for e in mine:
            update, reader = int(edges.source[e]), (int(edges.target[e]), j)
            found = next((i for i in range(found) if replay.ready(e, (update, i), reader) > replay.start(reader)), found)
        versions.append(found)
    return versions


@settings(max_examples=40)
@given(trained())
def test_versions_are_those_of_a_run_event_by_event(case: tuple[Problem, Schedule]) -> None:
    """No iteration reads what is not there yet, and with a smaller delay some iteration would."""
    problem, schedule = case
    replay, delays = Replay(problem, schedule), WeightDelays.of_schedule(problem, schedule)
    assume(all(in_sequence(replay, e) for e in np.flatnonzero(problem.edges.source == problem.edges.target).tolist()))
    for i, name in enumerate(delays.layers):
        readers = (
            ("FB", "FB") if problem.weights == "stash" else ("F", "B" if f"B({name})" in problem.tasks.names else "F")
        )  # without B, F's is the only version
        for table, kinds, delay in zip(delays.tables(FIRST), readers, (delays.forward[i], delays.backward[i]), strict=True):
            there = newest_versions(replay, i, kinds)
            assert delay + problem.unroll < FIRST
            for j, version in enumerate(table[i].tolist()):
                assert version == max(0, j + 1 - delay)
                assert version <= min(j, there[j])  # j: an iteration never reads its own update
            if delay > 1:
                assert any(j + 2 - delay > there[j] for j in range(FIRST - problem.unroll, FIRST))


@settings(max_examples=40)
@given(trained())
def test_delays_are_those_of_a_replay(case: tuple[Problem, Schedule]) -> None:
    problem, schedule = case
    for weights in get_args(WeightPolicy):
        forward, backward = Replay(replace(problem, weights=weights), schedule).delays()
        delays = WeightDelays.of_schedule(problem, schedule, weights)
        assert delays.layers == problem.layers
        assert delays.forward == tuple(forward[i] for i in range(len(problem.layers)))
        assert delays.backward == tuple(backward[i] for i in range(len(problem.layers)))


def test_tables_of_a_pipeline_begin_with_the_warm_up() -> None:
    delays = WeightDelays(layers=("a", "b"), forward=(3, 1), backward=(2, 1))
    forward, backward = delays.tables(5)
    assert forward.tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]
    assert backward.tolist() == [[0, 0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert forward.dtype == np.int64
    assert delays.tables(0)[0].shape == (2, 0)


def test_a_finite_schedule_is_synchronous() -> None:
    problem = training_problem(3, 2, mode="finite", micro_batches=4)
    assert WeightDelays.of_schedule(problem, in_turn(problem)) == WeightDelays.synchronous(("l0", "l1", "l2"))


def test_layers_without_an_update_take_no_part() -> None:
    graph = small_graph(
        {"F(a)": 1, "F(pool)": 1, "F(b)": 1, "W(b)": 1, "U(b)": 1}, [("F(a)", "F(pool)"), ("F(pool)", "F(b)"), ("F(b)", "W(b)"), ("W(b)", "U(b)")]
    )
    problem = Problem.from_graph(graph, 1, mode="periodic")
    assert WeightDelays.of_schedule(problem, in_turn(problem)) == WeightDelays.synchronous(("b",))  # nobody reads its weights


def test_a_problem_without_updates_is_refused() -> None:
    problem = Problem.from_graph(small_graph({"a": 1, "b": 1}, [("a", "b")]), 1, mode="periodic", name="plain")
    with pytest.raises(InputError, match=r"^the problem 'plain' has no weight updates"):
        WeightDelays.of_schedule(problem, by_hand(problem, {"a": (0, 0), "b": (0, 1)}, 2))


@pytest.mark.parametrize(
    ("layers", "forward", "backward", "message"),
    [
        (("a", "a"), (1, 1), (1, 1), "weight delays: a layer is named twice: a, a"),
        (("a", "b"), (1,), (1, 1), "weight delays: 2 layers have 1 forward delays"),
        (("a",), (1,), (1, 1), "weight delays: 1 layers have 2 backward delays"),
        (("a",), (0,), (1,), "weight delays: the forward delay of layer 'a' must be at least 1, got 0"),
        (("a",), (1,), (1.5,), "weight delays: the backward delay of layer 'a' must be a whole number, got 1.5"),
    ],
)
def test_impossible_delays_are_refused(layers: tuple[str, ...], forward: tuple[int, ...], backward: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        WeightDelays(layers=layers, forward=forward, backward=backward)
    assert str(caught.value) == message


def test_uniform_delays() -> None:
    assert WeightDelays.uniform(["a", "b"], 2) == WeightDelays(layers=("a", "b"), forward=(3, 3), backward=(3, 3))
    with pytest.raises(InputError, match="staleness must not be negative"):
        WeightDelays.uniform(["a"], -1)
    problem = training_problem()
    with pytest.raises(InputError, match="weights must be one of stash, latest"):
        WeightDelays.of_schedule(problem, in_turn(problem), "newest")  # pyright: ignore[reportArgumentType]
