"""Simulated annealing of a packing: one copy moves, or two change places, per step.

A copy is taken out of its processor's sequence and put back where its inputs arrive, where its readers need
it, or next to another; on its own processor or on another one, whose load must leave room for it or
gives a copy in exchange. Half of the copies are chosen on the longest way to an update, where
waiting costs delay.
"""

from __future__ import annotations

from spikepipe_solvers.delays.energy import accept, evaluate, record
from spikepipe_solvers.delays.packing import draw, due_time, insert, keep, ready_time, remove, restore
from spikepipe_solvers.delays.tables import EARLY, IN, LAG, OUT, PHASE, PROCESSOR, SOURCE, TRANSFER, Floats, State, Tables
from spikepipe_solvers.kernel import Kernel

#: Waits passed over on the way back from an update.
SKIPS = 6


@Kernel
def waiting(t: Tables, s: State) -> int:
    """A copy that waits on the longest way to some update: the way back follows the inputs that come last."""
    v = t.delay[draw(s.random, len(t.delay)), SOURCE]
    last, skip = v, draw(s.random, SKIPS)
    while True:
        p = s.copy[v, PROCESSOR]
        latest, who = -1, -1
        for e in range(t.node[v, IN], t.node[v + 1, IN]):
            u = t.into[e, SOURCE]
            q = s.copy[u, PROCESSOR]
            x = s.copy[u, EARLY] * t.period + s.copy[u, PHASE] + t.duration[u, q] + t.into[e, LAG]
            if q != p:
                x += t.into[e, TRANSFER]
            if x > latest:
                latest, who = x, u
        if who < 0:
            return last
        if s.copy[v, EARLY] * t.period + s.copy[v, PHASE] > latest:
            last = v
            if skip == 0:
                return last
            skip -= 1
        v = who


@Kernel
def partner(t: Tables, s: State, v: int, p: int, excess: int) -> int:
    """A copy on p that can change places with v; -1 if there is none."""
    q, m = s.copy[v, PROCESSOR], s.filled[p]
    i = draw(s.random, m) if m > 0 else 0
    for _ in range(m):
        w = s.sequence[p, i]
        if t.duration[w, p] >= excess and t.duration[w, q] > 0 and s.load[q] - t.duration[v, q] + t.duration[w, q] <= t.period:
            return w
        i += 1
        if i == m:
            i = 0
    return -1


@Kernel
def aim(t: Tables, s: State, v: int, p: int) -> int:
    """A phase on p to put v at."""
    period, how = t.period, draw(s.random, 100)
    if how < 50 and t.node[v + 1, IN] > t.node[v, IN]:
        return ready_time(t, s, v, p) % period
    if how < 90 and t.node[v + 1, OUT] > t.node[v, OUT]:
        return int((due_time(t, s, v, p) - t.duration[v, p]) % period)
    if s.filled[p] == 0:
        return s.copy[v, PHASE]
    x = s.sequence[p, draw(s.random, s.filled[p])]
    return int((s.copy[x, PHASE] + t.duration[x, p]) % period) if x != v else int(s.copy[v, PHASE])


@Kernel
def snapped(t: Tables, s: State, p: int, at: int) -> int:
    """Half of the time the phase itself, else mostly the end, now and then the start, of the copy that runs then."""
    how = draw(s.random, 100)
    if how < 50:
        for j in range(s.filled[p]):
            x = s.sequence[p, j]
            since = at - s.copy[x, PHASE]
            if since < 0:
                since += t.period
            if since < t.duration[x, p]:
                at = int(s.copy[x, PHASE])
                return (at + int(t.duration[x, p])) % t.period if how < 40 else at
    return at


@Kernel
def anneal(t: Tables, s: State, steps: int, temperature: float, cool: float, byte: float, logs: Floats) -> float:
    """Steps from the state's packing until they end or the sum of delays reaches ``total[3]``; the last temperature.

    The best goes to the state's ``best_...``. ``byte``: what a byte of traffic costs. ``logs``: -ln of
    evenly spread numbers in (0, 1).
    """
    n, count = t.duration.shape
    for _ in range(steps):
        temperature *= cool
        v = draw(s.random, n)
        if len(t.delay) > 0 and draw(s.random, 2) == 0:
            v = waiting(t, s)
        q = s.copy[v, PROCESSOR]
        p = q if draw(s.random, 2) == 0 else draw(s.random, count)
        cycles = t.duration[v, p]
        if cycles < 0:
            continue
        if t.duration[v, q] == 0 or cycles == 0:
            continue
        w = -1
        if p != q and s.load[p] + cycles > t.period:
            w = partner(t, s, v, p, s.load[p] + cycles - t.period)
            if w < 0:
                continue
        left = keep(s, q, count)
        right = keep(s, p, count + 1) if p != q else 0
        at, old = aim(t, s, v, p), s.copy[v, PHASE]
        remove(s, v, q)
        if w >= 0:
            remove(s, w, p)
        at = snapped(t, s, p, at)
        s.copy[v, PROCESSOR] = p
        insert(t, s, v, p, at, draw(s.random, 2) == 0)
        s.load[q] -= t.duration[v, q]
        s.load[p] += cycles
        if w >= 0:
            s.copy[w, PROCESSOR] = q
            s.load[p] -= t.duration[w, p]
            s.load[q] += t.duration[w, q]
            insert(t, s, w, q, old, draw(s.random, 2) == 0)
        energy = evaluate(t, s, byte)
        if energy <= s.energy[0] + temperature * logs[draw(s.random, len(logs))]:
            s.energy[0] = energy
            accept(s)
            if energy < s.energy[1]:
                record(s, energy)
                if s.total[2] <= s.total[3] and byte == 0.0:
                    break
        else:
            restore(s, q, count, left)
            s.load[q] += t.duration[v, q]
            s.load[p] -= cycles
            if p != q:
                restore(s, p, count + 1, right)
                if w >= 0:
                    s.load[p] += t.duration[w, p]
                    s.load[q] -= t.duration[w, q]
    return temperature
