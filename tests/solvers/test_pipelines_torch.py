"""The orders that are formulas, block for block against those of torch.distributed.pipelining.

Its 1F1B has no order to compare (that of its last rank begins with micro-batch 1), so that is written out
here; its interleaved zero bubble with one chunk per rank is ZB-H1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from spikepipe_solvers.pipelines.orders import Block, Formula, dual_pipe_v, gpipe, interleaved, one_forward_one_backward, zero_bubble_1, zero_bubble_v

schedules: Any = pytest.importorskip("torch.distributed.pipelining.schedules", reason="the extra 'validate' is not installed")

KINDS = {"FORWARD": "F", "FULL_BACKWARD": "BW", "BACKWARD_INPUT": "B", "BACKWARD_WEIGHT": "W"}
COUNTS = [(p, m) for p in (1, 2, 3, 4, 7) for m in (1, 2, 3, 5, 8, 9, 14, 16, 21)]


def straight(p: int) -> list[list[int]]:
    """The chunks of every rank."""
    return [[rank] for rank in range(p)]


def turning(p: int) -> list[list[int]]:
    """There and back."""
    return [[rank, 2 * p - 1 - rank] for rank in range(p)]


def rounds(p: int, chunks: int) -> list[list[int]]:
    """One after the other."""
    return [[rank + p * c for c in range(chunks)] for rank in range(p)]


def blocks(actions: list[Any]) -> list[tuple[str, int, int]]:
    """Those of a rank; of a pair that torch overlaps one after the other."""
    row: list[tuple[str, int, int]] = []
    for action in actions:
        if action is not None and action.sub_actions:
            row += blocks(list(action.sub_actions))
        elif action is not None and action.computation_type.name in KINDS:
            row.append((KINDS[action.computation_type.name], action.stage_index, action.microbatch_index))
    return row


def of_torch(name: str, own: list[list[int]], micro_batches: int) -> list[list[tuple[str, int, int]]] | None:
    """The order of a schedule class; None where it does not take that many micro-batches."""
    ranks, chunks = len(own), len(own[0])
    stages = [Mock(group_rank=0, group_size=ranks, num_stages=ranks * chunks, submod=None) for _ in range(chunks)]
    try:
        schedule = getattr(schedules, name)(stages[0] if name == "ScheduleGPipe" else stages, micro_batches)
        order = schedule.pipeline_order or schedule._get_pipeline_order()
    except ValueError:
        return None
    return [blocks(order[rank]) for rank in range(ranks)]


@pytest.mark.parametrize(
    ("name", "formula", "own", "some"),
    [
        ("ScheduleGPipe", gpipe, straight, 45),
        ("ScheduleInterleavedZeroBubble", zero_bubble_1, straight, 30),
        ("ScheduleInterleavedZeroBubble", zero_bubble_1, lambda p: rounds(p, 2), 30),
        ("ScheduleInterleavedZeroBubble", zero_bubble_1, lambda p: rounds(p, 3), 30),
        ("ScheduleInterleaved1F1B", interleaved, lambda p: rounds(p, 2), 30),
        ("ScheduleInterleaved1F1B", interleaved, lambda p: rounds(p, 3), 30),
        ("ScheduleZBVZeroBubble", zero_bubble_v, turning, 45),
        ("ScheduleDualPipeV", dual_pipe_v, turning, 25),
    ],
)
def test_an_order_is_that_of_torch(name: str, formula: Formula, own: Callable[[int], list[list[int]]], some: int) -> None:
    compared = 0
    for p, m in COUNTS:
        expected = of_torch(name, own(p), m)
        if expected is not None:
            assert formula(own(p), m) == expected, (p, m)
            compared += 1
    assert compared >= some


@pytest.mark.parametrize(("p", "m"), COUNTS)
def test_1f1b_is_that_of_its_paper(p: int, m: int) -> None:
    """Rank r runs p - 1 - r forwards, then one forward and one backward, then the backwards that are left (arXiv:2006.09503, section 3)."""
    for rank, row in enumerate(one_forward_one_backward(straight(p), m)):
        ahead = min(m, p - 1 - rank)
        pairs = [block for i in range(m - ahead) for block in (Block("F", rank, ahead + i), Block("BW", rank, i))]
        assert row == [Block("F", rank, i) for i in range(ahead)] + pairs + [Block("BW", rank, i) for i in range(m - ahead, m)]


def ends(order: list[list[Block]], chunks: int) -> bool:
    """Whether every block gets its turn on a chain of chunks."""
    done, waiting = set[tuple[str, int, int]](), [list(row) for row in order]
    while any(waiting):
        moved = False
        for row in waiting:
            while row:
                kind, c, m = row[0]
                needs = {("F", c - 1, m)} if kind == "F" and c else {("F", c, m)} if kind != "F" else set()
                needs |= {("B", c + 1, m)} if "B" in kind and c + 1 < chunks else set()
                needs |= {("B", c, m)} if kind == "W" else set()
                if not needs <= done:
                    break
                done |= {(letter, c, m) for letter in kind}
                row.pop(0)
                moved = True
        if not moved:
            return False
    return True


@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_no_number_of_micro_batches_makes_an_order_wait_for_itself(p: int) -> None:
    """Those that torch refuses as well."""
    for m in range(1, 16):
        for chunks in (2, 3, 4):
            assert ends(interleaved(rounds(p, chunks), m), p * chunks), (chunks, m)
        assert ends(dual_pipe_v(turning(p), m), 2 * p), m
        assert ends(zero_bubble_v(turning(p), m), 2 * p), m
    assert not ends([row[::-1] for row in dual_pipe_v(turning(p), 2)], 2 * p)
