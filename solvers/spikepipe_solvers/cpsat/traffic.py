"""Bytes that cross, as a linear expression over placement literals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.traffic import flows
from spikepipe_solvers.cpsat.variables import Expression, Variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One row of `spikepipe_sched.traffic.Flows` as the model sees it.

    ``when``: what must be true for this data movement to exist; ``turns``: periods between producer and
    reader.
    """

    source: int
    target: int
    tensor: int
    copy: int
    arrival: int
    summed: bool
    turns: Expression
    when: list[cp_model.IntVar]


def moves(variables: Variables) -> list[Move]:
    """All data movements; with several copies those of weights depend on the residue of the delay.

    The rows of `flows` are those of the edges of fixed distance, then those of delayed edges.
    """
    v, problem, instance = variables, variables.problem, variables.problem.instance
    made: list[Move] = []
    per_edge = np.diff(problem.edges.tensor_ptr)
    fixed = int(per_edge[instance.edge].sum())
    layer = np.repeat(np.repeat(instance.delay_layer, problem.unroll), np.repeat(per_edge[instance.delay_edge], problem.unroll)).tolist()
    for rho in range(problem.unroll):
        delay = np.full(len(problem.layers), rho, dtype=np.int64)
        flow = flows(problem, delay, delay)
        columns = (flow.source, flow.target, flow.tensor, flow.copy, flow.arrival, flow.summed, flow.distance)
        for row, (source, target, tensor, copy, arrival, summed, distance) in enumerate(zip(*(x.tolist() for x in columns), strict=True)):
            if row < fixed:
                if rho:  # the same for every residue
                    continue
                turns, when = distance, []
            else:
                seen = v.delay_of(int(instance.task[target]), layer[row - fixed])
                turns, when = seen.turns + distance, seen.cases()[rho][1]
            made.append(Move(source=source, target=target, tensor=tensor, copy=copy, arrival=arrival, summed=summed, turns=turns, when=when))
    return made


def crossing_literals(variables: Variables) -> dict[tuple[int, int, int, int], cp_model.IntVar]:
    """(tensor, copy, sender, receiver) -> literal, true if that transfer takes place.

    Only implied in one direction: a literal is true when some producer lies on the sender and some
    reader on the receiver; minimised or bounded from above, it is not true otherwise. For tensors with
    one producer the sender is -1 (any other processor), which needs fewer literals.
    """
    model, v, task = variables.model, variables, variables.problem.instance.task.tolist()
    found: dict[tuple[int, int, int, int], cp_model.IntVar] = {}
    seen = set[tuple[int, ...]]()

    def literal(key: tuple[int, int, int, int]) -> cp_model.IntVar:
        if key not in found:
            found[key] = model.new_bool_var("")
        return found[key]

    for move in moves(v):
        u, reader = move.source, move.target
        # Micro-batches of a task share a processor, so that of many movements of a sum one is enough.
        same = (move.tensor, move.copy, task[u] if v.period is None and move.summed else u, task[reader] if v.period is None else reader)
        key = (*same, *(x.index for x in move.when))
        if key in seen or v.together(u, reader):
            continue
        seen.add(key)
        absent = [x.negated() for x in move.when]
        for q, there in v.on(reader):
            if not move.summed:
                here = v.place[u][q]
                model.add_bool_or([*absent, there.negated(), *([] if here is None else [here]), literal((move.tensor, move.copy, -1, q))])
                continue
            for p, here in v.on(u):
                if p != q:
                    model.add_bool_or([*absent, here.negated(), there.negated(), literal((move.tensor, move.copy, p, q))])
    return found


def traffic_expression(variables: Variables) -> Expression:
    """Bytes per ``unroll`` iterations (periodic) or in all (finite)."""
    sizes, crossing = variables.problem.tensor_bytes, crossing_literals(variables)
    return cp_model.LinearExpr.weighted_sum(list(crossing.values()), [int(sizes[key[0]]) for key in crossing])
