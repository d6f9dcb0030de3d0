"""Optima by enumeration for small problems with everything that a bound must take care of.

Knows neither the bounds nor the checker. `least_length` tries every placement and every sequence of
the tasks on each processor; `least_delays` every placement and every start within a few periods.
"""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np

from spikepipe_sched import Interconnect, Platform, Problem, SystolicArray

FAR = 10**6


def rich_problem(seed: int, mode: str, *, tasks: int = 5) -> Problem:
    """Unlike processors, tasks that few can run, tasks of no cycles, large transfers, lags of both signs, copies."""
    rng = random.Random(f"rich-{mode}-{seed}")
    kinds = rng.choice(["a", "aa", "aa", "aaa", "ab", "ab", "aab"])
    array = SystolicArray(rows=1, cols=1)
    link = Interconnect(latency_cycles=rng.choice([0, 1, 4]), bandwidth_bytes_per_cycle=rng.choice([1, 4]))
    platform = Platform(name="rich", classes=dict.fromkeys(sorted(set(kinds)), array), processors=tuple(kinds), interconnect=link, clock_hz=1)
    n = rng.randint(2, tasks)
    copies = 2 if n <= 3 and rng.random() < 0.6 else 1
    longest = 6 if mode == "finite" else 2
    graph: nx.DiGraph[str] = nx.DiGraph()
    updates = rng.random() < (0.5 if mode == "finite" else 1.0)
    for i in range(n):
        cycles = {c: 0 if rng.random() < 0.1 else rng.randint(1, longest) for c in sorted(set(kinds))}
        if len(cycles) > 1 and rng.random() < 0.4:
            del cycles[rng.choice(sorted(cycles))]
        graph.add_node(f"t{i}", cycles=cycles, kind="U" if updates and i == n - 1 else rng.choice("FB"), layer="l")
    density, lags = rng.choice([0.4, 0.7, 1.0]), rng.random() < 0.3
    for i, j in itertools.combinations(range(n), 2):
        if rng.random() < density:
            lag = rng.randint(-3, 3) if lags else 0
            graph.add_edge(f"t{i}", f"t{j}", bytes=rng.choice([0, 1, 4, 9]) if mode == "finite" else rng.choice([0, 1, 2]), lag=lag)
    if mode == "finite":
        for i in range(n - 1):
            if copies > 1 and rng.random() < 0.3:
                graph.add_edge(f"t{i}", f"t{i}", distance=1, bytes=rng.choice([0, 5]))
        return Problem.from_graph(graph, platform, mode=mode, micro_batches=copies)
    for i in range(n - 1):
        if i == 0 or rng.random() < 0.5:
            graph.add_edge(f"t{n - 1}", f"t{i}", delay_layer="l", bytes=rng.choice([0, 1, 2]), lag=rng.randint(-2, 2) if lags else 0)
    return Problem.from_graph(graph, platform, mode=mode, unroll=copies, weights=rng.choice(["stash", "latest"]))


def _tables(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """All placements (X, N), and the cycles there (X, N); copies of a finite task share their processor."""
    instance = problem.instance
    kinds = [p.kind for p in problem.processors]
    table = problem.tasks.cycles[instance.task][:, kinds]
    free = len(problem.tasks.names) if problem.mode == "finite" else instance.size
    which = instance.task if problem.mode == "finite" else np.arange(instance.size)
    place = np.array(list(itertools.product(range(len(kinds)), repeat=free)))[:, which]
    cycles = table[np.arange(instance.size), place]
    able = (cycles >= 0).all(axis=1)
    return place[able], cycles[able]


def least_length(problem: Problem, most_rows: int = 400_000) -> int | None:
    """Least time from the first start to the last end of one iteration; None if there are too many sequences.

    For every placement and every order of the tasks that take time, each starts when its edges and
    those before it on its processor allow; longest paths by relaxation, cyclic ones are dropped.
    """
    instance, n = problem.instance, problem.instance.size
    place, cycles = _tables(problem)
    orders = np.array(list(itertools.permutations(range(n)))) if n <= 7 else None
    if orders is None or len(orders) * len(place) > most_rows:
        return None
    place, cycles, rank = np.repeat(place, len(orders), axis=0), np.repeat(cycles, len(orders), axis=0), np.tile(orders, (len(place), 1))
    start = np.zeros((len(place), n), dtype=np.int64)
    inside = np.flatnonzero(instance.distance == 0)
    before = start
    for _ in range(n + 1):
        before = start.copy()
        for e in inside:
            u, v = int(instance.source[e]), int(instance.target[e])
            apart = np.where(place[:, u] != place[:, v], instance.transfer[e], 0)
            start[:, v] = np.maximum(start[:, v], start[:, u] + cycles[:, u] + instance.lag[e] + apart)
        for u, v in itertools.permutations(range(n), 2):
            after = (place[:, u] == place[:, v]) & (cycles[:, u] > 0) & (cycles[:, v] > 0) & (rank[:, u] < rank[:, v])
            start[:, v] = np.where(after, np.maximum(start[:, v], start[:, u] + cycles[:, u]), start[:, v])
    settled = (start == before).all(axis=1)
    return int((start + cycles).max(axis=1)[settled].min())


def least_delays(problem: Problem, period: int, stages: int = 3, most_rows: int = 2_000_000) -> int | None:
    """Least delay of the one layer at a period, over starts below ``stages`` periods; -1: no schedule, None: too many."""
    instance, n, k = problem.instance, problem.instance.size, problem.unroll
    place, cycles = _tables(problem)
    start = np.zeros((len(place), 0), dtype=np.int64)
    times = np.arange(stages * period)
    for v in range(n):
        if len(place) * len(times) > most_rows:
            return None
        rows = np.repeat(np.arange(len(place)), len(times))
        place, cycles, start = place[rows], cycles[rows], np.hstack([start[rows], np.tile(times, len(start))[:, None]])
        keep = cycles[:, v] <= period
        for u in range(v):
            gap = (start[:, v] - start[:, u]) % period
            meet = (gap < cycles[:, u]) | ((-gap) % period < cycles[:, v])
            keep &= ~(meet & (place[:, u] == place[:, v]) & (cycles[:, u] > 0) & (cycles[:, v] > 0))
        for e in range(len(instance.source)):
            a, b = int(instance.source[e]), int(instance.target[e])
            if max(a, b) == v:
                apart = np.where(place[:, a] != place[:, b], instance.transfer[e], 0)
                keep &= start[:, b] + instance.distance[e] * period >= start[:, a] + cycles[:, a] + instance.lag[e] + apart
        place, cycles, start = place[keep], cycles[keep], start[keep]
    if not len(place):
        return -1
    edges = range(len(instance.delay_source))
    mine = [e for e in edges if problem.weights == "stash" or problem.tasks.kinds[int(instance.delay_target[e])] == "F"]
    for delay in range(1, FAR):
        fits = np.ones(len(place), dtype=bool)
        for e, i in itertools.product(mine, range(k)):
            a, b = int(instance.delay_source[e]) * k + i, int(instance.delay_target[e]) * k + (i + delay) % k
            apart = np.where(place[:, a] != place[:, b], instance.delay_transfer[e], 0)
            fits &= start[:, b] + (i + delay) // k * period >= start[:, a] + cycles[:, a] + instance.delay_lag[e] + apart
        if fits.any():
            return delay
    return None
