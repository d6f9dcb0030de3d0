"""The specification: what a schedule must satisfy, and what it is worth.

Independent of every solver. `violations` lists all that is wrong; `metrics` recomputes every
figure from the problem and the schedule alone. With K = ``unroll`` and the period L (cycles per K
iterations), copy i of a task in iteration K*q + i starts at ``start + q*L``. Where the platform
declares shared links, every transfer has a start too, and occupies its links.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.memory import peak_memory
from spikepipe_sched.problem import MAX_TIME
from spikepipe_sched.step import callable_module
from spikepipe_sched.traffic import flows, link_loads, traffic_bytes
from spikepipe_sched.transfers import Transfers, arrivals, link_name, links, shared, transfers

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that is wrong: its kind, a sentence that names the tasks, and their names."""

    kind: str
    message: str
    tasks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Every figure of a feasible schedule, recomputed.

    Parameters
    ----------
    length_cycles
        Periodic: the period, per ``unroll`` iterations. Finite: the makespan.
    span_cycles
        From the first start of an iteration to its last result; with unrolling of the ``unroll``
        iterations of a period, in finite mode of the whole run.
    delays, backward_delays
        D_l by layer, in iterations; backward ones differ under ``weights="latest"`` only.
    traffic_bytes
        Bytes that cross between processors per ``unroll`` iterations, or in the whole finite run.
    peak_memory_bytes
        Per processor.
    busy_cycles
        Per processor, within ``length_cycles``.
    utilisation
        Busy cycles / (processors * length).
    mac_utilisation
        Multiply-accumulates / (processing elements * length).
    link_loads
        (from, to, load): time the link's transfers need / ``length_cycles``; above 1 a link could
        not carry them.
    """

    length_cycles: int
    span_cycles: int
    delays: tuple[tuple[str, int], ...]
    backward_delays: tuple[tuple[str, int], ...]
    traffic_bytes: int
    peak_memory_bytes: tuple[int, ...]
    busy_cycles: tuple[int, ...]
    utilisation: float
    mac_utilisation: float
    link_loads: tuple[tuple[str, str, float], ...]

    @property
    def total_delay(self) -> int:
        """The sum of D_l over layers."""
        return sum(delay for _, delay in self.delays)

    @property
    def memory_bytes(self) -> int:
        """The largest peak of any processor."""
        return max(self.peak_memory_bytes)

    def value(self, objective: str) -> int:
        """The metric that an objective names."""
        values = {
            "period": self.length_cycles,
            "makespan": self.length_cycles,
            "delay": self.total_delay,
            "traffic": self.traffic_bytes,
            "memory": self.memory_bytes,
        }
        return values[objective]


def copy_name(problem: Problem, copy: int) -> str:
    """``F(conv1,0)``, with ``#i`` where there are several copies."""
    instance = problem.instance
    task = int(instance.task[copy])
    several = len(problem.tasks.names) != instance.size
    return f"{problem.tasks.names[task]}#{int(instance.copy[copy])}" if several else problem.tasks.names[task]


def durations(problem: Problem, schedule: Schedule) -> Ints:
    """(N,) Cycles of every copy on its processor."""
    return problem.instance.duration[np.arange(problem.instance.size), schedule.processor]


def transfer_structure(problem: Problem, schedule: Schedule) -> list[Violation]:
    """A start for every transfer where links are shared, and for none where they are not."""
    given = schedule.transfers
    if not shared(problem):
        wrong = given is not None
        return [Violation(kind="transfers", message="the schedule says when transfers start, but the platform's links are not shared")] if wrong else []
    size = transfers(problem, schedule.processor).size
    if given is None:
        message = f"{size} transfers share links, but the schedule does not say when they start"
        return [Violation(kind="transfers", message=message)] if size else []
    if len(given) != size:
        return [Violation(kind="transfers", message=f"the schedule has {len(given)} transfers, its placement {size}")]
    if size and not 0 <= int(given.min()) <= int(given.max()) <= MAX_TIME:
        return [Violation(kind="transfers", message=f"transfers start between {given.min()} and {given.max()}, not within 0 and {MAX_TIME}")]
    return []


def structure_violations(problem: Problem, schedule: Schedule) -> list[Violation]:
    """Length, processors, eligibility, negative starts, placement of micro-batches, mode, presence of transfers."""
    instance = problem.instance
    if len(schedule.start) != instance.size:
        return [Violation(kind="tasks", message=f"the schedule has {len(schedule.start)} entries, the problem {instance.size}")]
    latest = max(int(schedule.start.max()), schedule.period or 0)
    if latest > MAX_TIME:  # sums of times must not wrap around
        return [Violation(kind="start", message=f"a start or the period is {latest}, more than {MAX_TIME}")]
    if (schedule.period is None) == (problem.mode == "periodic"):
        return [Violation(kind="period", message=f"a {problem.mode} schedule {'needs a' if problem.mode == 'periodic' else 'has no'} period")]
    bad = np.flatnonzero((schedule.processor < 0) | (schedule.processor >= len(problem.processors)))
    if bad.size:
        return [
            Violation(
                kind="processor",
                message=f"{copy_name(problem, int(v))} is on processor {schedule.processor[v]}, which does not exist",
                tasks=(copy_name(problem, int(v)),),
            )
            for v in bad
        ]
    found = transfer_structure(problem, schedule)
    for v in np.flatnonzero(durations(problem, schedule) < 0).tolist():
        name = copy_name(problem, v)
        found.append(Violation(kind="eligibility", message=f"{name} cannot run on {problem.processors[int(schedule.processor[v])].name}", tasks=(name,)))
    for v in np.flatnonzero(schedule.start < 0).tolist():
        name = copy_name(problem, v)
        found.append(Violation(kind="start", message=f"{name} starts at {schedule.start[v]}, before 0", tasks=(name,)))
    if problem.mode == "finite" and problem.micro_batches > 1:
        first = np.flatnonzero(instance.copy == 0)  # one per task, in task order
        for v in np.flatnonzero(schedule.processor != schedule.processor[first[instance.task]]).tolist():
            name = copy_name(problem, v)
            found.append(Violation(kind="placement", message=f"{name} is not on the processor of the task's first micro-batch", tasks=(name,)))
    return found


def overlap_violations(problem: Problem, schedule: Schedule) -> list[Violation]:
    """No two tasks of a processor, or transfers of a shared link, at once, modulo the period; zero-cycle tasks take no part."""
    duration, found = durations(problem, schedule), link_violations(problem, schedule)
    period = schedule.period
    for p, processor in enumerate(problem.processors):
        here = np.flatnonzero((schedule.processor == p) & (duration > 0))
        for u, v in overlapping(here, schedule.start[here], duration[here], period):
            first, second = copy_name(problem, u), copy_name(problem, v)
            modulo = f" modulo {period}" if period is not None else ""
            what = f"{first} is longer than the period {period}" if u == v else f"{first} and {second} overlap on {processor.name}{modulo}"
            found.append(Violation(kind="overlap", message=what, tasks=(first, second)))
    return found


def overlapping(here: Ints, start: Ints, duration: Ints, period: int | None) -> list[tuple[int, int]]:
    """Pairs of ``here`` that are busy at the same time, modulo the period; one with itself if it is longer."""
    if not here.size:
        return []
    phase = start % period if period is not None else start
    order = np.lexsort((here, phase))
    here, phase = here[order], phase[order]
    end = phase + duration[order]
    latest = np.maximum.accumulate(end)
    holder = np.maximum.accumulate(np.where(end == latest, np.arange(len(here)), 0))
    pairs = [(int(here[holder[i - 1]]), int(here[i])) for i in np.flatnonzero(phase[1:] < latest[:-1]) + 1]
    if period is not None and int(latest[-1]) > int(phase[0]) + period:
        pairs.append((int(here[holder[-1]]), int(here[0])))
    return pairs


def transfer_name(problem: Problem, sent: Transfers, t: int) -> str:
    """``conv1.out from p0 to p1``, with ``#i`` where there are several copies."""
    iteration = f"#{sent.copy[t]}" if problem.micro_batches > 1 else ""
    sender, receiver = problem.processors[int(sent.sender[t])].name, problem.processors[int(sent.receiver[t])].name
    return f"{problem.tensors[int(sent.tensor[t])]}{iteration} from {sender} to {receiver}"


def _producers(problem: Problem, sent: Transfers, *which: int) -> tuple[str, ...]:
    """Names of the tasks whose results the transfers carry."""
    return tuple(copy_name(problem, int(v)) for v in np.unique(sent.flow.source[np.isin(sent.carrier, which)]))


def link_violations(problem: Problem, schedule: Schedule) -> list[Violation]:
    """No two transfers on a shared link at the same time, modulo the period."""
    if schedule.transfers is None:
        return []
    sent, start, found = transfers(problem, schedule.processor), schedule.transfers, list[Violation]()
    sharing = problem.interconnect.sharing
    held = links(sharing, len(problem.processors), sent)
    order = np.argsort(held.ravel(), kind="stable")
    used, first = np.unique(held.ravel()[order], return_index=True)
    for link, here in zip(used.tolist(), np.split(order // held.shape[1], first)[1:], strict=True):
        for t, u in overlapping(here, start[here], sent.cycles[here], schedule.period):
            first, second = transfer_name(problem, sent, t), transfer_name(problem, sent, u)
            modulo = f" modulo {schedule.period}" if schedule.period is not None else ""
            on = link_name(problem, sharing, link)
            what = f"{first} is longer than the period {schedule.period}" if t == u else f"{first} and {second} overlap on {on}{modulo}"
            found.append(Violation(kind="link", message=what, tasks=_producers(problem, sent, t, u)))
    return found


def release_violations(problem: Problem, schedule: Schedule) -> list[Violation]:
    """Every transfer over shared links starts when all it carries is there."""
    if schedule.transfers is None:
        return []
    sent, start, found = transfers(problem, schedule.processor), schedule.transfers, list[Violation]()
    release = sent.releases(schedule.start + durations(problem, schedule))
    for t in np.flatnonzero(start < release).tolist():
        message = f"{transfer_name(problem, sent, t)} starts at {start[t]}, but is complete only at {release[t]}"
        found.append(Violation(kind="transfer", message=message, tasks=_producers(problem, sent, t)))
    return found


def precedence_violations(problem: Problem, schedule: Schedule) -> list[Violation]:
    """Every edge of fixed distance: s_v + distance * period >= s_u + c_u + lag + transfer.

    Over shared links every transfer starts after its producers, and every reader after its arrival.
    """
    instance, duration = problem.instance, durations(problem, schedule)
    u, v = instance.source, instance.target
    if shared(problem):
        ready = arrivals(problem, schedule)[: len(u)]
    else:
        ready = schedule.start[u] + duration[u] + instance.lag + np.where(schedule.processor[u] != schedule.processor[v], instance.transfer, 0)
    start = schedule.start[v] + instance.distance * (schedule.period or 0)
    found = release_violations(problem, schedule)
    for e in np.flatnonzero(start < ready).tolist():
        first, second = copy_name(problem, int(u[e])), copy_name(problem, int(v[e]))
        later = f" of {instance.distance[e]} periods later" if instance.distance[e] else ""
        found.append(
            Violation(
                kind="precedence", message=f"{second}{later} starts at {start[e]}, but {first}'s result is there only at {ready[e]}", tasks=(first, second)
            )
        )
    return found


def layer_delays(problem: Problem, schedule: Schedule) -> tuple[Ints, Ints]:
    """Forward and backward delay of every layer, (layers,) each; 0 for layers without an update.

    D is the least value >= 1 that satisfies precedence for all edges from the update: with K
    copies, reader copy i' uses update copy i = (i' - D) mod K, floor((i + D) / K) periods earlier.
    One D holds for all copies: where a layer's updates follow one another it is the largest of the
    copies' own. Under ``stash`` both delays are over all edges, under ``latest`` over those into F,
    and the rest; where only others read a layer, its forward delay is 1, the least there is.
    """
    instance, k = problem.instance, problem.unroll
    forward, backward = np.zeros(len(problem.layers), dtype=np.int64), np.zeros(len(problem.layers), dtype=np.int64)
    if schedule.period is None or not len(instance.delay_edge):
        return forward, backward
    duration = durations(problem, schedule)
    copies = np.arange(k)
    u = instance.delay_source[:, None] * k + copies  # (m, K): copies of a task are consecutive
    v = instance.delay_target[:, None] * k + copies
    reads_forward = np.array([kind == "F" for kind in problem.tasks.kinds], dtype=bool)[instance.delay_target]
    apart = schedule.processor[u][:, :, None] != schedule.processor[v][:, None, :]
    ready = (schedule.start + duration)[u][:, :, None] + instance.delay_lag[:, None, None] + np.where(apart, instance.delay_transfer[:, None, None], 0)
    if shared(problem):  # then K = 1
        ready = arrivals(problem, schedule)[len(instance.source) :, None, None]
    periods = -((schedule.start[v][:, None, :] - ready) // schedule.period)
    least = periods * k + copies[None, None, :] - copies[None, :, None]  # (m, K update, K reader)

    def smallest(edges: NDArray[np.bool_]) -> int:
        best = None
        for residue in range(k):
            need = int(least[edges][:, (copies - residue) % k, copies].max())
            value = max(1, need)
            value += (residue - value) % k
            best = value if best is None else min(best, value)
        return best or 0

    for layer in np.unique(instance.delay_layer).tolist():
        mine = instance.delay_layer == layer
        if problem.weights == "stash":
            forward[layer] = backward[layer] = smallest(mine)
            continue
        into_forward, others = mine & reads_forward, mine & ~reads_forward
        forward[layer] = smallest(into_forward) if into_forward.any() else 1
        backward[layer] = smallest(others) if others.any() else forward[layer]
    return forward, backward


def span_cycles(problem: Problem, schedule: Schedule) -> int:
    """From the first start to the last result, of all copies: end of a task plus its largest lag."""
    instance, end = problem.instance, schedule.start + durations(problem, schedule)
    last = int(end.max())
    if len(instance.source):
        last = max(last, int((end[instance.source] + instance.lag).max()))
    return last - int(schedule.start.min())


def metrics(problem: Problem, schedule: Schedule) -> Metrics:
    """Recompute every figure of a schedule that has no structure violations."""
    duration = durations(problem, schedule)
    end = schedule.start + duration
    length = schedule.period if schedule.period is not None else int(end.max())
    count = len(problem.processors)
    busy = np.zeros(count, dtype=np.int64)
    np.add.at(busy, schedule.processor, duration)
    forward, backward = layer_delays(problem, schedule)
    flow = flows(problem, forward, backward)
    named = [(name, i) for i, name in enumerate(problem.layers) if forward[i]]
    elements = sum(p.processing_elements for p in problem.processors)
    macs = int(problem.tasks.macs[problem.instance.task].sum())
    return Metrics(
        length_cycles=length,
        span_cycles=span_cycles(problem, schedule),
        delays=tuple((name, int(forward[i])) for name, i in named),
        backward_delays=tuple((name, int(backward[i])) for name, i in named),
        traffic_bytes=traffic_bytes(problem, flow, schedule.processor),
        peak_memory_bytes=peak_memory(problem, schedule, flow),
        busy_cycles=tuple(busy.tolist()),
        utilisation=float(busy.sum()) / (count * length) if length else 0.0,
        mac_utilisation=macs / (elements * length) if length else 0.0,
        link_loads=link_loads(problem, flow, schedule.processor, length),
    )


def limit_violations(problem: Problem, figures: Metrics) -> list[Violation]:
    """Limits on period, makespan, delays, traffic, span and memory."""
    limits, found = problem.limits, list[Violation]()

    def demand(kind: str, what: str, value: int, limit: int | None) -> None:
        if limit is not None and value > limit:
            found.append(Violation(kind=kind, message=f"{what} is {value}, the limit {limit}"))

    if problem.mode == "periodic":
        demand("period limit", "the period", figures.length_cycles, limits.period_cycles)
    else:
        demand("makespan limit", "the makespan", figures.length_cycles, limits.makespan_cycles)
    allowed = dict(zip(problem.layers, problem.delay_limits.tolist(), strict=True))
    for name, delay in figures.delays:
        demand("delay limit", f"the delay of layer '{name}'", delay, allowed[name])
    demand("traffic limit", "the traffic in bytes", figures.traffic_bytes, limits.traffic_bytes)
    demand("span limit", "the span of an iteration", figures.span_cycles, limits.span_cycles)
    for processor, peak in zip(problem.processors, figures.peak_memory_bytes, strict=True):
        demand("memory limit", f"the peak memory of {processor.name} in bytes", peak, processor.memory_bytes)
    return found


def violations(problem: Problem, schedule: Schedule) -> tuple[Violation, ...]:
    """Everything that is wrong with a schedule; empty iff it is feasible."""
    found = structure_violations(problem, schedule)
    if found:
        return tuple(found)
    found = overlap_violations(problem, schedule) + precedence_violations(problem, schedule)
    return tuple(found + limit_violations(problem, metrics(problem, schedule)))


callable_module(__name__, violations)
