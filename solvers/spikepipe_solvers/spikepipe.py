"""SpikePipe, reconstructed: single tasks on processors, balanced, and close to what they exchange.

Sanjeet, Sahoo and Parhi, SpikePipe, IEEE Transactions on Circuits and Systems for Artificial Intelligence 2024,
arXiv:2406.06879. Only its abstract was at hand: delayed gradients let the layers train concurrently, a
fine-grained scheduling maps the training tasks to processors, 1.6 to 1.7 times as fast as standard
pipelining on average, with little extra communication. The following is assumed.

* Every F, E, B, W and U is placed by itself, each window and each part of one too: with delayed gradients
  any placement can be pipelined, and the largest load is the period.
* Longest tasks first; each goes, of the processors that it does not fill beyond a capacity, to the one that
  holds most bytes of what it reads and writes, then to the emptiest. Bisection finds the least capacity
  that is enough (as in MULTIFIT, doi:10.1137/0207001). So the claims guide the rule: what is left to choose at
  a given speed-up is chosen for communication. Where plain longest processing time first
  (doi:10.1137/0117039) balances better, that is taken. On unlike processors a linear programme first settles
  which class runs what (`spikepipe_solvers.balance`).
* Start times: at that period and placement as early as inputs and processors allow, in the order of the work
  that follows (`spikepipe_solvers.decode`), then retimed for the least sum of delays, as this group of authors
  derives its pipelines by retiming (LayerPipe2, arXiv:2512.08160).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds import period_bound
from spikepipe_sched.instance import edge_bytes
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.balance import FAR, LARGE, largest_load, longest_first, own, settle_classes
from spikepipe_solvers.decode import Decoder, schedule_of
from spikepipe_solvers.finish import finish
from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists import upward_rank
from spikepipe_solvers.retime import retime

Ints = NDArray[np.int64]

#: A largest load this part above that of longest processing time first is as good.
NEAR = 100


def supports(problem: Problem) -> str | None:
    """One copy per iteration."""
    if problem.mode != "periodic":
        return "it is a pipeline with delayed gradients; use --mode periodic"
    if problem.unroll > 1:
        return "it places every task once; use unroll=1"
    return None


@Kernel
def _fill(order: Any, cycles: Any, count: int, capacity: int, pointer: Any, other: Any, size: Any, load: Any, held: Any, processor: Any) -> bool:
    """Each task where most bytes of its own are among the processors with room; False if one fits nowhere."""
    for p in range(count):
        load[p] = 0
    for v in order:
        processor[v] = -1
    for v in order:
        for p in range(count):
            held[p] = 0
        for e in range(pointer[v], pointer[v + 1]):
            if processor[other[e]] >= 0:
                held[processor[other[e]]] += size[e]
        best, least = -1, 0
        for p in range(count):
            after = load[p] + cycles[v * count + p]
            if after <= capacity and (best < 0 or held[p] > held[best] or (held[p] == held[best] and after < least)):
                best, least = p, after
        if best < 0:
            return False
        processor[v] = best
        load[best] = least
    return True


def place(problem: Problem) -> Ints:
    """(n,) The processor of every task: balanced, and near what it exchanges."""
    duration = problem.instance.duration
    (n, count), fast = duration.shape, duration.size >= LARGE
    longest = longest_first(duration)
    if not (duration == duration[:, :1]).all():
        settled = settle_classes(duration, largest_load(duration, longest))
        duration = duration if settled is None else settled
        longest = min((longest, longest_first(duration)), key=lambda processor: largest_load(problem.instance.duration, processor))
    most = largest_load(problem.instance.duration, longest)
    size, edges = edge_bytes(problem), problem.edges
    ends, others = np.concatenate([edges.source, edges.target]), np.concatenate([edges.target, edges.source])
    by_end = np.argsort(ends, kind="stable")
    pointer = np.searchsorted(ends[by_end], np.arange(n + 1))
    cycles = np.where(duration < 0, FAR, duration)
    shortest = cycles.min(axis=1)
    order = own(np.argsort(-shortest, kind="stable"), fast=fast)
    near = [own(array, fast=fast) for array in (pointer, others[by_end], np.tile(size, 2)[by_end], np.zeros(count), np.zeros(count))]
    flat, processor = own(cycles.ravel(), fast=fast), own(np.zeros(n), fast=fast)
    fill: Callable[..., bool] = _fill.pick(fast=fast)
    best, high = longest, most + most // NEAR + 1
    low = max(int(shortest.max()), -(-int(shortest.sum()) // count)) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if fill(order, flat, count, middle, *near, processor):
            best = np.array(processor, dtype=np.int64)
            high = largest_load(duration, best)
        else:
            low = middle
    return best


def spikepipe_schedules(problem: Problem) -> list[Schedule]:
    """As early as possible at the placement, and the same retimed."""
    processor = place(problem)
    period = max(1, largest_load(problem.instance.duration, processor), period_bound(problem).value)
    decoder, placed = Decoder(problem), processor.tolist()
    early = schedule_of(placed, decoder.fixed(period, placed, decoder.sequence(upward_rank(problem))), period)
    return [early, retime(problem, early)]


class SpikePipe:
    """Solver ``spikepipe``."""

    spec = SolverSpec(
        name="spikepipe",
        summary="SpikePipe, reconstructed: every task placed by itself for balance, near what it exchanges; retimed",
        source="arXiv:2406.06879",
        exact=False,
        modes=("periodic",),
        supports=supports,
        optimises="the period, of equally loaded processors the bytes exchanged; then, with processors and phases fixed, the sum of delays",
        ignores="memory, delay limits, and transfers, link contention and delays while it places",
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """Place, list, retime; the budget, seed and hint play no part."""
        return finish(problem, spikepipe_schedules(problem), "spikepipe")


SOLVER = SpikePipe()
