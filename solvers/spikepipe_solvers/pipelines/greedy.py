"""Zero-bubble schedules by simulation: blocks in the order of time, weight gradients where nothing else can run.

Qi et al. (Zero Bubble Pipeline Parallelism, arXiv:2401.10241, section 3) fill a pipeline greedily from the
cycles of F, B and W under a limit on the activations of every stage. Here this is a simulation: of all
blocks that may come next on some processor the one that starts first is placed, so that unlike
stages, transfers and limits can delay a block but never leave it without a place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikepipe_sched.problem import Problem
from spikepipe_solvers.pipelines.chunks import Chunks
from spikepipe_solvers.pipelines.orders import Block, Order, Pass
from spikepipe_solvers.pipelines.timing import blocks_of

KINDS: tuple[Pass, ...] = ("F", "B", "W")
_NEVER = 2**62


class Rule(NamedTuple):
    """How a processor chooses where several blocks could run.

    ``backward_first``: a backward goes before a forward that could start at the same time.
    ``patience``: weight gradients wait for the next forward or backward if that is known to come
    before this part of their own time is over. ``slope``: chunk c runs at most (limit - slope * c)
    forwards ahead of its backwards; 1 is the warm-up of ZB-H1 and ZB-V, 2 that of ZB-H2, 0 no bound.
    """

    backward_first: bool
    patience: float
    slope: int


@dataclass(frozen=True, slots=True, eq=False)
class Waits:
    """The blocks F, B and W, and what they wait for.

    The block of kind k in `KINDS`, chunk c and micro-batch m has number (k * C + c) * M + m.

    Attributes
    ----------
    chunks, micro_batches
        The C chunks, and M.
    length
        Cycles of every block.
    after
        Of every block, those that wait for it, each with the cycles from its start to theirs.
    missing
        How many blocks each waits for.
    """

    chunks: Chunks
    micro_batches: int
    length: list[int]
    after: list[list[tuple[int, int]]]
    missing: list[int]


def waits_of(problem: Problem, chunks: Chunks) -> Waits:
    """The split blocks of a problem."""
    instance, size = problem.instance, len(chunks.home) * problem.micro_batches
    count = 3 * size  # the updates come last, in any case
    blocks = blocks_of(problem, chunks, np.arange(4 * size).reshape(4, len(chunks.home), problem.micro_batches), 4 * size)
    cycles = instance.duration[np.arange(instance.size), blocks.processor]
    clock = np.concatenate([[0], np.cumsum(cycles[blocks.copies])])
    length = np.diff(clock[blocks.first])
    begin = np.empty(instance.size, dtype=np.int64)  # of every copy within its block, if that runs without a break
    begin[blocks.copies] = clock[:-1] - np.repeat(clock[blocks.first[:-1]], np.diff(blocks.first))
    across = blocks.processor[instance.source] != blocks.processor[instance.target]
    step = (begin + cycles)[instance.source] + instance.lag + np.where(across, instance.transfer, 0) - begin[instance.target]
    apart = blocks.pair >= 0
    longest = np.full(len(blocks.source), np.iinfo(np.int64).min)
    np.maximum.at(longest, blocks.pair[apart], step[apart])
    after, missing = [list[tuple[int, int]]() for _ in range(count)], [0] * count
    for a, b, wait in zip(blocks.source.tolist(), blocks.target.tolist(), longest.tolist(), strict=True):
        if b < count:
            after[a].append((b, wait))
            missing[b] += 1
    return Waits(chunks, problem.micro_batches, length[:count].tolist(), after, missing)


def filled(waits: Waits, limits: list[int], rule: Rule) -> tuple[int, Order] | Block:
    """The makespan without updates and the order that a rule gives, or a block that waits for ever.

    Parameters
    ----------
    limits
        (R,) Activations of chunks that each processor may hold, from the start of F to the end of W: at
        least one per chunk, and one is kept free for each chunk behind the one whose F would start.
    """
    chunks, many = waits.chunks, waits.micro_batches
    count, length, after = len(chunks.home), waits.length, waits.after
    missing, ready = waits.missing.copy(), [0] * len(length)
    own, rank_of = chunks.own, [chunks.home.index(home) for home in chunks.home]
    most = [max(1, max(limits) - rule.slope * chunk) for chunk in range(count)]
    done = [[0] * count for _ in KINDS]
    free, order = [0] * chunks.ranks, [list[Block]() for _ in own]
    first, second = (0, 1) if rule.backward_first else (1, 0)

    def choice(rank: int) -> tuple[int, int]:
        """(start, block) of what a processor does next; (never, -1) if nothing is known yet."""
        clock, kept = free[rank], limits[rank] - len(own[rank])
        room = limits[rank] - sum(done[0][chunk] - done[2][chunk] for chunk in own[rank])
        best, spare = (_NEVER, 0, 0, -1), (_NEVER, 0, -1)
        for chunk in own[rank]:
            forwards, backwards, gradients = done[0][chunk], done[1][chunk], done[2][chunk]
            kept += 1 - (forwards - gradients)  # room that the chunks behind this one leave to it and those before
            if gradients < backwards:
                b = (2 * count + chunk) * many + gradients
                if not missing[b]:
                    spare = min(spare, (max(clock, ready[b]), gradients, b))
            if backwards < forwards:
                b = (count + chunk) * many + backwards
                if not missing[b]:
                    best = min(best, (max(clock, ready[b]), first, -chunk, b))
            if forwards < many and forwards - backwards < most[chunk] and min(room, kept) > 0:
                b = chunk * many + forwards
                if not missing[b]:
                    best = min(best, (max(clock, ready[b]), second, -chunk, b))
        gap, needed = best[0] - spare[0], length[spare[2]]
        now = gap >= rule.patience * needed and (gap > 0 or needed == 0)
        return (spare[0], spare[2]) if now else (best[0], best[3])

    choices = [choice(rank) for rank in range(chunks.ranks)]
    for _ in length:
        start, b = min(choices)
        if b < 0:
            stuck = next(b for b, count_left in enumerate(missing) if count_left)
            return Block(KINDS[stuck // (count * many)], stuck // many % count, stuck % many)
        kind, chunk = b // (count * many), b // many % count
        rank = rank_of[chunk]
        order[rank].append(Block(KINDS[kind], chunk, done[kind][chunk]))
        done[kind][chunk] += 1
        free[rank] = start + length[b]
        changed = {rank}
        for v, wait in after[b]:
            missing[v] -= 1
            ready[v] = max(ready[v], start + wait)
            changed.add(rank_of[v // many % count])
        for other in changed:
            choices[other] = choice(other)
    return max(free), order
