"""What a packing is worth: the sum of delays that its phases allow, partly before rounding up.

Write a start as stage * period + phase. With processors and phases given, every copy first goes to the
least stage that its inputs allow; then, updates staying where they are, all others go as late as their
readers allow, for a delay counts from the first reader's start to the update's end. Both are
longest paths over the acyclic edges of distance 0.
"""

from __future__ import annotations

from spikepipe_solvers.delays.tables import (
    ANCHORED,
    BEST_PHASE,
    BEST_PROCESSOR,
    BEST_STAGE,
    BYTES,
    DISTANCE,
    EARLY,
    EARLY_STAGE,
    GROUP,
    IN,
    LAG,
    LATE_STAGE,
    LEAST_STAGE,
    OFFSET,
    OUT,
    PHASE,
    PROCESSOR,
    SLOT,
    SOURCE,
    STAGE,
    TARGET,
    TRANSFER,
    State,
    Tables,
)
from spikepipe_solvers.kernel import Kernel

#: Weight of the delays before rounding up: it leads across the plateaus of the integer objective.
SMOOTH = 0.4
#: Energy of a delay beyond its limit, or of an edge to a later iteration that is missed, per period.
EXCESS = 10.0
#: Periods up to which repeated subtraction is faster than a division.
FEW = 8
#: How often the targets of edges to later iterations are moved on.
MOVES = 8


@Kernel
def earliest(t: Tables, s: State) -> int:
    """Least stages that the inputs allow, from ``least_stage`` on, into ``late_stage``; the last of them.

    Copies of no cycles start when their inputs are there. ``wrap`` of an edge: periods by which the
    stage of its target must exceed its source's.
    """
    period, copy, wrap = t.period, s.copy, s.wrap
    last, most = 0, FEW * period
    for v in range(len(copy)):
        p = copy[v, PROCESSOR]
        if t.duration[v, p] == 0:
            ready = 0
            for e in range(t.node[v, IN], t.node[v + 1, IN]):
                u = t.into[e, SOURCE]
                q = copy[u, PROCESSOR]
                x = copy[u, LATE_STAGE] * period + copy[u, PHASE] + t.duration[u, q] + t.into[e, LAG]
                if q != p:
                    x += t.into[e, TRANSFER]
                ready = max(ready, x)
            copy[v, PHASE] = ready % period
        begin, k = copy[v, PHASE], copy[v, LEAST_STAGE]
        for e in range(t.node[v, IN], t.node[v + 1, IN]):
            u = t.into[e, SOURCE]
            q = copy[u, PROCESSOR]
            x = copy[u, PHASE] + t.duration[u, q] + t.into[e, LAG] - begin
            if q != p:
                x += t.into[e, TRANSFER]
            w = 0
            if x > most or x < -most:
                w = -(-x // period)
                x -= w * period
            while x > 0:  # faster than a division: rarely more than two turns
                x -= period
                w += 1
            while x <= -period:
                x += period
                w -= 1
            wrap[e] = w
            k = max(k, copy[u, LATE_STAGE] + w)
        copy[v, LATE_STAGE] = k
        copy[v, EARLY_STAGE] = k
        last = max(last, k)
    return last


@Kernel
def missed(t: Tables, s: State, e: int) -> int:
    """Cycles by which an edge to a later iteration is missed."""
    u, v = t.far[e, SOURCE], t.far[e, TARGET]
    x = s.copy[u, PHASE] + t.duration[u, s.copy[u, PROCESSOR]] + t.far[e, LAG] - s.copy[v, PHASE]
    if s.copy[u, PROCESSOR] != s.copy[v, PROCESSOR]:
        x += t.far[e, TRANSFER]
    return x + (s.copy[u, LATE_STAGE] - s.copy[v, LATE_STAGE] - t.far[e, DISTANCE]) * t.period


@Kernel
def stages(t: Tables, s: State) -> None:
    """Stages of all copies; targets of edges to later iterations are moved on until those hold, or too often."""
    copy, wrap = s.copy, s.wrap
    for v in range(len(copy)):
        copy[v, LEAST_STAGE] = 0
    last = earliest(t, s)
    for _ in range(MOVES if len(t.far) > 0 else 0):
        moved = False
        for e in range(len(t.far)):
            x = missed(t, s, e)
            if x > 0:
                v = t.far[e, TARGET]
                copy[v, LEAST_STAGE] = copy[v, LATE_STAGE] + (x + t.period - 1) // t.period
                moved = True
        if not moved:
            break
        last = earliest(t, s)
    for v in range(len(copy) - 1, -1, -1):
        if t.node[v, ANCHORED] == 0:
            k = last
            for i in range(t.node[v, OUT], t.node[v + 1, OUT]):
                e = t.out[i]
                k = min(k, copy[t.into[e, TARGET], LATE_STAGE] - wrap[e])
            copy[v, LATE_STAGE] = k


@Kernel
def traffic(t: Tables, s: State) -> int:
    """Bytes that cross between processors."""
    count = t.duration.shape[1]
    total = 0
    for i in range(len(s.stamp)):
        s.stamp[i] = -1
    for f in range(len(t.flow)):
        p, q = s.copy[t.flow[f, SOURCE], PROCESSOR], s.copy[t.flow[f, TARGET], PROCESSOR]
        if p != q and s.stamp[p * count + q] != t.flow[f, GROUP]:
            s.stamp[p * count + q] = t.flow[f, GROUP]
            total += t.flow[f, BYTES]
    return total


@Kernel
def evaluate(t: Tables, s: State, byte: float) -> float:
    """Energy of the packing; ``byte``: what a byte of traffic costs, at sums of delays up to ``total[3]``."""
    stages(t, s)
    period, copies, copy = t.period, t.copies, s.copy
    most = FEW * period
    for i in range(len(s.need)):
        s.need[i] = 1
        s.late[i] = 1.0
    for e in range(len(t.delay)):
        u, v = t.delay[e, SOURCE], t.delay[e, TARGET]
        p = copy[u, PROCESSOR]
        x = copy[u, PHASE] + t.duration[u, p] + t.delay[e, LAG] - copy[v, PHASE]
        if copy[v, PROCESSOR] != p:
            x += t.delay[e, TRANSFER]
        w = copy[u, LATE_STAGE] - copy[v, LATE_STAGE]
        if x > most or x < -most:
            turns = -(-x // period)
            x -= turns * period
            w += turns
        while x > 0:
            x -= period
            w += 1
        while x <= -period:
            x += period
            w -= 1
        w = w * copies + t.delay[e, OFFSET]
        i = t.delay[e, SLOT]
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
    for e in range(len(t.far)):
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


@Kernel
def accept(s: State) -> None:
    """Make the trial's stages the current ones."""
    for v in range(len(s.copy)):
        s.copy[v, STAGE] = s.copy[v, LATE_STAGE]
        s.copy[v, EARLY] = s.copy[v, EARLY_STAGE]


@Kernel
def record(s: State, energy: float) -> None:
    """Keep the trial as the best."""
    s.energy[1] = energy
    s.total[2] = s.total[0]
    for v in range(len(s.copy)):
        s.copy[v, BEST_PROCESSOR] = s.copy[v, PROCESSOR]
        s.copy[v, BEST_PHASE] = s.copy[v, PHASE]
        s.copy[v, BEST_STAGE] = s.copy[v, LATE_STAGE]
