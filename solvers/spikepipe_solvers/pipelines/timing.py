"""Start times of an order: every copy as early as its processor's order and its dependences allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.order import ready_in_turn
from spikepipe_sched.problem import Problem
from spikepipe_sched.rows import distinct
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.pipelines.chunks import PASS, Chunks
from spikepipe_solvers.pipelines.orders import Block, Order

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """The copies in blocks, each on one processor.

    Attributes
    ----------
    copies, first
        (N,) The copies block by block, each block's in topological order; (blocks + 1,) where every block begins.
    processor
        (N,) The processor of every copy.
    source, target
        Pairs of blocks, the second of which waits for the first.
    pair
        (M,) The pair that every edge between copies belongs to; -1 within a block.
    """

    copies: Ints
    first: Ints
    processor: Ints
    source: Ints
    target: Ints
    pair: Ints


def blocks_of(problem: Problem, chunks: Chunks, number: Ints, count: int) -> Blocks:
    """``count`` blocks; ``number`` (4, C, M) is that of each pass, chunk and micro-batch (updates: 0)."""
    instance = problem.instance
    passes = np.array([PASS[kind] for kind in problem.tasks.kinds])
    of = number[passes[instance.task], chunks.chunk[instance.task], instance.copy]
    copies = instance.order[np.argsort(of[instance.order], kind="stable")]
    apart = of[instance.source] != of[instance.target]
    (source, target), which = distinct(of[instance.source[apart]], of[instance.target[apart]])
    pair = np.full(len(apart), -1, dtype=np.int64)
    pair[apart] = which
    return Blocks(
        copies=copies,
        first=np.searchsorted(of[copies], np.arange(count + 1)),
        processor=np.array(chunks.home)[chunks.chunk[instance.task]],
        source=source,
        target=target,
        pair=pair,
    )


def timed(problem: Problem, chunks: Chunks, order: Order) -> Schedule | Block:
    """The schedule of an order, with the updates at the end; a block that waits for ever if there is none.

    What leaves a block ``BW`` leaves at its end, as where such a block is one call: its copies run in an order
    that ends with those that other blocks wait for, if that is possible, and others wait for its end in
    any case. From all else results leave as each copy ends.
    """
    instance = problem.instance
    sequence = [block for row in order for block in row]
    updates = len(sequence)  # one block: each processor comes to its own when it is free
    number = np.zeros((4, len(chunks.home), problem.micro_batches), dtype=np.int64)
    for b, (kind, chunk, micro_batch) in enumerate(sequence):
        for name in kind:
            number[PASS[name], chunk, micro_batch] = b
    number[PASS["U"], :, 0] = updates
    blocks = blocks_of(problem, chunks, number, updates + 1)

    following = np.arange(1, updates + 1)  # the next block of the processor
    following[np.cumsum([len(row) for row in order]) - 1] = updates
    turn = ready_in_turn(updates + 1, np.concatenate([blocks.source, np.arange(updates)]), np.concatenate([blocks.target, following]))
    if len(turn) <= updates:
        return sequence[int(np.setdiff1d(np.arange(updates), turn)[0])]

    whole = np.array([block.kind == "BW" for block in sequence] + [False])
    processor = blocks.processor
    across = processor[instance.source] != processor[instance.target]
    wait = instance.lag + np.where(across, instance.transfer, 0)
    by_target = np.argsort(instance.target, kind="stable")
    first = np.searchsorted(instance.target[by_target], np.arange(instance.size + 1)).tolist()
    before, waits, inside = instance.source[by_target].tolist(), wait[by_target].tolist(), (blocks.pair[by_target] < 0).tolist()
    cycles: list[int] = instance.duration[np.arange(instance.size), processor].tolist()
    home, copies, borders = processor.tolist(), _leaving_last(problem, blocks, whole, updates).tolist(), blocks.first.tolist()
    start, end, leave = [0] * instance.size, [0] * instance.size, [0] * instance.size
    free = [0] * len(problem.processors)
    for b in turn.tolist():
        for v in (mine := copies[borders[b] : borders[b + 1]]):
            clock = free[home[v]]
            for e in range(first[v], first[v + 1]):
                u = before[e]
                clock = max(clock, (end[u] if inside[e] else leave[u]) + waits[e])
            start[v] = clock
            free[home[v]] = end[v] = leave[v] = clock + cycles[v]
        if whole[b]:
            for v in mine:
                leave[v] = end[mine[-1]]
    return Schedule(processor=processor, start=np.array(start, dtype=np.int64))


def _leaving_last(problem: Problem, blocks: Blocks, whole: NDArray[np.bool_], updates: int) -> Ints:
    """(N,) The copies of `Blocks`; in a ``whole`` block those last that other blocks wait for, and what waits for these.

    Block ``updates`` waits for all of a processor's blocks anyway.
    """
    instance, block = problem.instance, np.repeat(np.arange(len(whole)), np.diff(blocks.first))
    of = np.empty_like(block)
    of[blocks.copies] = block
    mine = whole[of[instance.source]]
    late = np.zeros(instance.size, dtype=bool)
    late[instance.source[mine & (blocks.pair >= 0) & (of[instance.target] != updates)]] = True
    position = np.empty(instance.size, dtype=np.int64)
    position[instance.order] = np.arange(instance.size)
    within = np.flatnonzero(mine & (blocks.pair < 0))
    within = within[np.argsort(position[instance.source[within]])]
    for u, v in zip(instance.source[within].tolist(), instance.target[within].tolist(), strict=True):
        late[v] |= late[u]
    return blocks.copies[np.lexsort((position[blocks.copies], late[blocks.copies], block))]
