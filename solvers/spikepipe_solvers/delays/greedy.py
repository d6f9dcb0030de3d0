"""Modulo list scheduling where data are ready first, and annealing over its priorities.

Every copy goes to the processor where it ends first. A processor keeps one free arc of the period
and the gaps it left behind; a copy goes into a gap, to an end of the arc, or after a wait that its
share of the idle time can still spare, so that little is lost to gaps no copy fits in. Copies that fit
nowhere are put on the emptiest processor and counted: the loads are mended afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikepipe_solvers.delays.energy import evaluate, record
from spikepipe_solvers.delays.packing import draw, ready_time
from spikepipe_solvers.delays.tables import IN, OUT, PHASE, PROCESSOR, RANK, STAGE, TARGET, Floats, Ints, State, Tables
from spikepipe_solvers.kernel import Kernel

#: Energy of a period of work that fits nowhere: above any sum of delays worth having.
OVERFLOW = 1e5


#: Columns of `Arcs.arc`, of its gaps, and of `Arcs.copy`; where the search notes what it finds and the best of all.
BEGIN, LENGTH, SPARE, GAPS = range(4)
MISSING, READY, PRIORITY, TRIAL, BEST_START = range(5)
WAIT, GAP, START, BEST_GAP = range(4)


class Arcs(NamedTuple):
    """Free time of every processor: an arc of the period, idle time it may lose, and gaps; priorities.

    ``arc`` (P, 4); ``gap`` (P, most, 2) begin and length; ``copy`` (N, 5): inputs still to come, copies that wait for
    nothing, the current priority, the trial, and the best start times. ``found``: wait and gap (-1: the
    arc) of the last search, start and gap of the best processor.
    """

    arc: Ints
    gap: Ints
    copy: Ints
    found: Ints


def make_arcs(tables: Tables) -> Arcs:
    """Empty processors; the first priority is the work that follows."""
    n, count = tables.duration.shape
    arcs = Arcs(
        np.zeros((count, 4), dtype=np.int64), np.zeros((count, 2 * n + 2, 2), dtype=np.int64), np.zeros((n, 5), dtype=np.int64), np.zeros(4, dtype=np.int64)
    )
    arcs.copy[:, PRIORITY] = tables.node[:n, RANK]
    return arcs


@Kernel
def find(a: Arcs, period: int, p: int, ready: int, cycles: int) -> bool:
    """The least wait of a copy on p, into ``found``; whether there is any."""
    wait, gap = -1, -1
    if cycles <= a.arc[p, LENGTH]:
        if a.arc[p, LENGTH] == period:  # empty: it begins where the first copy does
            wait = 0
        else:
            early = (ready - a.arc[p, BEGIN]) % period
            last = a.arc[p, LENGTH] - cycles  # flush with the arc's end
            if early <= a.arc[p, SPARE] and early <= last:
                wait = 0
            else:
                wait = (period - early) % period
                if early <= last:
                    wait = min(wait, max(0, last - a.arc[p, SPARE] - early))
    for i in range(a.arc[p, GAPS]):
        if a.gap[p, i, LENGTH] >= cycles:
            into = (ready - a.gap[p, i, BEGIN]) % period
            here = 0 if into + cycles <= a.gap[p, i, LENGTH] else period - into
            if wait < 0 or here <= wait:
                wait, gap = here, i
    a.found[WAIT], a.found[GAP] = wait, gap
    return wait >= 0


@Kernel
def add_gap(a: Arcs, p: int, phase: int, length: int) -> None:
    """Remember a gap."""
    if length > 0:
        i = a.arc[p, GAPS]
        a.gap[p, i, BEGIN], a.gap[p, i, LENGTH] = phase, length
        a.arc[p, GAPS] = i + 1


@Kernel
def take(a: Arcs, period: int, p: int, start: int, gap: int, cycles: int) -> None:
    """Reserve what `find` found."""
    begin = start % period
    end = (begin + cycles) % period
    if gap >= 0:
        phase, length = a.gap[p, gap, BEGIN], a.gap[p, gap, LENGTH]
        last = a.arc[p, GAPS] - 1
        a.gap[p, gap, BEGIN], a.gap[p, gap, LENGTH] = a.gap[p, last, BEGIN], a.gap[p, last, LENGTH]
        a.arc[p, GAPS] = last
        before = (begin - phase) % period
        add_gap(a, p, phase, before)
        add_gap(a, p, end, length - before - cycles)
        a.arc[p, SPARE] += cycles  # the arc need not hold this copy any more
        return
    if a.arc[p, LENGTH] == period:
        a.arc[p, BEGIN] = begin
    before = (begin - a.arc[p, BEGIN]) % period
    after = a.arc[p, LENGTH] - before - cycles
    if before <= after:  # what lies before is lost, the arc goes on behind the copy
        add_gap(a, p, a.arc[p, BEGIN], before)
        a.arc[p, SPARE] -= before
        a.arc[p, BEGIN], a.arc[p, LENGTH] = end, after
    else:
        add_gap(a, p, end, after)
        a.arc[p, SPARE] -= after
        a.arc[p, LENGTH] = before


@Kernel
def list_schedule(t: Tables, s: State, a: Arcs, share: int) -> int:
    """Schedule by the trial priority into processor, phase, stage and load; the cycles that fit nowhere."""
    n, count = t.duration.shape
    period = t.period
    for p in range(count):
        a.arc[p, BEGIN], a.arc[p, LENGTH], a.arc[p, SPARE], a.arc[p, GAPS], s.load[p] = 0, period, share, 0, 0
    waiting = 0
    for v in range(n):
        a.copy[v, MISSING] = t.node[v + 1, IN] - t.node[v, IN]
        if a.copy[v, MISSING] == 0:
            a.copy[waiting, READY] = v
            waiting += 1
    excess = 0
    while waiting > 0:
        top = 0
        for i in range(1, waiting):
            x, y = a.copy[i, READY], a.copy[top, READY]
            if a.copy[x, TRIAL] > a.copy[y, TRIAL] or (a.copy[x, TRIAL] == a.copy[y, TRIAL] and x < y):
                top = i
        v = a.copy[top, READY]
        waiting -= 1
        a.copy[top, READY] = a.copy[waiting, READY]
        least, to = -1, -count
        for p in range(count):
            cycles = t.duration[v, p]
            if cycles < 0 or s.load[p] + cycles > period:
                continue
            ready = ready_time(t, s, v, p)
            a.found[WAIT], a.found[GAP] = 0, -1
            if cycles == 0 or find(a, period, p, ready, cycles):
                end = ready + a.found[WAIT] + cycles
                if to < 0 or end < least or (end == least and s.load[p] < s.load[to]):
                    least, to = end, p
                    a.found[START], a.found[BEST_GAP] = ready + a.found[WAIT], a.found[GAP]
        if to >= 0:
            if t.duration[v, to] > 0:
                take(a, period, to, a.found[START], a.found[BEST_GAP], t.duration[v, to])
        else:
            for p in range(count):
                if t.duration[v, p] >= 0 and (to < 0 or s.load[p] + t.duration[v, p] < s.load[to] + t.duration[v, to]):
                    to = p
            a.found[START] = ready_time(t, s, v, to)
            excess += t.duration[v, to]
        start = a.found[START]
        s.copy[v, PROCESSOR], s.copy[v, PHASE], s.copy[v, STAGE] = to, start % period, start // period
        s.load[to] += t.duration[v, to]
        for i in range(t.node[v, OUT], t.node[v + 1, OUT]):
            w = t.into[t.out[i], TARGET]
            a.copy[w, MISSING] -= 1
            if a.copy[w, MISSING] == 0:
                a.copy[waiting, READY] = w
                waiting += 1
    return excess


@Kernel
def anneal_priorities(t: Tables, s: State, a: Arcs, steps: int, idle: int, temperature: float, cool: float, logs: Floats) -> float:
    """Change some priorities, schedule, accept or not; the best goes to the state's ``best_...``; the last temperature.

    ``idle``: a processor's share of the idle time. ``logs``: -ln of evenly spread numbers in (0, 1).
    """
    n = len(s.copy)
    spread = 0
    for v in range(n):
        spread = max(spread, t.node[v, RANK])
    spread = spread // 4096 + 1
    for _ in range(steps):
        temperature *= cool
        for v in range(n):
            a.copy[v, TRIAL] = a.copy[v, PRIORITY]
        for _ in range(draw(s.random, n // 10 + 2)):
            v = draw(s.random, n)
            a.copy[v, TRIAL] = t.node[v, RANK] + (draw(s.random, 1024) + draw(s.random, 1024) - 1023) * spread
        excess = list_schedule(t, s, a, idle * draw(s.random, 5) // 4)
        energy = OVERFLOW * (1.0 + excess / t.period) if excess > 0 else evaluate(t, s, 0.0)
        if energy <= s.energy[0] + temperature * logs[draw(s.random, len(logs))]:
            s.energy[0] = energy
            for v in range(n):
                a.copy[v, PRIORITY] = a.copy[v, TRIAL]
        if energy < s.energy[1]:
            record(s, energy)
            for v in range(n):
                a.copy[v, BEST_START] = s.copy[v, STAGE] * t.period + s.copy[v, PHASE]
            if excess == 0 and s.total[0] <= s.total[3]:
                break
    return temperature
