"""Bytes that cross, as a linear expression over placement literals."""

from __future__ import annotations

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.traffic import Flows, flows
from spikepipe_solvers.cpsat.variables import Expression, Variables


def model_flows(variables: Variables) -> Flows:
    """The data movements of the problem; with unroll = 1 they do not depend on the delays."""
    none = np.zeros(len(variables.problem.layers), dtype=np.int64)
    return flows(variables.problem, none, none)


def crossing_literals(variables: Variables) -> dict[tuple[int, int, int, int], cp_model.IntVar]:
    """(tensor, copy, sender, receiver) -> literal, true if that transfer takes place.

    Only implied in one direction: a literal is true when some producer lies on the sender and some
    reader on the receiver; minimised or bounded from above, it is not true otherwise. For tensors with
    one producer the sender is -1 (any other processor), which needs fewer literals.
    """
    flow, model, v = model_flows(variables), variables.model, variables
    found: dict[tuple[int, int, int, int], cp_model.IntVar] = {}

    def literal(key: tuple[int, int, int, int]) -> cp_model.IntVar:
        if key not in found:
            found[key] = model.new_bool_var("cross_" + "_".join(map(str, key)))
        return found[key]

    rows = {
        (int(t), int(c), int(v.problem.instance.task[u]) if v.period is None and s else int(u), int(w), bool(s))
        for t, c, u, w, s in zip(flow.tensor, flow.copy, flow.source, flow.target, flow.summed, strict=True)
    }
    first_copy = {int(t): int(c) for c, t in reversed(list(enumerate(v.problem.instance.task.tolist())))}
    for tensor, copy, source, reader, summed in sorted(rows):
        u = first_copy[source] if v.period is None and summed else source
        if v.together(u, reader):
            continue
        for q, there in v.on(reader):
            if not summed:
                here = v.place[u][q]
                model.add_bool_or(
                    [there.negated(), literal((tensor, copy, -1, q))] if here is None else [there.negated(), here, literal((tensor, copy, -1, q))]
                )
                continue
            for p, here in v.on(u):
                if p != q:
                    model.add_bool_or([here.negated(), there.negated(), literal((tensor, copy, p, q))])
    return found


def traffic_expression(variables: Variables) -> Expression:
    """Bytes per iteration (periodic) or in all (finite)."""
    sizes = variables.problem.tensor_bytes
    return cp_model.LinearExpr.sum([int(sizes[key[0]]) * literal for key, literal in crossing_literals(variables).items()])
