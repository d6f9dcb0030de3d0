"""The inner loop of iterative modulo scheduling: slots of a processor, modulo the period, and who must leave them.

Arrays are flat, so that the same functions run compiled on arrays and as plain Python on lists. A
processor's copies stand in ``slots`` in order of their phase, from ``processor * width`` on.
"""

from __future__ import annotations

from typing import Any

from spikepipe_solvers.kernel import Kernel

#: Most sweeps over all edges: longest paths cross iterations a few times, positive cycles for ever.
SWEEPS = 100


@Kernel
def longest_paths(order: Any, pointer: Any, node: Any, wait: Any, value: Any) -> bool:
    """Raise ``value`` to the longest path along the edges, in place; False if a cycle is positive, or the sweeps run out.

    ``node[pointer[v]:pointer[v + 1]]`` are the ends of v's edges, ``wait`` the time from one to the
    other. With ``order`` topological one sweep does for edges inside an iteration, so that a path needs as many
    as it has edges between iterations, and one more.
    """
    for _ in range(min(len(order) + 1, SWEEPS)):
        changed = False
        for v in order:
            for e in range(pointer[v], pointer[v + 1]):
                if value[node[e]] + wait[e] > value[v]:
                    value[v] = value[node[e]] + wait[e]
                    changed = True
        if not changed:
            return True
    return False


@Kernel
def turn_of(slots: Any, offset: int, held: int, phase: Any, at: int) -> int:
    """How many of a processor's copies have a phase before ``at``."""
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if phase[slots[offset + middle]] < at:
            low = middle + 1
        else:
            high = middle
    return low


@Kernel
def idle_before(slots: Any, offset: int, held: int, phase: Any, taken: Any, period: int, begin: int) -> int:
    """Cycles between ``begin`` and the end of the copy before it; 0 on an empty processor."""
    if held == 0:
        return 0
    at = begin % period
    low = turn_of(slots, offset, held, phase, at)
    last = slots[offset + (low - 1) % held]
    return at - phase[last] - taken[last] + (period if low == 0 else 0)


@Kernel
def first_slot(slots: Any, offset: int, held: int, phase: Any, taken: Any, period: int, ready: int, need: int) -> int:
    """Earliest start in [ready, ready + period) at which ``need`` cycles are free; -1 if there is none.

    ``slots[offset:offset + held]`` are the processor's copies in order of ``phase``, ``taken`` their cycles.
    """
    if held == 0:
        return ready if need <= period else -1
    at = ready % period
    low = turn_of(slots, offset, held, phase, at)
    last = slots[offset + (low - 1) % held]
    free = phase[last] + taken[last] - at - (period if low == 0 else 0)  # cycles after ``ready``
    free = max(free, 0)
    for step in range(low, low + held + 1):
        after = slots[offset + step % held]
        begin = phase[after] + step // held * period - at
        if begin - free >= need:
            return ready + free
        free = max(free, begin + taken[after])
        if free >= period:
            return -1
    return -1


@Kernel
def next_end(slots: Any, offset: int, held: int, phase: Any, taken: Any, period: int, after: int) -> int:
    """The first time later than ``after`` at which a copy of the processor ends, modulo the period."""
    least = period
    for i in range(offset, offset + held):
        wait = (phase[slots[i]] + taken[slots[i]] - after) % period
        if 0 < wait < least:
            least = wait
    return after + least


@Kernel
def force_cost(slots: Any, offset: int, held: int, phase: Any, taken: Any, evicted: Any, period: int, begin: int, need: int) -> int:
    """How often those that overlap [begin, begin + need) have been evicted, each counted once more."""
    cost = 0
    for i in range(offset, offset + held):
        v = slots[i]
        if (phase[v] - begin) % period < need or (begin - phase[v]) % period < taken[v]:
            cost += 1 + evicted[v]
    return cost


@Kernel
def remove(v: int, slots: Any, width: int, held: Any, processor: Any, taken: Any) -> None:
    """Take a copy from its processor."""
    p = processor[v]
    processor[v] = -1
    if taken[v] == 0:
        return
    i = p * width
    while slots[i] != v:
        i += 1
    held[p] -= 1
    for j in range(i, p * width + held[p]):
        slots[j] = slots[j + 1]


@Kernel
def insert(v: int, p: int, slots: Any, width: int, held: Any, phase: Any) -> None:
    """Put a copy among those of a processor, in order of phase."""
    i = p * width + held[p]
    held[p] += 1
    while i > p * width and phase[slots[i - 1]] > phase[v]:
        slots[i] = slots[i - 1]
        i -= 1
    slots[i] = v


@Kernel
def place(
    period: int,
    budget: int,
    seed: int,
    waste: int,
    count: int,
    width: int,
    duration: Any,
    home: Any,
    order: Any,
    earliest: Any,
    latest: Any,
    in_pointer: Any,
    in_node: Any,
    in_wait: Any,
    in_transfer: Any,
    out_pointer: Any,
    out_node: Any,
    out_wait: Any,
    out_transfer: Any,
    start: Any,
    processor: Any,
    taken: Any,
    phase: Any,
    slots: Any,
    held: Any,
    evicted: Any,
    rank: Any,
    last: Any,
) -> int:
    """Placements left of the budget when all copies lie, or -1; see `ModuloScheduler.at` for the arrays."""
    n, next_rank, random = len(order), 0, seed
    for spent in range(budget + 1):
        while next_rank < n and processor[order[next_rank]] >= 0:
            next_rank += 1
        if next_rank == n:
            return budget - spent
        v = order[next_rank]
        best, best_p, best_class, best_cost = 0, -1, 0, 0
        for p in range(count):
            cycles = duration[v * count + p]
            if cycles < 0 or cycles > period or (home[v] >= 0 and home[v] != p):
                continue
            ready, due = earliest[v], latest[v]
            for e in range(in_pointer[v], in_pointer[v + 1]):
                u = in_node[e]
                if processor[u] >= 0:
                    ready = max(ready, start[u] + taken[u] + in_wait[e] + (in_transfer[e] if processor[u] != p else 0))
            for e in range(out_pointer[v], out_pointer[v + 1]):
                w = out_node[e]
                if processor[w] >= 0:
                    due = min(due, start[w] - cycles - out_wait[e] - (out_transfer[e] if processor[w] != p else 0))
            begin = first_slot(slots, p * width, held[p], phase, taken, period, ready, cycles) if cycles else ready
            random = (random * 1103515245 + 12345) & 0x7FFFFFFF
            if 0 <= begin <= latest[v]:  # 0: leaves all others alone, 1: evicts consumers
                rating, cost = (0 if begin <= due else 1), begin + cycles
                if waste and cycles:
                    cost += waste * idle_before(slots, p * width, held[p], phase, taken, period, begin) // 4
            else:
                begin = ready if ready > last[v] else next_end(slots, p * width, held[p], phase, taken, period, last[v])
                if begin > latest[v] or begin >= ready + period:
                    begin = ready
                rating, cost = 2, force_cost(slots, p * width, held[p], phase, taken, evicted, period, begin, cycles)
            better = best_p < 0 or rating < best_class or (rating == best_class and cost < best_cost)
            tie = best_p >= 0 and rating == best_class and cost == best_cost and (random >> 16) & 1
            if better or tie:
                best, best_p, best_class, best_cost = begin, p, rating, cost
        if best_p < 0 or best > latest[v]:
            return -1
        p = best_p
        start[v], taken[v], phase[v], last[v] = best, duration[v * count + p], best % period, best
        if best_class == 2:
            i = p * width
            while i < p * width + held[p]:
                u = slots[i]
                if (phase[u] - phase[v]) % period < taken[v] or (phase[v] - phase[u]) % period < taken[u]:
                    remove(u, slots, width, held, processor, taken)
                    evicted[u] += 1
                    next_rank = min(next_rank, rank[u])
                else:
                    i += 1
        processor[v] = p
        if taken[v]:
            insert(v, p, slots, width, held, phase)
        for e in range(out_pointer[v], out_pointer[v + 1]):
            w = out_node[e]
            if processor[w] >= 0 and w != v and start[w] < best + taken[v] + out_wait[e] + (out_transfer[e] if processor[w] != p else 0):
                remove(w, slots, width, held, processor, taken)
                evicted[w] += 1
                next_rank = min(next_rank, rank[w])
    return -1
