"""The order in which each processor runs its blocks: schedules that the literature states as formulas.

Every function takes the chunks of each rank, ``own`` (R, chunks per rank), numbered along the chain, and the
number M of micro-batches, and returns the blocks of each rank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple

Pass = Literal["F", "B", "W", "BW"]


class Block(NamedTuple):
    """One pass of one micro-batch through one chunk; ``BW``: B and W in one, indivisible."""

    kind: Pass
    chunk: int
    micro_batch: int


class Step(NamedTuple):
    """A block of the next micro-batch that this pass has not had in this chunk."""

    kind: Pass
    chunk: int


Own = list[list[int]]
Order = list[list[Block]]
Formula = Callable[[Own, int], Order]


def gpipe(own: Own, micro_batches: int) -> Order:
    """All forwards, then all backwards (Huang et al., GPipe, arXiv:1811.06965, figure 2).

    Backwards run in the order of the forwards, as torch.distributed.pipelining has them.
    """
    return [[Block(kind, chunk, m) for kind in ("F", "BW") for m in range(micro_batches)] for (chunk,) in own]


def one_forward_one_backward(own: Own, micro_batches: int) -> Order:
    """Rank r runs R - r forwards, then alternates (PipeDream-Flush: Narayanan et al., arXiv:2006.09503, section 3)."""
    order: Order = []
    for rank, (chunk,) in enumerate(own):
        forward = [Block("F", chunk, m) for m in range(micro_batches)]
        backward = [Block("BW", chunk, m) for m in range(micro_batches)]
        order.append(_alternating(forward, backward, len(own) - rank))
    return order


def interleaved(own: Own, micro_batches: int) -> Order:
    """1F1B on several chunks per rank (Narayanan et al., arXiv:2104.04473, section 2.2).

    A group of micro-batches passes a rank's first chunk, then its next, and so on. The paper has
    groups of R and M a multiple of R; here they are max(1, M // R) groups, as equal as can be,
    which are those of torch.distributed.pipelining where that takes M.
    """
    ranks, spans = len(own), _groups(len(own), micro_batches)
    order: Order = []
    for rank, chunks in enumerate(own):
        forward = [Block("F", chunk, m) for span in spans for chunk in chunks for m in span]
        backward = [Block("BW", chunk, m) for span in spans for chunk in reversed(chunks) for m in span]
        order.append(_alternating(forward, backward, (len(chunks) - 1) * len(spans[0]) + 2 * (ranks - 1 - rank) + 1))
    return order


def _groups(ranks: int, micro_batches: int) -> list[range]:
    """max(1, M // R) groups of micro-batches, as equal as can be."""
    groups = max(1, micro_batches // ranks)
    borders = [-(-micro_batches * g // groups) for g in range(groups + 1)]
    return [range(borders[g], borders[g + 1]) for g in range(groups)]


def _alternating(forward: list[Block], backward: list[Block], ahead: int) -> list[Block]:
    """``ahead`` forwards, then a backward and a forward in turn, then the backwards that are left."""
    row = forward[:ahead]
    for i, block in enumerate(backward):
        row.append(block)
        row += forward[ahead + i : ahead + i + 1]
    return row


def zero_bubble_1(own: Own, micro_batches: int) -> Order:
    """ZB-H1 for equal passes (Qi et al., Zero Bubble, arXiv:2401.10241, section 2.3): rank r runs R - r forwards first, W r backwards later.

    With several chunks per rank the first group of `interleaved` runs in all but the last of them before, as in torch.distributed.pipelining.
    """
    ranks, spans = len(own), _groups(len(own), micro_batches)
    return [_split(chunks, spans, (len(chunks) - 1) * len(spans[0]) + ranks - rank, rank) for rank, chunks in enumerate(own)]


def zero_bubble_2(own: Own, micro_batches: int) -> Order:
    """ZB-H2 for equal passes (the same section): 2 (R - r) - 1 forwards first, W 2r backwards later."""
    return [_split(chunks, [range(micro_batches)], 2 * (len(own) - rank) - 1, 2 * rank) for rank, chunks in enumerate(own)]


def _split(chunks: list[int], spans: list[range], ahead: int, behind: int) -> list[Block]:
    """``ahead`` forwards, then B, the W of ``behind`` backwards before, and F in turn, then what is left of W."""
    forward = [Block("F", chunk, m) for span in spans for chunk in chunks for m in span]
    backward = [(chunk, m) for span in spans for chunk in reversed(chunks) for m in span]
    row = forward[:ahead]
    for i in range(len(backward) + behind):
        row += [Block("B", *block) for block in backward[i : i + 1]]
        row += [Block("W", *block) for block in backward[max(0, i - behind) : max(0, i - behind + 1)]]
        row += forward[ahead + i : ahead + i + 1]
    return row


def zero_bubble_v(own: Own, micro_batches: int) -> Order:
    """ZB-V for equal passes (Qi et al., Zero Bubble, arXiv:2401.10241, section 6; Controllable Memory, arXiv:2405.15362).

    It needs M >= 2R - 1; fewer micro-batches run in the order that the first M of 2R - 1 have.
    """
    ranks, many = len(own), max(micro_batches, 2 * len(own) - 1)
    order: Order = []
    for rank, (there, back) in enumerate(own):
        f0, b0, w0 = Step("F", there), Step("B", there), Step("W", there)
        f1, b1, w1 = Step("F", back), Step("B", back), Step("W", back)
        after = ranks - rank  # ranks from this one on
        steps = [f0] * (2 * after - 1) + [f1, f0] * rank + [f1, b1, w1] * after
        steps += [f0, b0, w0, f1, b1, w1] * (many - ranks - after + 1)
        steps += [b0, w0, f1, b1, w1] * (after - 1)
        steps += [b0, b1] * rank + [b0, w0] * after + [w1] * rank + [w0] * rank
        order.append([block for block in _numbered(steps) if block.micro_batch < micro_batches])
    return order


def dual_pipe_v(own: Own, micro_batches: int) -> Order:
    """DualPipe cut in half (github.com/deepseek-ai/DualPipe; DeepSeek-V3, arXiv:2412.19437, section 3.2.1).

    Two passes that it overlaps on one processor run one after the other here. It needs M >= 2R; fewer
    micro-batches run in the order that the first M of 2R have.
    """
    ranks, many = len(own), max(micro_batches, 2 * len(own))
    order: Order = []
    for rank, (there, back) in enumerate(own):
        f0, b0, bw0 = Step("F", there), Step("B", there), Step("BW", there)
        f1, b1, bw1 = Step("F", back), Step("B", back), Step("BW", back)
        after = ranks - 1 - rank  # ranks behind this one
        steps = [f0] * (2 * after) + [f0, f1] * (rank + 1) + [b1, Step("W", back), f1] * after
        steps += [f0, bw1, f1, bw0] * (many - 2 * ranks + rank + 1)
        steps += [bw1, f1, bw0] * after
        split = ([b1, b0] * (rank + 1))[rank + 1 :]  # the second half
        gradients = [Step("W", chunk) for _, chunk in split + [b0] * after]
        steps += ([bw1, bw0] * (rank + 1))[: rank + 1] + split
        steps += [step for w in gradients[:after] for step in (w, b0)] + gradients[after:]
        order.append([block for block in _numbered(steps) if block.micro_batch < micro_batches])
    return order


def _numbered(steps: list[Step]) -> list[Block]:
    """The blocks of a rank's steps."""
    row, done = list[Block](), Counter[tuple[str, int]]()
    for kind, chunk in steps:
        row.append(Block(kind, chunk, done[kind[0], chunk]))
        done.update((letter, chunk) for letter in kind)
    return row
