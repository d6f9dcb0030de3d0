"""Bounds on what moves between processors, and on what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds.bound import CUTS, RESIDENT, TRIVIAL, Bound

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


def traffic_bound(problem: Problem, length: int) -> Bound:
    """Tensors that cross as no processor can do all the work within ``length`` cycles (period or makespan).

    A processor is busy for at most the length, so at least k = ceil(work / length) of them run
    something. Draw one node per used processor, and an edge where a tensor crosses: with c components of the
    tasks (along edges with bytes) the drawing has at most c, so a forest of k - c or more edges.
    Each stands for a tensor that a task sends to another processor, a different one for each edge,
    as sender and receiver differ; it counts once for every copy of its tensor. A tensor is sent
    to no more processors than tasks read it, so the k - c cheapest of all (tensor, reader) pairs
    bound the traffic.

    Unrolled copies are separate, but for their fixed edges: which copy reads a delayed tensor is
    not known. Micro-batches share their task's processor: there the nodes are tasks, and a tensor
    crosses as many times as the edge has copies; once, if the one update of a finite run sums it.
    """
    instance, edges = problem.instance, problem.edges
    work = int(instance.min_duration().sum())
    used = -(-work // max(length, 1))
    if used <= 1:
        return Bound(value=0, source=TRIVIAL)
    finite = problem.mode == "finite"
    node = instance.task if finite else np.arange(instance.size)
    source, target, edge = node[instance.source], node[instance.target], instance.edge
    times = np.bincount(edge, minlength=len(edges.source))  # copies of an edge, drawn as one between tasks
    times[np.array([kind == "U" for kind in problem.tasks.kinds], dtype=bool)[edges.target]] = 1
    if finite:
        edge, first = np.unique(edge, return_index=True)
        source, target = source[first], target[first]
    elif problem.unroll == 1:
        source, target = np.concatenate([source, instance.delay_source]), np.concatenate([target, instance.delay_target])
        edge = np.concatenate([edge, instance.delay_edge])
    per_edge = np.diff(edges.tensor_ptr)[edge]
    row = np.repeat(np.arange(len(edge)), per_edge)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(per_edge) - per_edge, per_edge)
    price = problem.tensor_bytes[edges.tensor[edges.tensor_ptr[edge[row]] + offset]] * (times[edge[row]] if finite else 1)
    source, target = source[row], target[row]
    sent = (price > 0) & (source != target)
    missing = used - _components(int(node.max()) + 1, source[sent], target[sent])
    return Bound(value=int(np.sort(price[sent])[: max(0, missing)].sum()), source=CUTS)


def _components(count: int, source: Ints, target: Ints) -> int:
    """Number of connected components: roots hook onto smaller ones until none are linked."""
    root = np.arange(count)
    while True:
        first, second = root[source], root[target]
        if np.array_equal(first, second):
            return int((root == np.arange(count)).sum())
        np.minimum.at(root, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(root[root], root):
            root = root[root]


def memory_bound(problem: Problem) -> Bound:
    """What an update keeps for its own next run (weights, optimizer state) is always somewhere.

    Those bytes lie on the update's processor all the time, so the fullest processor holds at least
    their mean, and at least the largest of them. A finite run that may take no time holds nothing.
    """
    edges, kinds = problem.edges, problem.tasks.kinds
    kept = (edges.source == edges.target) & (edges.distance == 1)
    if problem.mode == "finite":  # only an update's state outlives the micro-batches
        kept &= np.array([kinds[u] == "U" for u in edges.source.tolist()], dtype=bool)
        kept &= bool(problem.instance.min_duration().any())
    tensors = {t for e in np.flatnonzero(kept).tolist() for t in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist()}
    sizes = [int(problem.tensor_bytes[t]) for t in sorted(tensors)]
    return Bound(value=max([0, -(-sum(sizes) // len(problem.processors)), *sizes]), source=RESIDENT)
