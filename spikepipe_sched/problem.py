"""The scheduling problem: a task graph compiled to integer arrays, an objective and limits.

Shapes: n tasks, m edges, C processor classes, P processors. All arrays are int64 and read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.cost.shares import CostTerm
from spikepipe_sched.errors import InputError, is_whole, require
from spikepipe_sched.instance import Instance, expand
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Interconnect, Platform
from spikepipe_sched.rows import distinct
from spikepipe_sched.training import TrainingSetup

if TYPE_CHECKING:
    import networkx as nx

Ints = NDArray[np.int64]
Mode = Literal["periodic", "finite"]
WeightPolicy = Literal["stash", "latest"]

OBJECTIVES: Final[Mapping[str, tuple[str, ...]]] = {
    "periodic": ("period", "delay", "traffic", "memory"),
    "finite": ("makespan", "traffic", "memory"),
}
#: Largest time, size or count accepted in a problem: sums of a million of them stay within int64.
MAX_INT: Final = 2**42
#: Largest distance of an edge, in iterations.
MAX_DISTANCE: Final = 2**16
#: Latest start and longest period of a schedule, and most cycles of work in a problem: distance times
#: period stays within int64.
MAX_TIME: Final = 2**46
#: Most durations, edges and pairs of delayed copies: what is written out in memory.
MAX_CELLS: Final = 10**8


def ints(values: Any) -> Ints:
    """A read-only int64 array; nothing but whole numbers that fit is accepted."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise InputError(f"expected whole numbers, got {array.dtype}")
    fits = array.size == 0 or (int(array.min()) >= -MAX_INT and int(array.max()) <= MAX_INT)  # before a cast could wrap
    require(fits, f"a number is larger than {MAX_INT}")
    array = np.array(array, dtype=np.int64)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tasks:
    """Columns over the n tasks of one iteration.

    ``layer`` (n,) indexes ``Problem.layers``, -1: none. ``cycles`` (n, C), -1: the class cannot run
    the task. ``window`` (n,), -1: none. ``macs``, ``weight_bytes``, ``output_bytes``,
    ``stash_bytes`` (n,).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    parts: tuple[str, ...]
    layer: Ints
    window: Ints
    cycles: Ints
    macs: Ints
    weight_bytes: Ints
    output_bytes: Ints
    stash_bytes: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Columns over the m edges.

    ``source``, ``target`` (m,) index tasks; ``distance`` (m,) in iterations, -1 where
    ``delay_layer`` (m,) >= 0 names the layer whose delay it is; ``lag`` (m,) in cycles; the tensors
    of edge e are ``tensor[tensor_ptr[e]:tensor_ptr[e + 1]]``.
    """

    source: Ints
    target: Ints
    distance: Ints
    delay_layer: Ints
    lag: Ints
    tensor_ptr: Ints
    tensor: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a schedule must respect; None: no limit.

    Parameters
    ----------
    period_cycles
        Largest period (cycles per ``unroll`` iterations).
    makespan_cycles
        Largest makespan of a finite schedule.
    delay
        Largest delay D_l of any layer, in iterations.
    layer_delay
        The same for single layers, by name.
    traffic_bytes
        Largest traffic per ``unroll`` iterations (periodic) or in all (finite).
    span_cycles
        Largest end of an iteration's last result (end of the task plus its largest lag).
    """

    period_cycles: int | None = None
    makespan_cycles: int | None = None
    delay: int | None = None
    layer_delay: tuple[tuple[str, int], ...] = ()
    traffic_bytes: int | None = None
    span_cycles: int | None = None

    def __post_init__(self) -> None:
        named: list[tuple[str, Any, int]] = [(name, getattr(self, name), 1) for name in ("period_cycles", "makespan_cycles", "delay", "span_cycles")]
        named.append(("traffic_bytes", self.traffic_bytes, 0))
        named += [(f"the delay of layer '{layer}'", value, 1) for layer, value in self.layer_delay]
        for name, value, low in named:
            most = 2**63 - 1 if name == "traffic_bytes" else MAX_INT  # a sum of sizes
            require(value is None or (is_whole(value) and low <= value <= most), f"limits: {name} must be a whole number between {low} and {most}, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """One processor: its class (an index into ``Problem.classes``), PEs and memory (None: unlimited)."""

    name: str
    kind: int
    processing_elements: int = 1
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Problem:
    """What a solver sees.

    Parameters
    ----------
    mode
        ``periodic``: iteration j of a task starts at s + j * period. ``finite``: ``micro_batches``
        iterations, then one task of kind U per layer.
    classes, processors
        Names of the processor classes (C), and the processors (P).
    interconnect
        Uniform links.
    layers
        Names that ``tasks.layer`` and ``edges.delay_layer`` index, in topological order.
    tensors, tensor_bytes
        Names and sizes of the tensors that edges carry.
    unroll
        Periodic: K copies of each task; the period covers K iterations.
    weights
        Which version B multiplies by: the one F used (``stash``) or its own newest (``latest``).
    objective
        Lexicographic; see `OBJECTIVES`.
    clock_hz, samples_per_iteration
        Turn cycles into samples per second, nothing else; None: unknown.
    cost_terms
        Terms of the cost model and their shares of all cycles, for the record.
    network, training
        What the task graph was lowered from, for the record and for those who train it; None where
        a user's own graph was compiled.

    Raises
    ------
    InputError
        If the parts do not fit together, or an iteration's edges form a cycle.
    """

    name: str
    mode: Mode
    tasks: Tasks
    edges: Edges
    layers: tuple[str, ...]
    tensors: tuple[str, ...]
    tensor_bytes: Ints
    classes: tuple[str, ...]
    processors: tuple[Processor, ...]
    interconnect: Interconnect
    unroll: int = 1
    micro_batches: int = 1
    weights: WeightPolicy = "stash"
    objective: tuple[str, ...] = ()
    limits: Limits = Limits()
    clock_hz: int | None = None
    samples_per_iteration: int | None = None
    cost_terms: tuple[CostTerm, ...] = ()
    network: Network | None = None
    training: TrainingSetup | None = None
    instance: Instance = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require(self.mode in OBJECTIVES, f"problem: mode must be periodic or finite, got '{self.mode}'")
        if not self.objective:
            object.__setattr__(self, "objective", OBJECTIVES[self.mode])
        _validate(self)
        object.__setattr__(self, "instance", expand(self))

    def __repr__(self) -> str:
        tasks, edges, processors = len(self.tasks.names), len(self.edges.source), len(self.processors)
        copies = f"unroll={self.unroll}" if self.mode == "periodic" else f"micro_batches={self.micro_batches}"
        return f"Problem(name={self.name!r}, mode={self.mode!r}, {tasks=}, {edges=}, {processors=}, {copies})"

    @staticmethod
    def from_graph(graph: nx.DiGraph[Any], platform: Platform | int = 2, **options: Any) -> Problem:
        """Compile a task graph, from `lower` or the user's own.

        Parameters
        ----------
        graph
            Nodes need ``cycles`` (or ``duration``): a number, or {processor class: number}. All
            other attributes of `spikepipe_sched.lower` are optional. ``bytes`` on an edge without
            ``tensors`` is a tensor of its own; ``distance`` defaults to 0.
        platform
            A `Platform`, or a number of equal processors with free communication.
        **options
            ``mode`` (default ``finite`` unless edges have a distance or a ``delay_layer``),
            ``micro_batches``, ``unroll``, ``weights``, ``objective``, ``limits``, ``name``.

        Raises
        ------
        InputError
            Naming the node or edge that cannot be used.
        """
        from spikepipe_sched.compile import compile_graph

        return compile_graph(graph, platform, **options)

    @property
    def delay_limits(self) -> Ints:
        """Largest allowed D of every layer, (layers,); `MAX_INT` where there is none."""
        limits = np.full(len(self.layers), self.limits.delay or MAX_INT, dtype=np.int64)
        for name, value in self.limits.layer_delay:
            index = self.layers.index(name)
            limits[index] = min(int(limits[index]), value)
        return limits


def _validate(problem: Problem) -> None:
    _validate_options(problem)
    _validate_processors(problem)
    _validate_tasks(problem)
    _validate_edges(problem)
    tasks, edges, copies = problem.tasks, problem.edges, problem.unroll * problem.micro_batches
    delayed = int((edges.delay_layer >= 0).sum()) * problem.unroll  # each pair of an update's and a reader's copy
    cells = copies * (len(tasks.names) * len(problem.processors) + len(edges.source) + delayed)
    require(cells <= MAX_CELLS, f"problem: tasks x copies x processors and edges x copies are {cells} in all, more than {MAX_CELLS}")
    # In floating point, which is exact enough here and cannot wrap around.
    work = copies * (float(tasks.cycles.max(axis=1).sum(dtype=float)) + float(np.abs(edges.lag).sum(dtype=float)))
    require(work <= MAX_TIME, f"problem: the tasks and lags of all copies take about {work:.3g} cycles, more than {MAX_TIME}")
    moved = copies * float(problem.tensor_bytes[edges.tensor].sum(dtype=float))
    require(moved <= 2**60, f"problem: the tensors of all edges have about {moved:.3g} bytes, more than {2**60}")


def _validate_options(problem: Problem) -> None:
    require(problem.weights in ("stash", "latest"), f"problem: weights must be stash or latest, got '{problem.weights}'")
    require(problem.unroll >= 1, f"problem: unroll must be at least 1, got {problem.unroll}")
    require(problem.micro_batches >= 1, f"problem: micro_batches must be at least 1, got {problem.micro_batches}")
    periodic = problem.mode == "periodic"
    require(not periodic or problem.micro_batches == 1, "problem: micro_batches belong to finite mode; use mode='finite'")
    require(periodic or problem.unroll == 1, "problem: unroll belongs to periodic mode; use mode='periodic'")
    require(periodic or problem.limits.period_cycles is None, "limits: a finite schedule has no period; limit makespan_cycles")
    require(not periodic or problem.limits.makespan_cycles is None, "limits: a periodic schedule has no makespan; limit period_cycles or span_cycles")
    require(len(set(problem.layers)) == len(problem.layers), "problem: two layers have the same name")
    require(len(set(problem.tensors)) == len(problem.tensors), "problem: two tensors have the same name")
    require(len({term.name for term in problem.cost_terms}) == len(problem.cost_terms), "problem: two cost terms have the same name")
    require(problem.clock_hz is None or problem.clock_hz >= 1, f"problem: clock_hz must be at least 1, got {problem.clock_hz}")
    require(
        problem.samples_per_iteration is None or problem.samples_per_iteration >= 1,
        f"problem: samples_per_iteration must be at least 1, got {problem.samples_per_iteration}",
    )
    known = OBJECTIVES[problem.mode]
    for level in problem.objective:
        require(level in known, f"problem: '{level}' is not an objective of {problem.mode} mode; choose from {', '.join(known)}")
    require(len(set(problem.objective)) == len(problem.objective), "problem: an objective is named twice")
    for layer, _ in problem.limits.layer_delay:
        require(layer in problem.layers, f"limits: there is no layer '{layer}' to limit the delay of; there are {', '.join(problem.layers[:24]) or 'none'}")


def _validate_processors(problem: Problem) -> None:
    c, link = len(problem.classes), problem.interconnect
    require(len(set(problem.classes)) == c, "problem: two processor classes have the same name")
    require(problem.processors, "problem: it has no processors")
    require(len({p.name for p in problem.processors}) == len(problem.processors), "problem: two processors have the same name")
    for processor in problem.processors:
        require(0 <= processor.kind < c, f"problem: processor '{processor.name}' has an unknown class")
        require(processor.processing_elements >= 1, f"problem: processor '{processor.name}' needs at least one processing element")
        size = processor.memory_bytes  # all tensors of a problem have at most 2^60 bytes
        require(size is None or 1 <= size <= 2**60, f"problem: memory_bytes of processor '{processor.name}' must be between 1 and 2^60")
    require(link.sharing == "none" or problem.unroll == 1, f"problem: shared links (sharing='{link.sharing}') need unroll=1, got {problem.unroll}")
    for name in ("latency_cycles", "bandwidth_bytes_per_cycle", "signal_latency_cycles"):
        value = getattr(link, name)
        require(value is None or value <= MAX_INT, f"problem: the interconnect's {name} must be at most {MAX_INT}, got {value}")


def _validate_tasks(problem: Problem) -> None:
    tasks = problem.tasks
    n, c = len(tasks.names), len(problem.classes)
    require(n >= 1, "problem: it has no tasks")
    require(len(set(tasks.names)) == n, "problem: two tasks have the same name")
    columns = (tasks.kinds, tasks.parts, tasks.layer, tasks.window, tasks.macs, tasks.weight_bytes, tasks.output_bytes, tasks.stash_bytes)
    require(all(len(column) == n for column in columns), "problem: every column of the tasks must have one entry per task")
    require(tasks.cycles.shape == (n, c), "problem: cycles must have one row per task and one column per class")
    require(int(tasks.cycles.min()) >= -1, "problem: cycles must not be negative")
    require(int(tasks.layer.min()) >= -1 and int(tasks.layer.max()) < len(problem.layers), "problem: a task names an unknown layer")
    available = np.zeros(c, dtype=bool)
    available[[p.kind for p in problem.processors]] = True
    stuck = np.flatnonzero((tasks.cycles[:, available] < 0).all(axis=1))
    require(stuck.size == 0, f"problem: no processor can run task '{tasks.names[int(stuck[0])] if stuck.size else ''}'")
    for column in (tasks.macs, tasks.weight_bytes, tasks.output_bytes, tasks.stash_bytes, problem.tensor_bytes):
        require(column.size == 0 or int(column.min()) >= 0, "problem: sizes must not be negative")


def _validate_edges(problem: Problem) -> None:
    tasks, edges = problem.tasks, problem.edges
    n, m = len(tasks.names), len(edges.source)
    columns = (edges.target, edges.distance, edges.delay_layer, edges.lag, edges.tensor_ptr[1:])
    require(all(len(column) == m for column in columns), "problem: every column of the edges must have one entry per edge")
    for column in (edges.source, edges.target):
        require(m == 0 or (int(column.min()) >= 0 and int(column.max()) < n), "problem: an edge names an unknown task")
    require(m == 0 or int(edges.delay_layer.max()) < len(problem.layers), "problem: an edge names an unknown delay layer")
    delayed = edges.delay_layer >= 0
    require(bool(((edges.distance >= 0) ^ delayed).all()), "problem: an edge needs either a distance >= 0 or a delay layer")
    for e in np.flatnonzero(delayed):
        require(
            tasks.kinds[int(edges.source[e])] == "U",
            f"problem: the edge with a delay layer from '{tasks.names[int(edges.source[e])]}' must start at a task of kind U",
        )
    require(m == 0 or int(edges.distance.max()) <= MAX_DISTANCE, f"problem: an edge has a distance above {MAX_DISTANCE}")
    pointer, size = edges.tensor_ptr, len(problem.tensors)
    whole = int(pointer[0]) == 0 and int(pointer[-1]) == len(edges.tensor) and bool((np.diff(pointer) >= 0).all())
    require(whole and len(problem.tensor_bytes) == size, "problem: tensor_ptr does not fit")
    require(edges.tensor.size == 0 or (int(edges.tensor.min()) >= 0 and int(edges.tensor.max()) < size), "problem: an edge carries an unknown tensor")
    carried = np.stack([np.repeat(np.arange(m), np.diff(pointer)), edges.tensor])
    require(distinct(*carried)[0].shape == carried.shape, "problem: an edge carries the same tensor twice")
    if problem.mode == "finite":  # the updates come last: what follows one belongs to the next iteration
        update = np.array([kind == "U" for kind in tasks.kinds])
        for e in np.flatnonzero(update[edges.source] & ~update[edges.target] & (edges.distance == 0)).tolist():
            u, v = tasks.names[int(edges.source[e])], tasks.names[int(edges.target[e])]
            raise InputError(
                f"problem: in finite mode updates come last, but '{v}' waits for the update '{u}' of its own iteration; give the edge a distance >= 1 or the task '{u}' another kind than U"
            )
