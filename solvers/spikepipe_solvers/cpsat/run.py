"""One call of CP-SAT: in a thread, so that an interruption reaches Python; bounded by a clock."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ortools.sat.python import cp_model

from spikepipe_solvers.clock import Clock

#: CP-SAT's own deterministic time per second of one core: propagation of intervals is hardly counted.
INTERVAL_RATE, LINEAR_RATE = 0.06, 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What CP-SAT said: found a solution, proved it best, or proved that there is none; its bound; whether it was interrupted."""

    solver: cp_model.CpSolver
    found: bool
    optimal: bool
    infeasible: bool
    bound: int
    interrupted: bool


class _Watch(cp_model.CpSolverSolutionCallback):
    def __init__(self, report: Callable[[cp_model.CpSolverSolutionCallback], None]) -> None:
        super().__init__()
        self._report = report
        self.error: Exception | None = None

    def on_solution_callback(self) -> None:
        try:
            self._report(self)
        except Exception as error:  # noqa: BLE001  (must not cross into C++; raised again in the main thread)
            self.error = error
            self.stop_search()


def _whole(bound: float) -> int:
    """The bound of an integer objective, rounded up where a float is exact, and down where it may be off."""
    return math.ceil(bound - 1e-6) if abs(bound) < 2**50 else math.floor(bound * (1 - 2**-50))


def run(
    model: cp_model.CpModel,
    clock: Clock,
    *,
    seed: int,
    share: float = 1.0,
    patience_s: float | None = None,
    linearization: int = 1,
    rate: float = INTERVAL_RATE,
    fixed: bool = False,
    energetic: bool = False,
    report: Callable[[cp_model.CpSolverSolutionCallback], None] | None = None,
    on_bound: Callable[[int], None] | None = None,
) -> Outcome:
    """Solve within a share of what the clock has left; stop after ``patience_s`` without news.

    News are better solutions and better bounds. Under a deterministic limit only work counts, so
    patience, being wall-clock time, plays no part.

    ``rate`` is CP-SAT's deterministic time per second; ``fixed`` fixes what is hinted;
    ``energetic`` has cumulative constraints reason about the work that intervals must hold.

    The solve runs in a thread of its own while this one waits in Python: Ctrl-C and Jupyter's
    interrupt raise KeyboardInterrupt here, the search is stopped, and what it found is returned with
    ``interrupted`` set.
    """
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = clock.budget.workers
    parameters.random_seed = seed
    parameters.catch_sigint_signal = False
    parameters.linearization_level = linearization
    parameters.fix_variables_to_their_hinted_value = fixed
    parameters.use_overload_checker_in_cumulative = parameters.use_timetable_edge_finding_in_cumulative = energetic
    if clock.deterministic:
        parameters.max_deterministic_time = max(1e-6, clock.left() * share * rate)
    else:
        parameters.max_time_in_seconds = max(0.01, clock.left() * share)
    news = [time.perf_counter()]

    def heard(callback: cp_model.CpSolverSolutionCallback) -> None:
        news[0] = time.perf_counter()
        if report is not None:
            report(callback)

    def bounded(bound: float) -> None:
        news[0] = time.perf_counter()
        if on_bound is not None:
            on_bound(_whole(bound))

    watch = _Watch(heard)
    solver.best_bound_callback = bounded
    status: list[object] = []
    failure: list[BaseException] = []

    done = threading.Event()  # an interrupted Thread.join would take the running thread for a stopped one (Python 3.11)

    def work() -> None:
        try:
            status.append(solver.solve(model, watch))
        except BaseException as error:  # noqa: BLE001  (handed to the waiting thread)
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="cp-sat", daemon=True).start()
    interrupted = False
    while not done.is_set():
        try:
            done.wait(0.02)
            if patience_s is not None and not clock.deterministic and time.perf_counter() - news[0] > patience_s:
                solver.stop_search()
        except KeyboardInterrupt:
            interrupted = True
            solver.stop_search()
    if failure:
        raise failure[0]
    if watch.error is not None:
        raise watch.error
    if clock.deterministic:
        clock.spend(solver.response_proto.deterministic_time / rate)
    code = status[0]
    if code == cp_model.MODEL_INVALID:
        raise ValueError(f"CP-SAT refuses the model: {model.validate()}")
    found = code in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    bound = _whole(solver.best_objective_bound) if model.has_objective() and code != cp_model.INFEASIBLE else 0
    return Outcome(
        solver=solver,
        found=found,
        optimal=code == cp_model.OPTIMAL,
        infeasible=code == cp_model.INFEASIBLE,
        bound=bound,
        interrupted=interrupted,
    )
