"""Synchronous pipelines of the literature: M micro-batches, then the updates.

A schedule has a cut of the layers into chunks (`chunks`), an order of the blocks of every processor
(`orders`: formulas; `greedy`: from the cycles), and start times as early as both allow (`timing`). A
block is one pass (F: forward; B: error and activation gradient; W: weight gradients; BW: both in one)
of one micro-batch through one chunk, its tasks one after the other.
"""

from collections.abc import Iterator
from typing import Final

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.pipelines.chunks import Chunks, chunked
from spikepipe_solvers.pipelines.greedy import Rule
from spikepipe_solvers.pipelines.orders import dual_pipe_v, gpipe, interleaved, one_forward_one_backward, zero_bubble_1, zero_bubble_2, zero_bubble_v
from spikepipe_solvers.pipelines.solver import Filling, Fixed, Pipelining

_CUT: Final = "the largest stage, in the cut; its order of passes is fixed"
_CHUNKS: Final = "the largest chunk, in the cut; its order of passes is fixed"
_IGNORES: Final = "cycles, transfers and memory in the order of passes"
_GREEDY_IGNORES: Final = "updates, traffic, and shared links while it chooses; the cut does not know the order"


def _rules(slope: int) -> tuple[Rule, ...]:
    """Two that complement each other: what leads the pipeline to its end first, and what fills it first."""
    return Rule(backward_first=True, patience=0.0, slope=0), Rule(backward_first=False, patience=0.5, slope=slope)


GPIPE = Pipelining(
    name="gpipe",
    summary="contiguous stages: all forwards, then all backwards",
    source="arXiv:1811.06965",
    optimises=_CUT,
    ignores=f"{_IGNORES}: every stage holds all micro-batches",
    shape="straight",
    order=Fixed(formula=gpipe),
)
ONE_F_ONE_B = Pipelining(
    name="1f1b",
    summary="contiguous stages: a forward and a backward in turn (PipeDream-Flush)",
    source="arXiv:2006.09503",
    optimises=_CUT,
    ignores=_IGNORES,
    shape="straight",
    order=Fixed(formula=one_forward_one_backward),
)
INTERLEAVED = Pipelining(
    name="interleaved",
    summary="1F1B on two or more chunks of layers per processor, round after round",
    source="arXiv:2104.04473",
    optimises=_CHUNKS,
    ignores=_IGNORES,
    shape="round",
    order=Fixed(formula=interleaved),
)
INTERLEAVED_ZB = Pipelining(
    name="interleaved-zb",
    summary="ZB-H1 on two or more chunks of layers per processor, round after round",
    source="github.com/pytorch/pytorch, torch.distributed.pipelining",
    optimises=_CHUNKS,
    ignores=_IGNORES,
    shape="round",
    order=Fixed(formula=zero_bubble_1),
)
_H1: Final = Filling(formula=zero_bubble_1, activations=lambda ranks: ranks, rules=_rules(1))
ZB_H1 = Pipelining(
    name="zb-h1",
    summary="contiguous stages, weight gradients apart: zero bubble in the memory of 1F1B, P activations per stage",
    source="arXiv:2401.10241",
    optimises="the makespan, by the published pattern and greedily, with P activations per stage, fewer where memory is short",
    ignores=_GREEDY_IGNORES,
    shape="straight",
    order=_H1,
)
ZB_H2 = Pipelining(
    name="zb-h2",
    summary="contiguous stages, weight gradients apart: zero bubble with 2P - 1 activations per stage",
    source="arXiv:2401.10241",
    optimises="the makespan, by the published pattern and greedily, with 2P - 1 activations per stage (P, as zb-h1, where that is shorter), fewer where memory is short",
    ignores=_GREEDY_IGNORES,
    shape="straight",
    order=Filling(formula=zero_bubble_2, activations=lambda ranks: 2 * ranks - 1, rules=_rules(2)),
    also=(_H1,),
)
ZB_V = Pipelining(
    name="zb-v",
    summary="two chunks per processor, there and back, weight gradients apart: zero bubble in the memory of 1F1B",
    source="arXiv:2401.10241, arXiv:2405.15362",
    optimises="the makespan, by the published pattern and greedily, with 2P activations of chunks per processor, fewer where memory is short",
    ignores=_GREEDY_IGNORES,
    shape="v",
    order=Filling(
        formula=zero_bubble_v,
        activations=lambda ranks: 2 * ranks,
        rules=_rules(1),
    ),
)
DUAL_PIPE_V = Pipelining(
    name="dualpipev",
    summary="two chunks per processor, there and back: DualPipe cut in half",
    source="arXiv:2412.19437, github.com/deepseek-ai/DualPipe",
    optimises=_CHUNKS,
    ignores=f"{_IGNORES}; passes that it overlaps on a processor run one after the other",
    shape="v",
    order=Fixed(formula=dual_pipe_v),
)


def pipeline_schedules(problem: Problem) -> Iterator[tuple[str, Schedule]]:
    """(solver, schedule) of all of these that take a problem, one at a time."""
    cuts: dict[str, Chunks | str] = {}
    for solver in (ONE_F_ONE_B, GPIPE, ZB_H1, ZB_H2, INTERLEAVED, INTERLEAVED_ZB, ZB_V, DUAL_PIPE_V):
        chunks = cuts[solver.shape] = cuts.get(solver.shape) or chunked(problem, solver.shape)
        if not isinstance(chunks, str):
            yield from ((solver.name, found) for found in solver.order.schedules(problem, chunks) if isinstance(found, Schedule))
