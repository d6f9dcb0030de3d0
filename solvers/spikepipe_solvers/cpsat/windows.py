"""Work that must fall between two times because of where it is placed: linear constraints on placements alone.

A task whose predecessor lies elsewhere waits for the transfer. On one processor, all that cannot start
before a and must be followed by b more cycles has the time from a to the makespan less b. Summed up that is a bound that
propagation over single intervals misses, and that a linear relaxation uses at once: forks and joins, whose
bounds are weak otherwise, are mostly proven by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.bounds.heads import Graph, iteration_graph
from spikepipe_sched.bounds.makespan import heads_and_tails
from spikepipe_sched.problem import Ints
from spikepipe_solvers.cpsat.variables import Variables

#: Most terms of all constraints together. A model that would have more has fewer windows, or none.
MOST_TERMS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """An edge that, if its ends lie apart, keeps a task from starting before ``until``; later than all that is known otherwise."""

    until: int
    source: int


def window_loads(variables: Variables, makespan: cp_model.IntVar) -> None:
    """Earliest starts and least times to the end, for every task; loads of windows, on every processor."""
    v = variables
    graph, nothing = iteration_graph(v.problem), np.zeros(v.problem.instance.size, dtype=np.int64)
    head, tail = (side.min(axis=1) for side in heads_and_tails(graph, nothing, nothing))
    for copy in range(v.problem.instance.size):
        v.model.add(v.start[copy] >= int(head[copy]))
        v.model.add(v.end[copy] + int(tail[copy]) <= makespan)
    lower = makespan_bound(v.problem).value
    cells = len(v.problem.processors) * v.problem.instance.size  # of one window
    for side, first, last in ((graph, head, tail), (graph.reversed(), tail, head)):
        waits = _waits(v, side, first)
        begins = sorted({int(h) for h in first} | {wait.until for row in waits for wait in row})
        if len(begins) * cells > MOST_TERMS:
            continue
        ends = [sorted({int(last[w]) for w, row in enumerate(waits) if first[w] >= a or (row and row[0].until >= a)}) for a in begins]
        for most in (None, 1):  # all ends, or the least
            windows = [(a, b) for a, some in zip(begins, ends, strict=True) for b in some[:most] if 0 < a + b <= lower]
            if len(windows) * cells <= MOST_TERMS:
                _add(v, makespan, waits, first, last, windows)
                break


def _waits(v: Variables, graph: Graph, head: Ints) -> list[list[Wait]]:
    """Waits of every task, the longest first."""
    end = head + graph.fastest
    waits: list[list[Wait]] = [[] for _ in head]
    for u, w, apart in zip(graph.source.tolist(), graph.target.tolist(), graph.apart.tolist(), strict=True):
        until = int(end[u]) + apart
        if until > head[w] and not v.together(u, w):
            waits[w].append(Wait(until=until, source=u))
    return [sorted(row, key=lambda wait: -wait.until) for row in waits]


def _add(v: Variables, makespan: cp_model.IntVar, waits: list[list[Wait]], head: Ints, tail: Ints, windows: list[tuple[int, int]]) -> None:
    """On every processor: the work of all tasks there that do not start before a, and are followed by b, is at most makespan - a - b.

    A window with a + b above the makespan may be empty, and then demands nothing; only those within its proven
    bound are used.
    """
    instance = v.problem.instance
    for p in range(len(v.problem.processors)):
        late = [_late(v, w, row, p) for w, row in enumerate(waits)]
        for a, b in windows:
            terms: list[cp_model.LinearExpr] = []
            for w in np.flatnonzero(tail >= b).tolist():
                here, cycles = v.place[w][p], int(instance.duration[w, p])
                if here is None or not cycles:
                    continue
                if head[w] >= a:
                    terms.append(cycles * here)
                elif longer := sum(wait.until >= a for wait in waits[w]):
                    terms.append(cycles * late[w][longer - 1])
            v.model.add(cp_model.LinearExpr.sum(terms) <= makespan - (a + b))


def _late(v: Variables, w: int, waits: list[Wait], p: int) -> list[cp_model.IntVar]:
    """One literal per wait: true if w lies on p and a source of this wait, or of one before it, does not (implied in this direction only)."""
    here, literals = v.place[w][p], list[cp_model.IntVar]()
    if here is None:
        return literals
    for wait in waits:
        literal = v.model.new_bool_var("")
        there = v.place[wait.source][p]
        v.model.add_bool_or([here.negated(), literal] if there is None else [here.negated(), there, literal])
        if literals:
            v.model.add_implication(literals[-1], literal)
        literals.append(literal)
    return literals
