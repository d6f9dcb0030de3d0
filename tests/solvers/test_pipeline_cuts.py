"""How pipelines cut the layers into chunks, against all cuts, and the placements and networks that they refuse."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import solve
from spikepipe_sched.errors import InputError
from spikepipe_sched.readers.pipeline import Pipeline, Placement
from spikepipe_solvers.pipelines.chunks import Shape, chunked
from tests.solvers.instances import arrays, network_problem, unlike
from tests.solvers.test_pipelines import SOLVERS, STRAIGHT, THERE_AND_BACK, equal


@pytest.mark.parametrize(
    ("solver", "placement", "reason"),
    [
        ("1f1b", "interleaved", r"once each; where the layers can run, it visits p0, p1, p0, p1; a pipeline file takes `--placement stages` or"),
        ("interleaved", "stages", r"round after round in the same order, two rounds or more; .* p0, p1; .* `--placement interleaved` or"),
        (
            "zb-v",
            "interleaved",
            r"there and back, two chunks each; .* p0, p1, p0, p1; .* `--placement v` or `--placement free --chunks 2` \(Python: placement=",
        ),
        ("dualpipev", "stages", r"there and back, .* `--placement v` or"),
    ],
)
def test_a_placement_of_another_shape_is_refused(solver: str, placement: Placement, reason: str) -> None:
    """The given placement is not changed; each that the reason names helps."""
    problem = equal(2, 2, (1, 1, 1), placement, 1 if placement == "stages" else 2)
    with pytest.raises(InputError, match=reason):
        solve(problem, solver)
    other: Placement = "stages" if solver in STRAIGHT else "v" if solver in THERE_AND_BACK else "interleaved"
    for helpful in (equal(2, 2, (1, 1, 1), other, 1 if other == "stages" else 2), equal(2, 2, (1, 1, 1), "free", 2)):
        assert solve(helpful, solver).schedule is not None


def test_given_processors_may_stand_in_any_order() -> None:
    """A chain from p2 to p0 to p1 is a straight pipeline; the turn of a v is cut where the loads are most even."""
    line = Pipeline(name="line", forward=(1, 2, 3), backward=(1, 2, 3), gradient=(1, 2, 3), processors=3, micro_batches=2, home=(2, 0, 1)).problem()
    chunks = chunked(line, "straight")
    assert not isinstance(chunks, str)
    assert (chunks.home, chunks.ranks) == ((2, 0, 1), 3)
    cycles = (1, 1, 1, 4, 1)
    turn = Pipeline(name="turn", forward=cycles, backward=cycles, gradient=cycles, processors=2, micro_batches=4, home=(1, 0, 0, 0, 1)).problem()
    chunks = chunked(turn, "v")
    assert not isinstance(chunks, str)
    assert chunks.home == (1, 0, 0, 1)
    assert chunks.chunk[[turn.tasks.names.index(f"F(l{i})") for i in range(5)]].tolist() == [0, 1, 1, 2, 3]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("layers", "processors", "refusal"), [(3, 4, "3 layers cannot make 2 chunks on each of 4 processors"), (1, 1, "1 layer cannot")])
def test_too_few_layers_use_fewer_processors_or_make_no_chunks(solver: str, layers: int, processors: int, refusal: str) -> None:
    """A straight pipeline has a layer for each processor that it uses; a chunked one is not what its name says without two."""
    column = (1,) * layers
    problem = Pipeline(name="short", forward=column, backward=column, gradient=column, processors=processors, micro_batches=3).problem()
    if solver not in STRAIGHT:
        with pytest.raises(InputError, match=refusal):
            solve(problem, solver)
        return
    schedule = solve(problem, solver).schedule
    assert schedule is not None
    assert set(schedule.processor.tolist()) == set(range(layers))


def test_layers_on_a_loop_through_time_make_one_chunk() -> None:
    """The reason says so, for the network has more layers."""
    problem = network_problem("fsnn_mnist", windows=30, platform=arrays(2), mode="finite", micro_batches=2)
    with pytest.raises(InputError, match=r"layers? \(those on a loop through time count as one\) cannot make 2 chunks on each of 2 processors"):
        solve(problem, "zb-v")


def test_a_loop_through_time_stays_in_one_stage() -> None:
    """Two stages would wait for each other within a micro-batch."""
    problem = network_problem("fsnn_mnist", windows=30, platform=arrays(2), mode="finite", micro_batches=2)
    schedule = solve(problem, "1f1b").schedule
    assert schedule is not None
    edges, layer, forward = problem.edges, problem.tasks.layer, np.array([kind == "F" for kind in problem.tasks.kinds])
    back = forward[edges.source] & forward[edges.target] & (layer[edges.source] > layer[edges.target]) & (edges.distance == 0)
    assert back.any()
    home = schedule.processor[np.searchsorted(problem.instance.task, np.arange(len(layer)))]
    assert (home[edges.source[back]] == home[edges.target[back]]).all()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=7), st.sampled_from(["round", "v"]), st.integers(1, 3))
def test_chunks_have_the_least_largest_load(cycles: list[int], shape: Shape, processors: int) -> None:
    """Against all cuts."""
    column = tuple(cycles)
    problem = Pipeline(name="chain", forward=column, backward=column, gradient=column, processors=processors, micro_batches=1).problem()
    chunks = chunked(problem, shape)
    assert not isinstance(chunks, str)
    count = len(chunks.home)
    assert chunks.ranks == min(processors, len(cycles) // 2)
    load = np.bincount(chunks.chunk, weights=problem.tasks.cycles[:, 0], minlength=count)
    cuts = [(0, *inner, len(cycles)) for inner in combinations(range(1, len(cycles)), count - 1)]
    assert load.max() == min(max(3 * sum(cycles[a:b]) for a, b in pairwise(cut)) for cut in cuts)


@pytest.mark.parametrize("shape", ["round", "v"])
def test_a_slow_processor_is_left_out_where_that_is_better(shape: Shape) -> None:
    """Small arrays that would have to take large layers."""
    problem = network_problem("vgg9", platform=unlike(), mode="finite", micro_batches=4)
    chunks = chunked(problem, shape)
    assert not isinstance(chunks, str)
    kinds = np.array([p.kind for p in problem.processors])
    cycles = problem.tasks.cycles[:, kinds] * np.where(np.array(problem.tasks.kinds) == "U", 1, 4)[:, None]
    home = np.array(chunks.home)[chunks.chunk]
    load = np.bincount(home, weights=cycles[np.arange(len(home)), home])
    assert load.max() <= cycles[:, 0].sum()
