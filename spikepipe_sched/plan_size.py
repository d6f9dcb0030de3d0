"""What is found and proven about arrays of one size, for every number of them.

A schedule on some arrays is one on more of the same size as well: those left over stay idle. Nothing that
a schedule is checked for looks at an idle array; its ports and links of its own (``sharing`` of ``ports`` and ``pairs``)
carry nothing, and a ``bus`` is one for any number. So the least length never grows with the number of arrays:
what is found on some holds for more, what is proven for some holds for fewer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spikepipe_sched.bounds import Bound, best, objective_bound
from spikepipe_sched.errors import SpikepipeError, Unsupported
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result, Status

if TYPE_CHECKING:
    import networkx as nx

    from spikepipe_sched.platform import Platform
    from spikepipe_sched.schedule import Schedule

#: The bound where there is no schedule at all.
NEVER: Final = 2**62


class Size:
    """Arrays of one size, 1 to ``most`` of them: the best schedule found and the bounds proven for every number.

    Parameters
    ----------
    graph, platform, options
        The network lowered for such arrays, and what `Problem.from_graph` takes beside it.
    """

    def __init__(self, rows: int, cols: int, graph: nx.DiGraph[Any], platform: Platform, options: dict[str, Any]) -> None:
        self.rows, self.cols, self.elements = rows, cols, rows * cols
        self.graph, self.platform, self.options = graph, platform, options
        self.most = 1
        self.problems: dict[int, Problem] = {}
        self.free: dict[int, Bound] = {}  # bounds that need no search
        self.proven: dict[int, Bound] = {}  # by solvers
        self.schedules: dict[int, Schedule] = {}  # by the number of arrays that they use
        self.lengths: dict[int, int] = {}
        self.solved: set[int] = set()
        self.refused: dict[int, Unsupported] = {}

    def problem(self, count: int) -> Problem:
        """The problem on so many arrays."""
        if count not in self.problems:
            self.problems[count] = Problem.from_graph(self.graph, self.platform.with_processors(count), **self.options)
        return self.problems[count]

    @property
    def useful(self) -> int:
        """Most arrays that can all have work: copies of tasks in a period, but in a finite run tasks, whose micro-batches share an array."""
        problem = self.problem(1)
        return len(problem.tasks.names) * problem.unroll

    def bound(self, count: int) -> Bound:
        """The best that is known about so many arrays, or fewer."""
        if count not in self.free:
            problem = self.problem(count)
            self.free[count] = objective_bound(problem, problem.objective[0], 0)
        return best(self.free[count], *(bound for at, bound in self.proven.items() if at >= count))

    def length(self, count: int) -> int | None:
        """Of the best schedule found on so many arrays, or fewer."""
        return min((length for at, length in self.lengths.items() if at <= count), default=None)

    def hint(self, count: int) -> Schedule | None:
        """That schedule."""
        fitting = [at for at in self.lengths if at <= count]
        return self.schedules[min(fitting, key=lambda at: self.lengths[at])] if fitting else None

    def reached(self, limit: int) -> int | None:
        """Least number of arrays with a schedule found of at most this length."""
        return min((at for at, length in self.lengths.items() if length <= limit), default=None)

    def least(self, limit: int, most: int | None = None) -> int | None:
        """Least number of arrays that may have such a schedule: for fewer it is excluded; None: for all numbers up to ``most``."""
        low, high = 1, self.most if most is None else most
        if self.bound(high).value > limit:
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.bound(middle).value > limit else (low, middle)
        return low

    def keep(self, count: int, result: Result, limit: int | None) -> None:
        """Learn from the result of a solve on so many arrays, under this limit on the length.

        Raises
        ------
        SpikepipeError
            If a schedule is shorter than what was proven before.
        """
        self.solved.add(count)
        name = result.provenance.solver
        if result.schedule is not None and result.metrics is not None:
            self.note(result.schedule, result.metrics.length_cycles)
            first = result.objectives[0]
            self.prove(count, Bound(value=first.bound, source=first.bound_source))
        elif result.status is Status.INFEASIBLE:
            self.prove(count, Bound(value=NEVER if limit is None else limit + 1, source=f"{name}: nothing is as short" if limit else f"{name}: no schedule"))
        for arrays, length in self.lengths.items():
            known = self.bound(arrays)
            if known.value > length:
                raise SpikepipeError(
                    f"'{name}' on {self.rows}x{self.cols} arrays: {length} cycles on {arrays}, but none are below {known.value} ({known.source})"
                )

    def note(self, schedule: Schedule, length: int) -> None:
        """Remember a schedule if it is the shortest on as many arrays as it uses."""
        used, compact = np.unique(schedule.processor, return_inverse=True)  # keeps their order, and that of transfers
        if length < self.lengths.get(len(used), NEVER):
            self.lengths[len(used)], self.schedules[len(used)] = length, replace(schedule, processor=compact.reshape(-1))

    def prove(self, count: int, bound: Bound) -> None:
        """Remember a bound."""
        self.proven[count] = best(self.proven[count], bound) if count in self.proven else bound
