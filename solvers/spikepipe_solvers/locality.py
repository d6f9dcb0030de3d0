"""Assignments with little traffic among those within a largest load.

Many assignments have the same largest load: equal tasks (the windows of a layer) may be exchanged, and
most processors have some cycles to spare. Threshold accepting (Dueck and Scheuer 1990,
doi:10.1016/0021-9991(90)90201-B) over moves and swaps that keep all loads within the limit lowers the bytes
that cross between processors, each counted as `spikepipe_sched.traffic` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem
from spikepipe_sched.traffic import flows
from spikepipe_solvers.balance import loads, own
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.kernel import Kernel

Ints = NDArray[np.int64]

#: Steps per copy, most steps in all, and how often they are interrupted to look at the clock.
STEPS, MOST_STEPS, ROUNDS = 400, 5_000_000, 20
#: Partners tried in one exchange.
PARTNERS = 20
#: First threshold, as a share of the largest tensor.
HOT = 0.5
#: Largest table of how many readers of a tensor stand between two processors (128 MB).
MOST_CELLS = 2**24
#: Copies from which the compiled kernels pay for being loaded.
LARGE = 100
#: Deterministic work of a step (about seconds).
STEP_WORK = 2e-6


@Kernel
def shift(v: int, p: int, count: int, processor: Any, pointer: Any, other: Any, sends: Any, group: Any, size: Any, readers: Any) -> int:
    """Move copy v to processor p; the change of the traffic in bytes.

    ``readers[(group * count + sender) * count + receiver]`` counts the movements of a tensor
    between two processors; it crosses once if there are any.
    """
    change, q = 0, processor[v]
    for e in range(pointer[v], pointer[v + 1]):
        far, cell = processor[other[e]], group[e] * count
        if far != q:
            at = (cell + q) * count + far if sends[e] else (cell + far) * count + q
            readers[at] -= 1
            if readers[at] == 0:
                change -= size[e]
        if far != p:
            at = (cell + p) * count + far if sends[e] else (cell + far) * count + p
            readers[at] += 1
            if readers[at] == 1:
                change += size[e]
    processor[v] = p
    return change


@Kernel
def exchange(
    steps: int,
    seed: int,
    hot: int,
    cold: int,
    most: int,
    partners: int,
    count: int,
    duration: Any,
    processor: Any,
    load: Any,
    pointer: Any,
    other: Any,
    sends: Any,
    group: Any,
    size: Any,
    readers: Any,
    best: Any,
    score: Any,
) -> int:
    """Random moves and swaps within ``most`` cycles, thresholds falling from ``hot`` to ``cold`` bytes; the next seed.

    ``score`` holds the present and the least traffic, ``best`` the assignment of the latter.
    """
    n, random = len(processor), seed
    for step in range(steps):
        random = (random * 1103515245 + 12345) & 0x7FFFFFFF
        v = (random >> 4) % n
        random = (random * 1103515245 + 12345) & 0x7FFFFFFF
        p, q = (random >> 8) % count, processor[v]
        here, there = duration[v * count + q], duration[v * count + p]
        if p == q or there < 0:
            continue
        threshold = hot - (hot - cold) * step // steps
        w = -1
        if load[p] + there > most:
            random = (random * 1103515245 + 12345) & 0x7FFFFFFF
            first = (random >> 4) % n
            tried = 0
            for i in range(n):
                u = (first + i) % n
                if processor[u] == p and duration[u * count + q] >= 0:
                    tried += 1
                    fits = load[p] + there - duration[u * count + p] <= most and load[q] - here + duration[u * count + q] <= most
                    if fits and duration[u * count + p] > 0:
                        w = u
                        break
                    if tried == partners:
                        break
            if w < 0:
                continue
        change = shift(v, p, count, processor, pointer, other, sends, group, size, readers)
        if w >= 0:
            change += shift(w, q, count, processor, pointer, other, sends, group, size, readers)
        random = (random * 1103515245 + 12345) & 0x7FFFFFFF
        if change > threshold * (random >> 16) // 32768:
            if w >= 0:
                shift(w, p, count, processor, pointer, other, sends, group, size, readers)
            shift(v, q, count, processor, pointer, other, sends, group, size, readers)
            continue
        load[p] += there
        load[q] -= here
        if w >= 0:
            load[p] -= duration[w * count + p]
            load[q] += duration[w * count + q]
        score[0] += change
        if score[0] < score[1]:
            score[1] = score[0]
            for i in range(n):
                best[i] = processor[i]
    return random


def lower_traffic(problem: Problem, processor: Ints, most: int, clock: Clock, seed: int) -> Ints:
    """An assignment (N,) with loads up to ``most`` (that of the given one, at least) and no more traffic than it.

    Weights are counted as with delays of 1: whatever the delay, they are sent as often if unroll is 1.
    """
    instance = problem.instance
    n, count = instance.duration.shape
    ones = np.ones(len(problem.layers), dtype=np.int64)
    flow = flows(problem, ones, ones)
    moved = np.flatnonzero(flow.source != flow.target)
    tensors, group = np.unique(flow.tensor[moved] * (int(flow.copy.max(initial=0)) + 1) + flow.copy[moved], return_inverse=True)
    group, cells = group.ravel(), len(tensors) * count * count
    if not len(moved) or count == 1 or cells > MOST_CELLS:
        return processor
    fast = n >= LARGE
    source, target = flow.source[moved], flow.target[moved]
    sender, receiver = processor[source], processor[target]
    apart = sender != receiver
    readers = np.bincount(((group * count + sender) * count + receiver)[apart], minlength=cells)
    size = problem.tensor_bytes[flow.tensor[moved]]
    bytes_of = np.zeros(len(tensors), dtype=np.int64)
    bytes_of[group] = size
    present = int(bytes_of[np.flatnonzero(readers) // (count * count)].sum())
    ends = np.concatenate([source, target])
    order = np.argsort(ends, kind="stable")
    pointer = np.searchsorted(ends[order], np.arange(n + 1))
    edges = (np.concatenate([target, source])[order], np.repeat([1, 0], len(moved))[order], np.tile(group, 2)[order], np.tile(size, 2)[order])
    state = [own(array, fast=fast) for array in (instance.duration.ravel(), processor, loads(instance.duration, processor), pointer, *edges, readers)]
    best, score = own(processor, fast=fast), own(np.array([present, present]), fast=fast)
    hot, random = int(HOT * int(size.max())), seed & 0x7FFFFFFF
    run: Callable[..., int] = exchange.pick(fast=fast)
    for turn in range(ROUNDS):
        if clock.expired() or score[1] == 0:
            break
        steps = min(STEPS * n, MOST_STEPS) // ROUNDS
        clock.spend(steps * STEP_WORK)
        high, low = hot * (ROUNDS - turn) // ROUNDS, hot * (ROUNDS - turn - 1) // ROUNDS
        random = run(steps, random, high, low, most, PARTNERS, count, *state, best, score)
    return np.array(best, dtype=np.int64)
