"""Modulo list scheduling where data are ready first, and annealing over its priorities.

Every copy goes to the processor where it ends first. A processor keeps one free arc of the period
and the gaps it left behind; a copy goes into a gap, to an end of the arc, or after a wait that its
share of the idle time can still spare, so that little is lost to gaps no copy fits in. Copies that fit
nowhere are put on the emptiest processor and counted: the loads are mended afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikepipe_solvers.delays.energy import evaluate
from spikepipe_solvers.delays.packing import draw, ready_time
from spikepipe_solvers.delays.tables import Floats, Ints, State, Tables
from spikepipe_solvers.kernel import Kernel

#: Energy of a period of work that fits nowhere: above any sum of delays worth having.
OVERFLOW = 1e5


class Arcs(NamedTuple):
    """Free time of every processor: an arc of the period, idle time it may lose, and gaps; priorities.

    ``missing`` and ``ready``: inputs still to come, and copies that wait for nothing. ``priority``: the
    current one, the trial, the best start times. ``found``: wait and gap (-1: the arc) of the last search.
    """

    begin: Ints
    length: Ints
    spare: Ints
    gap_phase: Ints
    gap_length: Ints
    gaps: Ints
    missing: Ints
    ready: Ints
    priority: Ints
    found: Ints


def make_arcs(tables: Tables) -> Arcs:
    """Empty processors; the first priority is the work that follows."""
    n, count = tables.duration.shape

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    arcs = Arcs(
        zeros(count), zeros(count), zeros(count), zeros(count, 2 * n + 2), zeros(count, 2 * n + 2), zeros(count), zeros(n), zeros(n), zeros(3, n), zeros(4)
    )
    arcs.priority[0] = tables.rank
    return arcs


@Kernel
def find(a: Arcs, period: int, p: int, ready: int, cycles: int) -> bool:
    """The least wait of a copy on p, into ``found``; whether there is any."""
    wait, gap = -1, -1
    if cycles <= a.length[p]:
        if a.length[p] == period:  # empty: it begins where the first copy does
            wait = 0
        else:
            early = (ready - a.begin[p]) % period
            last = a.length[p] - cycles  # flush with the arc's end
            if early <= a.spare[p] and early <= last:
                wait = 0
            else:
                wait = (period - early) % period
                if early <= last:
                    wait = min(wait, max(0, last - a.spare[p] - early))
    for i in range(a.gaps[p]):
        if a.gap_length[p, i] >= cycles:
            into = (ready - a.gap_phase[p, i]) % period
            here = 0 if into + cycles <= a.gap_length[p, i] else period - into
            if wait < 0 or here <= wait:
                wait, gap = here, i
    a.found[0], a.found[1] = wait, gap
    return wait >= 0


@Kernel
def add_gap(a: Arcs, p: int, phase: int, length: int) -> None:
    """Remember a gap."""
    if length > 0:
        i = a.gaps[p]
        a.gap_phase[p, i], a.gap_length[p, i] = phase, length
        a.gaps[p] = i + 1


@Kernel
def take(a: Arcs, period: int, p: int, start: int, gap: int, cycles: int) -> None:
    """Reserve what `find` found."""
    begin = start % period
    end = (begin + cycles) % period
    if gap >= 0:
        phase, length = a.gap_phase[p, gap], a.gap_length[p, gap]
        last = a.gaps[p] - 1
        a.gap_phase[p, gap], a.gap_length[p, gap] = a.gap_phase[p, last], a.gap_length[p, last]
        a.gaps[p] = last
        before = (begin - phase) % period
        add_gap(a, p, phase, before)
        add_gap(a, p, end, length - before - cycles)
        a.spare[p] += cycles  # the arc need not hold this copy any more
        return
    if a.length[p] == period:
        a.begin[p] = begin
    before = (begin - a.begin[p]) % period
    after = a.length[p] - before - cycles
    if before <= after:  # what lies before is lost, the arc goes on behind the copy
        add_gap(a, p, a.begin[p], before)
        a.spare[p] -= before
        a.begin[p], a.length[p] = end, after
    else:
        add_gap(a, p, end, after)
        a.spare[p] -= after
        a.length[p] = before


@Kernel
def list_schedule(t: Tables, s: State, a: Arcs, share: int) -> int:
    """Schedule by the trial priority into processor, phase, stage and load; the cycles that fit nowhere."""
    n, count = t.duration.shape
    period = t.period
    a.begin[:] = 0
    a.length[:] = period
    a.spare[:] = share
    a.gaps[:] = 0
    s.load[:] = 0
    waiting = 0
    for v in range(n):
        a.missing[v] = t.in_ptr[v + 1] - t.in_ptr[v]
        if a.missing[v] == 0:
            a.ready[waiting] = v
            waiting += 1
    excess = 0
    while waiting > 0:
        top = 0
        for i in range(1, waiting):
            x, y = a.ready[i], a.ready[top]
            if a.priority[1, x] > a.priority[1, y] or (a.priority[1, x] == a.priority[1, y] and x < y):
                top = i
        v = a.ready[top]
        waiting -= 1
        a.ready[top] = a.ready[waiting]
        least, to, start, gap = -1, -1, 0, -1
        for p in range(count):
            cycles = t.duration[v, p]
            if cycles < 0 or s.load[p] + cycles > period:
                continue
            ready = ready_time(t, s, v, p)
            a.found[0], a.found[1] = 0, -1
            if cycles == 0 or find(a, period, p, ready, cycles):
                end = ready + a.found[0] + cycles
                if to < 0 or end < least or (end == least and s.load[p] < s.load[to]):
                    least, to, start, gap = end, p, ready + a.found[0], a.found[1]
        if to >= 0:
            if t.duration[v, to] > 0:
                take(a, period, to, start, gap, t.duration[v, to])
        else:
            for p in range(count):
                if t.duration[v, p] >= 0 and (to < 0 or s.load[p] + t.duration[v, p] < s.load[to] + t.duration[v, to]):
                    to = p
            start = ready_time(t, s, v, to)
            excess += t.duration[v, to]
        s.processor[v], s.phase[v], s.stage[v] = to, start % period, start // period
        s.load[to] += t.duration[v, to]
        for i in range(t.out_ptr[v], t.out_ptr[v + 1]):
            w = t.out_target[i]
            a.missing[w] -= 1
            if a.missing[w] == 0:
                a.ready[waiting] = w
                waiting += 1
    return excess


@Kernel
def anneal_priorities(t: Tables, s: State, a: Arcs, steps: int, idle: int, temperature: float, cool: float, logs: Floats) -> float:
    """Change some priorities, schedule, accept or not; the best goes to the state's ``best_...``; the last temperature.

    ``idle``: a processor's share of the idle time. ``logs``: -ln of evenly spread numbers in (0, 1).
    """
    n = len(s.phase)
    spread = t.rank.max() // 4096 + 1
    for _ in range(steps):
        temperature *= cool
        a.priority[1] = a.priority[0]
        for _ in range(draw(s.random, n // 10 + 2)):
            v = draw(s.random, n)
            a.priority[1, v] = t.rank[v] + (draw(s.random, 1024) + draw(s.random, 1024) - 1023) * spread
        excess = list_schedule(t, s, a, idle * draw(s.random, 5) // 4)
        energy = OVERFLOW * (1.0 + excess / t.period) if excess > 0 else evaluate(t, s, 0.0)
        if energy <= s.energy[0] + temperature * logs[draw(s.random, len(logs))]:
            s.energy[0] = energy
            a.priority[0] = a.priority[1]
        if energy < s.energy[1]:
            s.energy[1] = energy
            s.best_processor[:] = s.processor
            s.best_phase[:] = s.phase
            s.best_stage[:] = s.late_stage
            s.total[2] = s.total[0]
            for v in range(n):
                a.priority[2, v] = s.stage[v] * t.period + s.phase[v]
            if excess == 0 and s.total[0] <= s.total[3]:
                break
    return temperature
