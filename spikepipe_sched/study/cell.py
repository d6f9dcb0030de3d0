"""One question of a sweep: a network on a platform, lowered so, for one solver with one budget.

A cell is known by its content: its key is a digest of all that its answer depends on, whatever files
that came from. The names of network and platform are part of it, as rows show them; what is written
*about* them (summary, source) is not. So are the versions of this package and of the solver's: a new
release answers anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import metadata
from math import prod
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spikepipe_sched.cost import CostModel
from spikepipe_sched.errors import InputError, SpikepipeError, Unsupported, require, require_one_of, require_whole
from spikepipe_sched.files import MAX_BYTES
from spikepipe_sched.lower import Split, lower
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Platform
from spikepipe_sched.problem import OBJECTIVES, Limits, Mode, Problem, WeightPolicy
from spikepipe_sched.problem_document import one_line
from spikepipe_sched.solver import ENTRY_POINTS, MAX_SEED, Budget, solve
from spikepipe_sched.study.outcome import FAILED, NOT_SUPPORTED, Outcome
from spikepipe_sched.training import TrainingSetup
from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from spikepipe_sched.cut import Cut
    from spikepipe_sched.result import Result

#: Characters of an error that a row keeps.
_LONGEST: Final = 500
#: Parts of cells whose digest is kept: a sweep has few networks, in many cells.
_KEPT: Final = 4096

_digests: dict[int, tuple[object, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One question.

    Parameters
    ----------
    platform
        With as many processors as are asked for.
    micro_batches, unroll
        See `spikepipe_sched.problem.Problem`; the one belongs to finite mode, the other to periodic.
    objective
        All objectives of the mode, in their order, if not given.
    time_limit_s, deterministic_limit, seed
        See `spikepipe_sched.solver.Budget`. A solver has one thread: cells run side by side.

    Attributes
    ----------
    problem_key, key
        Digests (SHA-256, hexadecimal) of all that the problem, and the answer, depend on.

    Raises
    ------
    InputError
        If a value is out of range. Whether the network can be lowered so, `run` finds out.
    """

    network: Network
    platform: Platform
    setup: TrainingSetup
    cost: CostModel = CostModel()  # noqa: RUF009  (frozen, as are limits)
    splits: tuple[Split, ...] = ()
    mode: Mode = "periodic"
    micro_batches: int = 1
    weights: WeightPolicy = "stash"
    unroll: int = 1
    objective: tuple[str, ...] | None = None
    limits: Limits = Limits()  # noqa: RUF009
    solver: str
    time_limit_s: float = 10.0
    deterministic_limit: float | None = None
    seed: int = 0
    problem_key: str = field(init=False, repr=False, compare=False)
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_one_of("cell", "mode", self.mode, tuple(OBJECTIVES))
        require_one_of("cell", "weights", self.weights, ("stash", "latest"))
        for name in ("micro_batches", "unroll"):
            object.__setattr__(self, name, require_whole("cell", name, getattr(self, name), 1))
        require(self.mode == "finite" or self.micro_batches == 1, "cell: micro_batches belong to finite mode")
        require(self.mode == "periodic" or self.unroll == 1, "cell: unroll belongs to periodic mode")
        for level in self.objective or ():
            require_one_of("cell", "objective", level, OBJECTIVES[self.mode])
        require(self.objective is None or len(set(self.objective)) == len(self.objective), "cell: an objective is named twice")
        object.__setattr__(self, "seed", require_whole("cell", "seed", self.seed, 0))
        require(self.seed <= MAX_SEED, f"cell: seed must be at most {MAX_SEED}, got {self.seed}")
        budget = Budget(time_limit_s=self.time_limit_s, deterministic_limit=self.deterministic_limit, workers=1)
        # What is ignored makes no difference.
        spent = ("time", float(budget.time_limit_s)) if budget.deterministic_limit is None else ("work", float(budget.deterministic_limit))
        problem = {
            "version": __version__,
            "network": _digest(self.network),
            "platform": _digest(self.platform),
            "setup": _digest(self.setup),
            "cost": _digest(self.cost),
            "splits": self.splits,
            "mode": self.mode,
            "micro_batches": self.micro_batches,
            "weights": self.weights,
            "unroll": self.unroll,
            "objective": self.objective or OBJECTIVES[self.mode],
            "limits": _digest(self.limits),
        }
        object.__setattr__(self, "problem_key", _hashed(problem))
        object.__setattr__(self, "key", _hashed([self.problem_key, self.solver, _origin(self.solver), spent, self.seed]))

    def problem(self) -> Problem:
        """Lower the network and compile it.

        Raises
        ------
        InputError
            If it cannot be lowered so.
        """
        graph = lower(self.network, self.setup, self.platform, cost=self.cost, splits=self.splits)
        options: dict[str, Any] = {} if self.objective is None else {"objective": self.objective}
        options |= {"unroll": self.unroll} if self.mode == "periodic" else {"micro_batches": self.micro_batches}
        return Problem.from_graph(graph, self.platform, mode=self.mode, weights=self.weights, limits=self.limits, **options)

    def run(self) -> tuple[Outcome, str | None]:
        """The answer, and the result as JSON; None without a schedule.

        Whatever lowering or a solver does wrong is in the row.

        Raises
        ------
        KeyboardInterrupt
            If it was stopped before its time, which is no answer.
        """
        try:
            problem = _lowered(self)
            result = solve(problem, self.solver, time_limit_s=self.time_limit_s, deterministic_limit=self.deterministic_limit, workers=1, seed=self.seed)
            if result.provenance.interrupted:
                raise KeyboardInterrupt
            return self._answer(problem, result)
        except Unsupported as error:
            return self.without(NOT_SUPPORTED, error), None
        except MemoryError:
            return self.without(FAILED, "out of memory; use fewer processors, windows or micro-batches"), None
        except SpikepipeError as error:
            return self.without(FAILED, error), None
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a solver of another package may raise anything)
            return self.without(FAILED, f"crashed: {type(error).__name__}: {error}; solved alone it shows where"), None

    def without(self, status: str, error: object, **figures: Any) -> Outcome:
        """A row with a status, a reason on one line, and no more figures than are given."""
        platform, classes = self.platform, tuple(dict.fromkeys(self.platform.processors))
        arrays = platform.classes
        return Outcome(
            key=self.key,
            problem_key=self.problem_key,
            network_key=_digest(self.network),
            network=self.network.name,
            platform=platform.name,
            array=f"{arrays[classes[0]].rows}x{arrays[classes[0]].cols}" if len(classes) == 1 else "+".join(classes),
            processors=len(platform.processors),
            pes=sum(arrays[name].processing_elements for name in platform.processors),
            clock_hz=platform.clock_hz,
            mode=self.mode,
            windows=self.setup.windows,
            batch=self.setup.batch,
            micro_batches=self.micro_batches,
            unroll=self.unroll,
            weights=self.weights,
            solver=self.solver,
            seed=self.seed,
            status=status,
            error=one_line(" ".join(str(error).split()))[:_LONGEST],
            **figures,
        )

    def _answer(self, problem: Problem, result: Result) -> tuple[Outcome, str | None]:
        status, seconds, figures = str(result.status), result.provenance.runtime_s, result.metrics
        if figures is None:
            return self.without(status, "" if result.infeasibility is None else result.infeasibility.demanded, seconds=seconds), None
        from spikepipe_sched.export.summary import iterations_in, overhead, samples_per_second

        text, why = _written(result)
        first = result.objectives[0]
        outcome = self.without(
            status,
            why,
            objectives=len(result.objectives),
            objective=first.name,
            value=first.value,
            bound=first.bound,
            bound_source=first.bound_source,
            gap=first.gap,
            length_cycles=figures.length_cycles,
            cycles_per_sample=figures.length_cycles / prod((self.setup.batch, iterations_in(problem))),
            total_delay=figures.total_delay,
            max_staleness=max((delay - 1 for _, delay in figures.delays), default=0),
            traffic_bytes=figures.traffic_bytes,
            overhead=overhead(problem, figures.traffic_bytes, _stages(problem)),
            memory_bytes=figures.memory_bytes,
            utilisation=figures.utilisation,
            samples_per_s=samples_per_second(problem, figures.length_cycles),
            seconds=seconds,
        )
        return outcome, text


def _written(result: Result) -> tuple[str | None, str]:
    """The result as JSON, or None and why it is not kept: it could never be read back."""
    try:
        text = result.to_json()
    except InputError as error:
        return None, str(error)
    size = len(text.encode())
    return (text, "") if size <= MAX_BYTES else (None, f"the schedule is not kept: as JSON it has {size} bytes, at most {MAX_BYTES} are read")


def _hashed(content: object) -> str:
    try:
        return hashlib.sha256(msgspec.json.encode(content, enc_hook=_plain, order="sorted")).hexdigest()
    except UnicodeEncodeError as error:
        raise InputError(f"cell: the name {error.object!r} is not Unicode text") from None


def _plain(value: Any) -> Any:
    """Numbers of NumPy as Python's."""
    return value.item()


def _digest(part: Network | Platform | TrainingSetup | CostModel | Limits) -> str:
    """Of a part of cells, which cannot change; a sweep's cells share their parts."""
    known = _digests.get(id(part))
    if known is not None:
        return known[1]
    content: dict[str, Any] = msgspec.to_builtins(part, enc_hook=_plain)
    if isinstance(part, Network | Platform):
        content |= {"summary": "", "source": ""}
    if isinstance(part, Platform):
        for array in content["classes"].values():
            array["energy"] = array["energy"] and array["energy"] | {"source": ""}
    if isinstance(part, Limits):  # of several for one layer, the smallest holds
        content["layer_delay"] = sorted(dict(sorted(part.layer_delay, reverse=True)).items())
    found = _hashed(content)
    if len(_digests) >= _KEPT:
        _digests.clear()
    _digests[id(part)] = (part, found)  # kept alive, so that its id stays its own
    return found


@cache
def _origin(solver: str) -> str:
    """The package that a solver comes from, and its version; empty if there is no such solver."""
    name = solver.partition(":")[0]
    found = {f"{entry.dist.name} {entry.dist.version}" for entry in metadata.entry_points(group=ENTRY_POINTS) if entry.name == name and entry.dist is not None}
    return ", ".join(sorted(found))


_last: dict[str, Problem] = {}


def _lowered(cell: Cell) -> Problem:
    """The problem of a cell; that of the last one is kept, as neighbours in a sweep ask the same of other solvers."""
    problem = _last.get(cell.problem_key)
    if problem is None:
        _last.clear()
        problem = _last[cell.problem_key] = cell.problem()
    return problem


@lru_cache(maxsize=1)
def _stages(problem: Problem) -> Cut | None:
    from spikepipe_sched.cut import contiguous_cut

    return contiguous_cut(problem)
