"""Load balancing: which processor runs which task, so that the largest load is least.

With unlimited delays this alone decides the period (P||C_max on like processors, R||C_max on
unlike ones). Longest processing time first (Graham 1969, doi:10.1137/0117039), then moves and swaps
that lower the fullest processor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def loads(duration: Ints, processor: Ints) -> Ints:
    """(P,) Cycles on every processor."""
    load = np.zeros(duration.shape[1], dtype=np.int64)
    np.add.at(load, processor, duration[np.arange(len(processor)), processor])
    return load


def longest_first(duration: Ints) -> Ints:
    """(N,) Longest tasks first, each where it would end first; -1 durations are impossible."""
    far = np.iinfo(np.int64).max // 4
    cycles = np.where(duration < 0, far, duration)
    load = np.zeros(duration.shape[1], dtype=np.int64)
    processor = np.zeros(len(duration), dtype=np.int64)
    for v in np.argsort(-cycles.min(axis=1), kind="stable").tolist():
        p = int((load + cycles[v]).argmin())
        processor[v] = p
        load[p] += cycles[v, p]
    return processor


def improve(duration: Ints, processor: Ints, rounds: int = 2000) -> Ints:
    """Move a task off the fullest processor, or swap it for a shorter one, while that lowers the pair's larger load."""
    processor = processor.copy()
    load = loads(duration, processor)
    far = np.iinfo(np.int64).max // 4
    cycles = np.where(duration < 0, far, duration)
    for _ in range(rounds):
        full = int(load.argmax())
        best: tuple[int, int, int, int] | None = None  # new larger load of the pair, v, p, w
        mine = np.flatnonzero((processor == full) & (duration[:, full] > 0))
        for p in range(len(load)):
            if p == full:
                continue
            theirs = np.flatnonzero((processor == p) & (duration[:, p] > 0))
            swap_in = np.concatenate([[0], cycles[theirs, full]])  # 0: move without a swap
            swap_out = np.concatenate([[0], cycles[theirs, p]])
            new_full = load[full] - cycles[mine, full][:, None] + swap_in[None, :]
            new_other = load[p] + cycles[mine, p][:, None] - swap_out[None, :]
            larger = np.maximum(new_full, new_other)
            if larger.size:
                i, j = np.unravel_index(int(larger.argmin()), larger.shape)
                candidate = (int(larger[i, j]), int(mine[i]), p, -1 if j == 0 else int(theirs[j - 1]))
                best = candidate if best is None or candidate < best else best
        if best is None or best[0] >= load[full]:
            break
        _, v, p, w = best
        processor[v] = p
        if w >= 0:
            processor[w] = full
        load = loads(duration, processor)
    return processor


def balance(duration: Ints) -> Ints:
    """(N,) A well balanced assignment in milliseconds."""
    return improve(duration, longest_first(duration))
