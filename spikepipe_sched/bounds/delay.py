"""Bounds on the delays: an update and what it waits for take time, and delays must cover it.

Take a layer l, copy i of its update U, and the reader x of copy i' that sees this update q periods of
L cycles later: s_x + q * L >= end(U_i) + lag, and the transfer if no processor can run both. So the
readers of iteration i' start after the origin O = end(U_i) - q * L (plus their lags), and from O to the
end of their own update all that lies between runs, as if in a finite schedule: no two tasks of one
processor overlap modulo the period, hence not at all. If every schedule needs T cycles for that, then
end(U_i') - end(U_i) + q * L >= T. Over the K copies i the i' are a permutation and the q sum to D_l:
D_l * L >= K * T, so D_l >= ceil(K * T / L).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds.bound import LAYER_LENGTH, LAYER_PATH, Bound, once
from spikepipe_sched.bounds.heads import NEVER, Graph, machines, plain_waits, simple
from spikepipe_sched.bounds.load import MOST_CELLS, load_length
from spikepipe_sched.bounds.makespan import MOST_CHOICES, heads_and_tails, longest
from spikepipe_sched.instance import edge_bytes, transfer_cycles
from spikepipe_sched.problem import MAX_INT

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


def counted(problem: Problem) -> NDArray[np.bool_]:
    """(m,) The delay edges that D is about: all under ``stash``, those into F under ``latest``."""
    forward = np.array([kind == "F" for kind in problem.tasks.kinds], dtype=bool)
    return forward[problem.instance.delay_target] | (problem.weights == "stash")


def certain_lags(problem: Problem) -> tuple[Ints, Ints]:
    """Lags of the edges of fixed distance, and of those of a delay, with their transfers where no class runs both ends."""
    instance, tasks = problem.instance, problem.tasks
    able = tasks.cycles[:, machines(problem)[0]] >= 0

    def certain(source: Ints, target: Ints, lag: Ints, transfer: Ints) -> Ints:
        return lag + np.where((able[source] & able[target]).any(axis=1), 0, transfer)

    return (
        certain(instance.task[instance.source], instance.task[instance.target], instance.lag, instance.transfer),
        certain(instance.delay_source, instance.delay_target, instance.delay_lag, instance.delay_transfer),
    )


@once
def layer_paths(problem: Problem) -> Ints:
    """(layers,) Longest path from a reader of layer l's weights to U(l)'s result for that reader.

    Along edges of distance 0, with the fastest durations and lags, transfers 0; 0 where no reader
    reaches the update. In a schedule of period lambda a reader starts at s, U(l) ends at s + path or
    later (less or more the lag on the way back), and D_l * lambda must cover that:
    D_l >= ceil(path / lambda).
    """
    tasks, edges = problem.tasks, problem.edges
    cycles = np.where(tasks.cycles < 0, np.iinfo(np.int64).max, tasks.cycles)
    present = sorted({p.kind for p in problem.processors})
    duration = cycles[:, present].min(axis=1).tolist()
    successors: list[list[tuple[int, int]]] = [[] for _ in duration]
    for e in np.flatnonzero((edges.distance == 0) & (edges.delay_layer < 0)).tolist():
        successors[int(edges.source[e])].append((int(edges.target[e]), int(edges.lag[e])))
    first = problem.instance.copy == 0
    order = [int(problem.instance.task[v]) for v in problem.instance.order.tolist() if first[v]]
    paths = np.zeros(len(problem.layers), dtype=np.int64)
    readers: dict[tuple[int, int], set[tuple[int, int]]] = {}  # (layer, update) -> (reader, lag)
    for e in np.flatnonzero(edges.delay_layer >= 0).tolist():
        if problem.weights == "latest" and tasks.kinds[int(edges.target[e])] != "F":
            continue
        readers.setdefault((int(edges.delay_layer[e]), int(edges.source[e])), set()).add((int(edges.target[e]), int(edges.lag[e])))
    for (layer, update), starts in readers.items():
        to_update = [-MAX_INT] * len(duration)
        to_update[update] = duration[update]
        for v in reversed(order):
            for w, lag in successors[v]:
                if to_update[w] > -MAX_INT:
                    to_update[v] = max(to_update[v], duration[v] + lag + to_update[w])
        paths[layer] = max(int(paths[layer]), *(to_update[v] + lag for v, lag in starts if to_update[v] > -MAX_INT), 0)
    paths.flags.writeable = False
    return paths


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """What lies between the readers of a layer and one of its updates, of one iteration.

    ``release`` (N,): least starts of the readers after the origin; ``deadline`` (N,): 0 for the
    update; -`NEVER` for all other tasks.
    """

    layer: int
    graph: Graph
    release: Ints
    deadline: Ints


def stretches(problem: Problem) -> list[Stretch]:
    """Every (layer, update) that a reader reaches along edges of distance 0."""
    instance, whole = problem.instance, _task_graph(problem)
    mine = np.flatnonzero(counted(problem))
    found: list[Stretch] = []
    for layer, update in sorted({(int(instance.delay_layer[e]), int(instance.delay_source[e])) for e in mine}):
        edges = mine[(instance.delay_layer[mine] == layer) & (instance.delay_source[mine] == update)]
        readers = instance.delay_target[edges]
        able = whole.cycles >= 0
        shared = (able[readers] & able[update]).any(axis=1)
        release = np.full(len(whole.cycles), -NEVER)
        np.maximum.at(release, readers, instance.delay_lag[edges] + np.where(shared, 0, instance.delay_transfer[edges]))
        between = _reached(whole, release > -NEVER) & _reached(whole.reversed(), np.arange(len(release)) == update)
        if between.any():
            deadline = np.where(np.arange(len(release)) == update, 0, -NEVER)
            found.append(Stretch(layer=layer, graph=_part(whole, between), release=release[between], deadline=deadline[between]))
    return found


def _task_graph(problem: Problem) -> Graph:
    """The tasks of one iteration and their edges of distance 0."""
    tasks, edges, instance, (kinds, counts) = problem.tasks, problem.edges, problem.instance, machines(problem)
    inside = np.flatnonzero((edges.distance == 0) & (edges.delay_layer < 0))
    transfer = transfer_cycles(problem.interconnect, edge_bytes(problem)[inside])
    source, target, lag, apart = simple(edges.source[inside], edges.target[inside], edges.lag[inside], transfer)
    return Graph(
        order=instance.task[instance.order[instance.copy[instance.order] == 0]],
        source=source,
        target=target,
        lag=lag,
        apart=apart,
        cycles=tasks.cycles[:, kinds],
        processors=counts,
        group=np.arange(len(tasks.names)),
    )


def _reached(graph: Graph, start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) The tasks that a path leads to, those at its start included."""
    successors = [list[int]() for _ in range(len(start))]
    edges: list[list[int]] = np.stack([graph.source, graph.target], axis=1).tolist()
    for u, v in edges:
        successors[u].append(v)
    reached = start.copy()
    stack: list[int] = np.flatnonzero(start).tolist()
    while stack:
        for v in successors[stack.pop()]:
            if not reached[v]:
                reached[v] = True
                stack.append(v)
    return reached


def _part(graph: Graph, inside: NDArray[np.bool_]) -> Graph:
    """The graph of some of the tasks, numbered anew."""
    number = np.cumsum(inside) - 1
    kept = inside[graph.source] & inside[graph.target]
    return Graph(
        order=number[graph.order[inside[graph.order]]],
        source=number[graph.source[kept]],
        target=number[graph.target[kept]],
        lag=graph.lag[kept],
        apart=graph.apart[kept],
        cycles=graph.cycles[inside],
        processors=graph.processors,
        group=np.arange(int(inside.sum())),
    )


def layer_lengths(problem: Problem) -> Ints:
    """(layers,) Cycles that every schedule needs between the origin of a layer's readers and its update's end.

    The best, for every layer, of `layer_paths`, the path with transfers and the load of intervals in
    between, as for a makespan. Beyond `MOST_CHOICES` layers times edges only the first.
    """
    lengths = layer_paths(problem).copy()
    for stretch, whole in _measured(problem):
        lengths[stretch.layer] = max(int(lengths[stretch.layer]), whole)
    return lengths


@once
def _measured(problem: Problem) -> list[tuple[Stretch, int]]:
    """The stretches and their lengths; none if there is too much to measure."""
    layers = len(np.unique(problem.instance.delay_layer))
    if layers * len(problem.edges.source) > MOST_CHOICES:
        return []
    found: list[tuple[Stretch, int]] = []
    for stretch in stretches(problem):
        head, tail = heads_and_tails(stretch.graph, stretch.release, stretch.deadline)
        length = longest(stretch.graph, head, tail)
        found.append((stretch, load_length(stretch.graph, head, tail, length, MOST_CELLS // layers)))
    return found


def cut_path(stretch: Stretch, capacity: int) -> int:
    """Length of the longest path, with the transfers that it pays as no processor holds more than ``capacity`` cycles.

    The tasks of a processor together take at most a period of L cycles. A schedule cuts the path into
    runs of neighbours on one processor, each of at most L cycles (on the fastest class, it has no more),
    and pays the transfer wherever it cuts: also where no class can run both ends. The cheapest cuts are
    found from run to run; ``cheapest[i]`` are the transfers up to the start of a run at task i.
    """
    graph, cycles = stretch.graph, stretch.graph.fastest
    path, edges = _longest_path(stretch)
    base = int(stretch.release[path[0]] + cycles[path].sum() + graph.lag[edges].sum())
    price = (graph.apart - graph.lag)[edges].tolist()
    able = graph.cycles >= 0
    shared: NDArray[np.bool_] = np.any(able[graph.source[edges]] & able[graph.target[edges]], axis=1)
    before = np.concatenate([[0], np.cumsum(cycles[path])]).tolist()  # work on the path before each task
    cheapest = [0]
    starts = deque([0])  # of the runs that may end before task i, by rising price: the cheapest is first
    for i in range(1, len(path)):
        while len(starts) > 1 and before[i] - before[starts[0]] > capacity:
            starts.popleft()
        cheapest.append(cheapest[starts[0]] + price[i - 1])
        if not shared[i - 1]:
            starts.clear()
        while starts and cheapest[starts[-1]] >= cheapest[i]:
            starts.pop()
        starts.append(i)
    while len(starts) > 1 and before[-1] - before[starts[0]] > capacity:
        starts.popleft()
    return base + cheapest[starts[0]]


def _longest_path(stretch: Stretch) -> tuple[Ints, Ints]:
    """Tasks and edges of a longest path from a reader to the update, without transfers."""
    graph, cycles = stretch.graph, stretch.graph.fastest
    bare = Graph(
        order=graph.order,
        source=graph.source,
        target=graph.target,
        lag=graph.lag,
        apart=graph.lag,
        cycles=cycles[:, None],
        processors=np.ones(1, dtype=np.int64),
        group=graph.group,
    )
    start = plain_waits(bare, stretch.release)[:, 0]
    v = int(np.flatnonzero(stretch.deadline == 0)[0])
    path, edges = [v], list[int]()
    while start[v] > stretch.release[v]:
        into = np.flatnonzero(graph.target == v)
        e = int(into[np.argmax((start + cycles)[graph.source[into]] + graph.lag[into])])
        v = int(graph.source[e])
        path.append(v)
        edges.append(e)
    return np.array(path[::-1]), np.array(edges[::-1], dtype=np.int64)


def least_delays(problem: Problem, period: int) -> Ints:
    """(layers,) What every D_l is at least at this period (cycles per ``unroll`` iterations); 0 for layers without a delay.

    D_l >= ceil(K * T / period) with the larger T of `layer_lengths` and `cut_path`, and D_l >= 1. A
    longer period never gives more: what holds at one period holds at all shorter ones.
    """
    lengths = layer_paths(problem).copy()
    for stretch, whole in _measured(problem):
        lengths[stretch.layer] = max(int(lengths[stretch.layer]), whole, cut_path(stretch, period))
    return _delays(problem, lengths, period)


def _delays(problem: Problem, lengths: Ints, period: int) -> Ints:
    delayed = np.zeros(len(lengths), dtype=bool)
    delayed[problem.instance.delay_layer] = True
    return np.where(delayed, np.maximum(1, -(-lengths * problem.unroll // period)), 0)


def delay_bound(problem: Problem, period: int) -> Bound:
    """Best bound on the sum of D_l at a given period: the sum of `least_delays`."""
    plain, total = int(_delays(problem, layer_paths(problem), period).sum()), int(least_delays(problem, period).sum())
    return Bound(value=total, source=LAYER_PATH if plain == total else LAYER_LENGTH)
