"""What a packing is worth: the sum of delays that its phases allow, partly before rounding up.

Write a start as stage * period + phase. With processors and phases given, every copy first goes to the
least stage that its inputs allow; then, updates staying where they are, all others go as late as their
readers allow, for a delay counts from the first reader's start to the update's end. Both are
longest paths over the acyclic edges of distance 0.
"""

from __future__ import annotations

from spikepipe_solvers.delays.tables import State, Tables
from spikepipe_solvers.kernel import Kernel

#: Weight of the delays before rounding up: it leads across the plateaus of the integer objective.
SMOOTH = 0.4
#: Energy of a delay beyond its limit, or of an edge to a later iteration that is missed, per period.
EXCESS = 10.0
#: How often the targets of edges to later iterations are moved on.
MOVES = 8


@Kernel
def earliest(t: Tables, s: State) -> int:
    """Least stages that the inputs allow, from ``least_stage`` on, into ``late_stage``; the last of them.

    Copies of no cycles start when their inputs are there. ``wrap`` of an edge: periods by which the
    stage of its target must exceed its source's.
    """
    period, n = t.period, len(s.phase)
    stage, phase, processor, wrap = s.late_stage, s.phase, s.processor, s.wrap
    last = 0
    for v in range(n):
        p = processor[v]
        if t.duration[v, p] == 0:
            ready = 0
            for e in range(t.in_ptr[v], t.in_ptr[v + 1]):
                u = t.in_source[e]
                q = processor[u]
                x = stage[u] * period + phase[u] + t.duration[u, q] + t.in_lag[e]
                if q != p:
                    x += t.in_transfer[e]
                ready = max(ready, x)
            phase[v] = ready % period
        begin, k = phase[v], s.least_stage[v]
        for e in range(t.in_ptr[v], t.in_ptr[v + 1]):
            u = t.in_source[e]
            q = processor[u]
            x = phase[u] + t.duration[u, q] + t.in_lag[e] - begin
            if q != p:
                x += t.in_transfer[e]
            w = 0
            while x > 0:  # faster than a division: rarely more than two turns
                x -= period
                w += 1
            while x <= -period:
                x += period
                w -= 1
            wrap[e] = w
            k = max(k, stage[u] + w)
        stage[v] = k
        s.early_stage[v] = k
        last = max(last, k)
    return last


@Kernel
def missed(t: Tables, s: State, e: int) -> int:
    """Cycles by which an edge to a later iteration is missed."""
    u, v = t.far_source[e], t.far_target[e]
    x = s.phase[u] + t.duration[u, s.processor[u]] + t.far_lag[e] - s.phase[v]
    if s.processor[u] != s.processor[v]:
        x += t.far_transfer[e]
    return x + (s.late_stage[u] - s.late_stage[v] - t.far_distance[e]) * t.period


@Kernel
def stages(t: Tables, s: State) -> None:
    """Stages of all copies; targets of edges to later iterations are moved on until those hold, or too often."""
    n, stage, wrap = len(s.phase), s.late_stage, s.wrap
    s.least_stage[:] = 0
    last = earliest(t, s)
    for _ in range(MOVES if len(t.far_source) > 0 else 0):
        moved = False
        for e in range(len(t.far_source)):
            x = missed(t, s, e)
            if x > 0:
                v = t.far_target[e]
                s.least_stage[v] = stage[v] + (x + t.period - 1) // t.period
                moved = True
        if not moved:
            break
        last = earliest(t, s)
    for v in range(n - 1, -1, -1):
        if not t.anchored[v]:
            k = last
            for i in range(t.out_ptr[v], t.out_ptr[v + 1]):
                x = stage[t.out_target[i]] - wrap[t.out_edge[i]]
                k = min(k, x)
            stage[v] = k


@Kernel
def traffic(t: Tables, s: State) -> int:
    """Bytes that cross between processors."""
    count = t.duration.shape[1]
    total = 0
    for i in range(len(s.stamp)):
        s.stamp[i] = -1
    for f in range(len(t.flow_group)):
        p, q = s.processor[t.flow_source[f]], s.processor[t.flow_target[f]]
        if p != q and s.stamp[p * count + q] != t.flow_group[f]:
            s.stamp[p * count + q] = t.flow_group[f]
            total += t.flow_bytes[f]
    return total


@Kernel
def evaluate(t: Tables, s: State, byte: float) -> float:
    """Energy of the packing; ``byte``: what a byte of traffic costs, at sums of delays up to ``total[3]``."""
    stages(t, s)
    period, copies = t.period, t.copies
    stage, phase, processor = s.late_stage, s.phase, s.processor
    for i in range(len(s.need)):
        s.need[i] = 1
        s.late[i] = 1.0
    for e in range(len(t.delay_source)):
        u, v = t.delay_source[e], t.delay_target[e]
        x = phase[u] + t.duration[u, processor[u]] + t.delay_lag[e] - phase[v]
        if processor[u] != processor[v]:
            x += t.delay_transfer[e]
        w = stage[u] - stage[v]
        while x > 0:
            x -= period
            w += 1
        while x <= -period:
            x += period
            w -= 1
        w = w * copies + t.delay_offset[e]
        i = t.delay_slot[e]
        s.need[i] = max(s.need[i], w)
        exact = w + copies * (x / period)
        s.late[i] = max(s.late[i], exact)
    total, energy = 0, 0.0
    for layer in range(len(t.limit)):
        delay, late = 0, 0.0
        for residue in range(copies):
            i = layer * copies + residue
            value = s.need[i] + (residue - s.need[i]) % copies
            if residue == 0 or value < delay:
                delay, late = value, s.late[i]
        total += delay
        energy += SMOOTH * late
        if delay > t.limit[layer]:
            energy += EXCESS * (delay - t.limit[layer])
    for e in range(len(t.far_source)):
        x = missed(t, s, e)
        if x > 0:
            energy += EXCESS * (1.0 + x / period)
    s.total[0] = total
    if byte > 0.0:
        s.total[1] = traffic(t, s)
        energy += byte * s.total[1]
        if total > s.total[3]:
            energy += EXCESS * (total - s.total[3])
    return energy + total
