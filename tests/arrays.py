"""Problems straight from arrays: what a graph of a million tasks would take half a minute to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikepipe_sched.platform import Interconnect
from spikepipe_sched.problem import Edges, Ints, Problem, Processor, Tasks, ints


def array_problem(cycles: Any, source: Any, target: Any, size: Any, kinds: Sequence[int], *, latency_cycles: int = 0, name: str = "arrays") -> Problem:
    """A finite problem of the makespan; links carry a byte per cycle.

    Parameters
    ----------
    cycles
        (n,) or (n, C).
    source, target, size
        (m,) Edges and their bytes.
    kinds
        The class of every processor.
    """
    table = np.asarray(cycles).reshape(len(cycles), -1)
    n, m, carries = len(table), len(source), np.asarray(size) > 0
    zero, none = ints(np.zeros(n, dtype=np.int64)), ints(np.full(n, -1))
    tasks = Tasks(
        names=tuple(map(str, range(n))),
        kinds=("",) * n,
        parts=("",) * n,
        layer=none,
        window=none,
        cycles=ints(table),
        macs=zero,
        weight_bytes=zero,
        output_bytes=zero,
        stash_bytes=zero,
    )
    count = int(carries.sum())
    edges = Edges(
        source=ints(source),
        target=ints(target),
        distance=ints(np.zeros(m, dtype=np.int64)),
        delay_layer=ints(np.full(m, -1)),
        lag=ints(np.zeros(m, dtype=np.int64)),
        tensor_ptr=ints(np.concatenate([[0], np.cumsum(carries)])),
        tensor=ints(np.arange(count)),
    )
    return Problem(
        name=name,
        mode="finite",
        tasks=tasks,
        edges=edges,
        layers=(),
        tensors=tuple(map(str, range(count))),
        tensor_bytes=ints(np.asarray(size)[carries]),
        classes=tuple(f"class {kind}" for kind in range(table.shape[1])),
        processors=tuple(Processor(name=f"p{i}", kind=kind) for i, kind in enumerate(kinds)),
        interconnect=Interconnect(latency_cycles=latency_cycles, bandwidth_bytes_per_cycle=1),
        objective=("makespan",),
    )


def layered_problem(n: int, processors: int, seed: int = 0) -> Problem:
    """About sqrt(n) layers, each task with up to nine predecessors from the last three; cycles and transfers of 1 to 100.

    The graphs that list scheduling is measured on (about five edges a task).
    """
    rng = np.random.default_rng(seed)
    width = int(n**0.5)
    layer = np.arange(n) // width
    indegree = np.where(layer == 0, 0, rng.integers(1, 10, size=n))
    target = np.repeat(np.arange(n), indegree)
    source = np.maximum(layer[target] - rng.integers(1, 4, size=len(target)), 0) * width + rng.integers(0, width, size=len(target))
    pairs: Ints = np.unique(source * n + target)
    return array_problem(rng.integers(1, 101, size=n), pairs // n, pairs % n, rng.integers(1, 101, size=len(pairs)), [0] * processors)
