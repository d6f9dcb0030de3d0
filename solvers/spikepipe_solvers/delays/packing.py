"""Changes of a packing: every processor's copies in a circular sequence, without overlap at any time."""

from __future__ import annotations

from spikepipe_solvers.delays.tables import Ints, State, Tables
from spikepipe_solvers.kernel import Kernel


@Kernel
def draw(random: Ints, below: int) -> int:
    """A random number in [0, below), below 2^20: xorshift of 32 bits (Marsaglia 2003, doi:10.18637/jss.v008.i14)."""
    x = int(random[0])
    x ^= (x << 13) & 0xFFFFFFFF
    x ^= x >> 17
    x ^= (x << 5) & 0xFFFFFFFF
    random[0] = x
    return (x * below) >> 32


@Kernel
def ready_time(t: Tables, s: State, v: int, p: int) -> int:
    """When the inputs of v are on p."""
    ready = 0
    for e in range(t.in_ptr[v], t.in_ptr[v + 1]):
        u = t.in_source[e]
        q = s.processor[u]
        x = s.stage[u] * t.period + s.phase[u] + t.duration[u, q] + t.in_lag[e]
        if q != p:
            x += t.in_transfer[e]
        ready = max(ready, x)
    return ready


@Kernel
def due_time(t: Tables, s: State, v: int, p: int) -> int:
    """When v must end on p for its readers to start where they do; v has a reader."""
    due = 1 << 62
    for i in range(t.out_ptr[v], t.out_ptr[v + 1]):
        w = t.out_target[i]
        e = t.out_edge[i]
        x = s.stage[w] * t.period + s.phase[w] - t.in_lag[e]
        if s.processor[w] != p:
            x -= t.in_transfer[e]
        due = min(due, x)
    return int(due)


@Kernel
def insert(t: Tables, s: State, v: int, p: int, at: int, yielding: bool) -> None:
    """Put v, which is in no sequence, at phase ``at`` of p, whose load leaves room for it.

    Copies in its way move no further than they must: later ones later and, where the idle time is used up,
    earlier ones earlier. A copy that is running at ``at`` goes before v if ``yielding``, else after.
    """
    period, m = t.period, s.filled[p]
    sequence, order, phase = s.sequence[p], s.order, s.phase
    first, least = 0, period
    for i in range(m):
        wait = phase[sequence[i]] - at
        if wait < 0:
            wait += period
        if wait < least:
            first, least = i, wait
    order[0] = v
    pushed = False
    if m > 0:
        last = first - 1 if first > 0 else m - 1
        x = sequence[last]
        since = at - phase[x]
        if since < 0:
            since += period
        pushed = since > 0 and since < t.duration[x, p] and not yielding
        i = last if pushed else first
        for j in range(m):
            order[j + 1] = sequence[i]
            i += 1
            if i == m:
                i = 0
    idle = period
    for j in range(m + 1):
        idle -= t.duration[order[j], p]
    phase[v] = at
    end = t.duration[v, p]
    latest = end + idle  # if all that follow are packed tightly against the next turn of v
    for j in range(1, m + 1):
        x = order[j]
        begin = phase[x] - at
        if begin < 0:
            begin += period
        if j == 1 and pushed:
            begin = 0
        begin = max(begin, end)
        begin = min(begin, latest)
        end = begin + t.duration[x, p]
        latest += t.duration[x, p]
        begin += at
        phase[x] = begin if begin < period else begin - period
    for j in range(m + 1):
        sequence[j] = order[j]
    s.filled[p] = m + 1


@Kernel
def remove(s: State, v: int, p: int) -> None:
    """Take v out of p's sequence."""
    j = 0
    for i in range(s.filled[p]):
        if s.sequence[p, i] != v:
            s.sequence[p, j] = s.sequence[p, i]
            j += 1
    s.filled[p] = j


@Kernel
def keep(s: State, p: int, slot: int) -> int:
    """Remember a processor; the number of its copies."""
    for j in range(s.filled[p]):
        v = s.sequence[p, j]
        s.kept_sequence[slot, j] = v
        s.kept_phase[v] = s.phase[v]
    return s.filled[p]


@Kernel
def restore(s: State, p: int, slot: int, count: int) -> None:
    """Undo all changes of a processor's copies."""
    for j in range(count):
        v = s.kept_sequence[slot, j]
        s.sequence[p, j] = v
        s.phase[v] = s.kept_phase[v]
        s.processor[v] = p
    s.filled[p] = count


@Kernel
def place(t: Tables, s: State, v: int, p: int, ready: int) -> int:
    """Start of v on p, from ``ready`` on, for the least sum of waiting and of pushing others later."""
    period, m, cycles = t.period, s.filled[p], t.duration[v, p]
    if m == 0:
        return ready
    sequence, phase = s.sequence[p], s.phase
    at = ready % period
    x = sequence[m - 1]
    begin = (phase[x] + t.duration[x, p]) % period
    best, chosen = -1, 0
    for i in range(m):
        y = sequence[i]
        hole = phase[y] - begin
        if hole < 0:
            hole += period
        if m == 1:
            hole = period - t.duration[y, p]
        since = at - begin
        if since < 0:
            since += period
        wait = 0
        if since <= hole:
            hole -= since
        else:
            wait = period - since
        cost = wait + (cycles - hole if hole < cycles else 0)
        if best < 0 or cost < best:
            best, chosen = cost, wait
        begin = (phase[y] + t.duration[y, p]) % period
    return ready + chosen


@Kernel
def rebuild(t: Tables, s: State, order: Ints) -> None:
    """Pack anew with the processors of the state, copies in the given topological order."""
    s.filled[:] = 0
    s.load[:] = 0
    for i in range(len(order)):
        v = int(order[i])
        p = int(s.processor[v])
        ready = ready_time(t, s, v, p)
        start = ready
        if t.duration[v, p] > 0:
            start = place(t, s, v, p, ready)
            insert(t, s, v, p, start % t.period, True)
            s.load[p] += t.duration[v, p]
        s.stage[v] = start // t.period
        s.phase[v] = start % t.period


@Kernel
def relieve(t: Tables, s: State, capacity: int, rounds: int) -> bool:
    """Move or swap copies off the fullest processor until every load fits; sequences do not count here.

    Where neither lowers the larger load of a pair any more, two copies change places at random.
    """
    n, count = t.duration.shape
    for _ in range(rounds):
        full = 0
        for p in range(count):
            if s.load[p] > s.load[full]:
                full = p
        if s.load[full] <= capacity:
            return True
        best, first, second, to = s.load[full], -1, -1, -1
        for v in range(n):
            if s.processor[v] != full:
                continue
            for p in range(count):  # move
                if p != full and t.duration[v, p] >= 0:
                    high = max(s.load[full] - t.duration[v, full], s.load[p] + t.duration[v, p])
                    if high < best:
                        best, first, second, to = high, v, -1, p
            for w in range(n):  # swap
                p = s.processor[w]
                if p != full and t.duration[v, p] >= 0 and t.duration[w, full] >= 0:
                    change = t.duration[v, p] - t.duration[w, p]
                    high = max(s.load[full] - t.duration[v, full] + t.duration[w, full], s.load[p] + change)
                    if high < best:
                        best, first, second, to = high, v, w, p
        if first < 0:
            v, w = draw(s.random, n), draw(s.random, n)
            p, q = s.processor[v], s.processor[w]
            if p == q or t.duration[v, q] < 0 or t.duration[w, p] < 0:
                continue
            full, to, first, second = p, q, v, w
        s.load[full] -= t.duration[first, full]
        s.load[to] += t.duration[first, to]
        s.processor[first] = to
        if second >= 0:
            s.load[to] -= t.duration[second, to]
            s.load[full] += t.duration[second, full]
            s.processor[second] = full
    return False
