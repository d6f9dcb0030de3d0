"""Changes of a packing: every processor's copies in a circular sequence, without overlap at any time."""

from __future__ import annotations

from spikepipe_solvers.delays.energy import accept, evaluate, record
from spikepipe_solvers.delays.tables import IN, KEPT_PHASE, LAG, OUT, PHASE, PROCESSOR, SOURCE, STAGE, TARGET, TRANSFER, Ints, State, Tables
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
    for e in range(t.node[v, IN], t.node[v + 1, IN]):
        u = t.into[e, SOURCE]
        q = s.copy[u, PROCESSOR]
        x = s.copy[u, STAGE] * t.period + s.copy[u, PHASE] + t.duration[u, q] + t.into[e, LAG]
        if q != p:
            x += t.into[e, TRANSFER]
        ready = max(ready, x)
    return ready


@Kernel
def due_time(t: Tables, s: State, v: int, p: int) -> int:
    """When v must end on p for its readers to start where they do; v has a reader."""
    due = 1 << 62
    for i in range(t.node[v, OUT], t.node[v + 1, OUT]):
        e = t.out[i]
        w = t.into[e, TARGET]
        x = s.copy[w, STAGE] * t.period + s.copy[w, PHASE] - t.into[e, LAG]
        if s.copy[w, PROCESSOR] != p:
            x -= t.into[e, TRANSFER]
        due = min(due, x)
    return int(due)


@Kernel
def insert(t: Tables, s: State, v: int, p: int, at: int, yielding: int) -> None:
    """Put v, which is in no sequence, at phase ``at`` of p, whose load leaves room for it.

    Copies in its way move no further than they must: later ones later and, where the idle time is used up,
    earlier ones earlier. A copy that is running at ``at`` goes before v if ``yielding``, else after.
    """
    period, m = t.period, s.filled[p]
    sequence, order, copy = s.sequence[p], s.sequence[len(s.load) + 2], s.copy
    first, least = 0, period
    for i in range(m):
        wait = copy[sequence[i], PHASE] - at
        if wait < 0:
            wait += period
        if wait < least:
            first, least = i, wait
    order[0] = v
    pushed = False
    if m > 0:
        last = first - 1 if first > 0 else m - 1
        x = sequence[last]
        since = at - copy[x, PHASE]
        if since < 0:
            since += period
        pushed = since > 0 and since < t.duration[x, p] and yielding == 0
        i = last if pushed else first
        for j in range(m):
            order[j + 1] = sequence[i]
            i += 1
            if i == m:
                i = 0
    idle = period
    for j in range(m + 1):
        idle -= t.duration[order[j], p]
    copy[v, PHASE] = at
    end = t.duration[v, p]
    latest = end + idle  # if all that follow are packed tightly against the next turn of v
    for j in range(1, m + 1):
        x = order[j]
        begin = copy[x, PHASE] - at
        if begin < 0:
            begin += period
        if j == 1 and pushed:
            begin = 0
        begin = max(begin, end)
        begin = min(begin, latest)
        end = begin + t.duration[x, p]
        latest += t.duration[x, p]
        begin += at
        copy[x, PHASE] = begin if begin < period else begin - period
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
def keep(s: State, p: int, row: int) -> int:
    """Remember a processor in a row of the sequences; the number of its copies."""
    for j in range(s.filled[p]):
        v = s.sequence[p, j]
        s.sequence[row, j] = v
        s.copy[v, KEPT_PHASE] = s.copy[v, PHASE]
    return s.filled[p]


@Kernel
def restore(s: State, p: int, row: int, count: int) -> None:
    """Undo all changes of a processor's copies."""
    for j in range(count):
        v = s.sequence[row, j]
        s.sequence[p, j] = v
        s.copy[v, PHASE] = s.copy[v, KEPT_PHASE]
        s.copy[v, PROCESSOR] = p
    s.filled[p] = count


@Kernel
def place(t: Tables, s: State, v: int, p: int, ready: int) -> int:
    """Start of v on p, from ``ready`` on, for the least sum of waiting and of pushing others later."""
    period, m, cycles = t.period, s.filled[p], t.duration[v, p]
    if m == 0:
        return ready
    sequence, copy = s.sequence[p], s.copy
    at = ready % period
    x = sequence[m - 1]
    begin = (copy[x, PHASE] + t.duration[x, p]) % period
    best, chosen = -1, 0
    for i in range(m):
        y = sequence[i]
        hole = copy[y, PHASE] - begin
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
        begin = (copy[y, PHASE] + t.duration[y, p]) % period
    return ready + chosen


@Kernel
def rebuild(t: Tables, s: State, order: Ints) -> None:
    """Pack anew with the processors of the state, copies in the given topological order."""
    for p in range(len(s.load)):
        s.filled[p], s.load[p] = 0, 0
    for i in range(len(order)):
        v = int(order[i])
        p = int(s.copy[v, PROCESSOR])
        ready = ready_time(t, s, v, p)
        start = ready
        if t.duration[v, p] > 0:
            start = place(t, s, v, p, ready)
            insert(t, s, v, p, start % t.period, 1)
            s.load[p] += t.duration[v, p]
        s.copy[v, STAGE] = start // t.period
        s.copy[v, PHASE] = start % t.period


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
            if s.copy[v, PROCESSOR] != full:
                continue
            for p in range(count):  # move
                if p != full and t.duration[v, p] >= 0:
                    high = max(s.load[full] - t.duration[v, full], s.load[p] + t.duration[v, p])
                    if high < best:
                        best, first, second, to = high, v, -1, p
            for w in range(n):  # swap
                p = s.copy[w, PROCESSOR]
                if p != full and t.duration[v, p] >= 0 and t.duration[w, full] >= 0:
                    change = t.duration[v, p] - t.duration[w, p]
                    high = max(s.load[full] - t.duration[v, full] + t.duration[w, full], s.load[p] + change)
                    if high < best:
                        best, first, second, to = high, v, w, p
        if first < 0:
            v, w = draw(s.random, n), draw(s.random, n)
            p, q = s.copy[v, PROCESSOR], s.copy[w, PROCESSOR]
            if p == q or t.duration[v, q] < 0 or t.duration[w, p] < 0:
                continue
            full, to, first, second = p, q, v, w
        s.load[full] -= t.duration[first, full]
        s.load[to] += t.duration[first, to]
        s.copy[first, PROCESSOR] = to
        if second >= 0:
            s.load[to] -= t.duration[second, to]
            s.load[full] += t.duration[second, full]
            s.copy[second, PROCESSOR] = full
    return False


@Kernel
def mend(t: Tables, s: State, order: Ints, rounds: int, byte: float) -> bool:
    """Mend the loads in so many rounds, pack anew in the given order unless that is empty, and make the packing current and best.

    False, and no packing, if the loads do not fit.
    """
    if not relieve(t, s, t.period, rounds):
        return False
    if len(order) > 0:
        rebuild(t, s, order)
    s.energy[0] = evaluate(t, s, byte)
    accept(s)
    record(s, s.energy[0])
    return True
