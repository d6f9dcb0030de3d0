"""LayerPipe, reconstructed: the passes F, B and W on processors of their own, one period per hop.

Unnikrishnan and Parhi, LayerPipe, ICCAD 2021, arXiv:2108.06629; its delays are derived by retiming in
LayerPipe2, arXiv:2512.08160. Only their abstracts were at hand: where they are silent, the following is
assumed.

* The weight gradients W (with the updates U) and the activation gradients B (with the errors E) do not
  wait for each other, so that they, and F, are three passes that share no processor.
* Every pass is a chain of layers, cut contiguously. How many processors a pass has and where it is cut is
  decided at once: the largest load is least, then the traffic (`spikepipe_sched.cut`, exact). Processors
  are taken in their order, for F, then B, then W; where they are unlike, the passes in every other order too.
* An activation gradient that was lowered in parts (`spikepipe_sched.lower.Split`, ``--split B:n:2``) may
  lie on two neighbouring processors: a cut may fall between its parts. A whole one is never split here.
* Every processor runs its tasks in one block per period, and a result crosses one register on its way to
  another processor: a block begins one period, and the transfer, after the blocks it reads. These
  registers are what retiming gives: the delays of the edges from the updates back to the passes, moved to
  the borders between stages, cut every path there, so that the largest load alone decides the period.

The delays follow. Without transfers, with h hops from the block of F(l) to that of W(l), D_l = h + (end of U(l) -
start of F(l), each from the beginning of its block) / period, rounded up. For equal stages of one layer each
D_l - 1 = 2 * (stages after l) + 1: LayerPipe2's 2 * (stages after l), and one period more because W reads its
errors from another processor; in the last stage 2, where the error of the loss is a task of pass B.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.cut import MAX_UNITS, Cut, contiguous_cut, joined
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.finish import finish
from spikepipe_solvers.stages import back_to_back, incoming_edges

Ints = NDArray[np.int64]

#: The pass of every kind of task.
PASSES = {"F": 0, "E": 1, "B": 1, "W": 2, "U": 2}
#: Place of the task that adds the parts of a layer's task: behind them.
_SUM = 2**31


def supports(problem: Problem) -> str | None:
    """One copy per iteration of layers' tasks, passes in turn, and a processor for each."""
    if problem.mode != "periodic":
        return "it is a pipeline with delayed gradients; use --mode periodic"
    if problem.unroll > 1:
        return "its blocks repeat every iteration; use unroll=1"
    tasks, instance = problem.tasks, problem.instance
    for name, kind, layer in zip(tasks.names, tasks.kinds, tasks.layer.tolist(), strict=True):
        if kind not in PASSES or layer < 0:
            return f"it places the passes F, B and W of layers, and task '{name}' has " + ("no layer" if kind in PASSES else f"the kind '{kind}'")
    turn = _passes(problem)
    for u, v in zip(instance.source[instance.distance == 0].tolist(), instance.target[instance.distance == 0].tolist(), strict=True):
        if turn[u] > turn[v]:
            return f"'{tasks.names[v]}' waits for '{tasks.names[u]}', a later pass of its own iteration"
    count = len(np.unique(turn))
    if len(problem.processors) < count:
        return f"each pass (F, B and W) needs a processor of its own: {count}, and there are {len(problem.processors)}"
    if next(_cuts(problem), None) is None:
        return f"there is no contiguous cut of its passes (more than {MAX_UNITS} units, or a processor that cannot run its stage)"
    return None


def _passes(problem: Problem) -> Ints:
    """(n,) The pass of every task."""
    return np.array([PASSES[kind] for kind in problem.tasks.kinds])


def _part(label: str) -> int:
    """Which part of a layer's task; whole ones are their own first part."""
    last = label.rpartition(" ")[2]
    return _SUM if last == "sum" else int(last.partition("/")[0]) if "/" in last else 1


def chain(problem: Problem, order: tuple[int, ...] = (0, 1, 2)) -> tuple[Ints, Ints]:
    """What is cut, pass after pass in an ``order``: layers, or parts of their tasks, B and W from the last layer on.

    Layers that wait for each other in turn (loops through time) are one unit.

    Returns
    -------
    ``unit`` (n,) of every task, and ``group`` (units,), ascending: the place of its pass.
    """
    instance, turn = problem.instance, _passes(problem)
    place = np.array([order.index(p) for p in turn.tolist()])
    layer = np.where(turn == 0, problem.tasks.layer, -problem.tasks.layer)
    rows = np.stack([place, layer, np.array([_part(label) for label in problem.tasks.parts])], axis=1)
    _, unit = np.unique(rows, axis=0, return_inverse=True)
    inside = (instance.distance == 0) & (place[instance.source] == place[instance.target])
    unit = joined(unit.ravel(), instance.source[inside], instance.target[inside])
    return unit, place[np.unique(unit, return_index=True)[1]]


def _cuts(problem: Problem) -> Iterator[Cut]:
    """The best cut for every order in which the passes may take the processors; like ones: one order."""
    alike = len({p.kind for p in problem.processors}) == 1
    for order in [(0, 1, 2)] if alike else permutations(range(3)):
        cut = contiguous_cut(problem, *chain(problem, order))
        if cut is not None:
            yield cut


def registered(problem: Problem, cut: Cut) -> Schedule:
    """Every stage one block per period, in topological order; a block begins a period and a transfer after those it reads."""
    instance, incoming, period = problem.instance, incoming_edges(problem), 1
    offset = np.zeros(instance.size, dtype=np.int64)
    for s in range(cut.stages):
        block, length = back_to_back(problem, s, instance.order[cut.stage[instance.order] == s].tolist(), incoming)
        offset[list(block)], period = list(block.values()), max(period, length)
    crossing = np.flatnonzero((instance.distance == 0) & (cut.stage[instance.source] != cut.stage[instance.target]))
    source, target = instance.source[crossing], instance.target[crossing]
    begin = np.zeros(cut.stages, dtype=np.int64)
    # Stages of one pass wait in the chain's order, and passes in theirs: sources come with their final beginning.
    for e in np.lexsort((cut.stage[source], _passes(problem)[source])).tolist():
        s, t = cut.stage[source[e]], cut.stage[target[e]]
        begin[t] = max(begin[t], begin[s] + period + instance.lag[crossing[e]] + instance.transfer[crossing[e]])
    return Schedule(processor=cut.stage, start=begin[cut.stage] + offset, period=period)


class LayerPipe:
    """Solver ``layerpipe``."""

    spec = SolverSpec(
        name="layerpipe",
        summary="LayerPipe, reconstructed: F, B and W on processors of their own, contiguous stages, one period per hop",
        source="arXiv:2108.06629",
        exact=False,
        modes=("periodic",),
        supports=supports,
        optimises="the period, over contiguous stages of one pass each; of equal ones the traffic",
        ignores="delays, memory, link contention and edges between iterations; lags while it cuts; it splits no task itself",
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """Cut, and count the hops; the budget, seed and hint play no part."""
        return finish(problem, [registered(problem, cut) for cut in _cuts(problem)], "layerpipe")


SOLVER = LayerPipe()
