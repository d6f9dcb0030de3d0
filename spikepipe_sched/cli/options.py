"""The options that commands share: the job to schedule and what a solver may spend on it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

if TYPE_CHECKING:
    from spikepipe_sched.cost import CostModel
    from spikepipe_sched.lower import Split, TaskGraph
    from spikepipe_sched.network import Network
    from spikepipe_sched.platform import Dataflow, Platform
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.training import TrainingSetup

JsonFlag = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is trained, how, and on what.

    Parameters
    ----------
    platform
        Name of a library platform, or a .toml file.
    array
        Size ROWSxCOLUMNS, such as 32x32, in place of the platform's arrays. Vector lanes grow with
        the columns; memories and bandwidths stay as in the class of its first processor.
    dataflow
        In place of the platform's: os, ws or is (output, weight or input stationary), auto (the
        cheapest of each product), or one each for F, B and W: ws,ws,os.
    batch
        Samples per iteration: of a mini-batch (periodic) or a micro-batch (finite).
    windows
        Windows that the time steps are cut into; each is a task of its own. If not given: 4, fewer
        where there are fewer steps, one for each step where layers form a loop.
    time_steps
        Time steps per sample, in place of the network's own.
    input_shape
        Shape of a sample at one time step in place of the network's own: 700, or 2,34,34.
    dgrad
        GEMM form of a convolution's activation gradient.
    membrane
        Keep membranes for the backward pass (store), or compute them again (recompute).
    bptt_steps
        Length of truncated back-propagation through time [steps]; the whole sequence if not given.
    split
        Cut tasks into parts that different processors run: [LAYER.]KIND:AXIS:PARTS, comma-separated;
        KIND is F, B or W, AXIS a dimension m, k or n of its matrix product. Example: W:k:2,fc1.F:n:4.
    """

    platform: Annotated[str, Parameter(alias="-p")] = "array32"
    array: str | None = None
    dataflow: str | None = None
    batch: int = 16
    windows: int | None = None
    time_steps: int | None = None
    input_shape: str | None = None
    dgrad: Literal["col2im", "transposed"] = "col2im"
    membrane: Literal["store", "recompute"] = "store"
    bptt_steps: int | None = None
    split: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Costing:
    """What the cycles of a task are made of.

    Parameters
    ----------
    timing
        Formula for matrix products: SCALE-Sim's code, its paper's, partial folds paid in part
        (tight), weights double-buffered in the array (pipelined), or all elements busy (roofline).
    stalls
        Count the time that products wait for DRAM.
    sparsity
        Silent inputs: no effect (none), save energy (gate), or save cycles as well (skip).
    spike_rate
        Spikes per neuron and time step, where a layer names none [0..1].
    error_density
        Share of nonzero errors at the synapses of spiking layers [0..1].
    time_batching
        All steps of a window in one product; without it, a product per step.
    vector
        Count element-wise work.
    """

    timing: Literal["scalesim", "paper", "tight", "pipelined", "roofline"] = "scalesim"
    stalls: Annotated[bool, Parameter(negative=())] = False
    sparsity: Literal["none", "gate", "skip"] = "none"
    spike_rate: float = 0.1
    error_density: float = 1.0
    time_batching: bool = True
    vector: bool = True


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be scheduled, and within which limits.

    Parameters
    ----------
    mode
        periodic: delayed gradients, iterations overlap; finite: synchronous, one update at the end.
    micro_batches
        Micro-batches of a finite schedule; 8 if not given.
    weights
        Weights the backward pass uses: those of its forward pass (stash), or the latest.
    objective
        Objectives in order of importance, comma-separated: period, delay, traffic, memory
        (periodic) or makespan, traffic, memory (finite); all of these in this order if not given.
    max_period
        Largest period allowed [cycles]; under --unroll of all its iterations together.
    max_makespan
        Largest makespan allowed in finite mode [cycles].
    slack
        How much the period may exceed the least one found, such as 1%, for the sake of the
        objectives after it: the least period is sought first, then becomes a limit.
    max_delay
        Largest gradient delay allowed in any layer [iterations].
    max_layer_delay
        The same for single layers, comma-separated: conv1=2,fc1=4.
    max_traffic
        Largest traffic between processors allowed per period (an iteration; under --unroll all its
        iterations), or in a whole finite run [bytes].
    max_span
        Largest time from an iteration's first start to its last result [cycles]; under --unroll of all
        iterations of a period, in finite mode of the whole run.
    max_memory
        Memory of every processor [bytes], in place of the platform's own.
    unroll
        Iterations per period: each task has so many copies, which may run on different processors.
    """

    mode: Literal["periodic", "finite"] = "periodic"
    micro_batches: int | None = None
    weights: Literal["stash", "latest"] = "stash"
    objective: str | None = None
    max_period: int | None = None
    max_makespan: int | None = None
    slack: str | None = None
    max_delay: int | None = None
    max_layer_delay: str | None = None
    max_traffic: int | None = None
    max_span: int | None = None
    max_memory: int | None = None
    unroll: int = 1


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a solver may spend.

    Parameters
    ----------
    time_limit
        Wall-clock limit [seconds].
    deterministic_limit
        Limit of work in place of time, in units of about a second of one core: the same seed then
        gives the same schedule.
    workers
        Threads; all processor cores if not given.
    seed
        Seed of everything random.
    """

    time_limit: float = 30.0
    deterministic_limit: float | None = None
    workers: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """The arguments of `spikepipe_sched.lower`, read from files and options."""

    network: Network
    setup: TrainingSetup
    platform: Platform
    cost: CostModel
    splits: tuple[Split, ...]

    def graph(self) -> TaskGraph:
        """The task graph."""
        from spikepipe_sched import lower

        return lower(self.network, self.setup, self.platform, cost=self.cost, splits=self.splits)


def read_lowering(network: str, training: Training, costing: Costing) -> Lowering:
    """Load the network and the platform, and turn options into core objects."""
    from spikepipe_sched import CostModel, TrainingSetup, load_network
    from spikepipe_sched.importers import DEFAULT_TIME_STEPS
    from spikepipe_sched.training import default_windows

    if training.time_steps is None and network.lower().endswith(".nir"):
        print(f"note: a NIR file names no time steps; {DEFAULT_TIME_STEPS} are assumed (--time-steps)", file=sys.stderr)
    loaded = load_network(network, time_steps=training.time_steps, input_shape=_shape(training.input_shape))
    setup = TrainingSetup(
        batch=training.batch,
        windows=default_windows(loaded) if training.windows is None else training.windows,
        dgrad=training.dgrad,
        membrane=training.membrane,
        bptt_steps=training.bptt_steps,
        spike_rate=costing.spike_rate,
        error_density=costing.error_density,
    )
    model = CostModel(timing=costing.timing, stalls=costing.stalls, sparsity=costing.sparsity, time_batching=costing.time_batching, vector=costing.vector)
    return Lowering(network=loaded, setup=setup, platform=read_platform(training), cost=model, splits=_splits(training.split))


def read_platform(training: Training) -> Platform:
    """Load the platform, with other arrays or dataflows where the options say so."""
    from spikepipe_sched import load_platform

    platform = load_platform(training.platform)
    classes, processors = platform.classes, platform.processors
    if training.array is not None:
        rows, cols = _array_size(training.array)
        name = f"{rows}x{cols}"
        first = classes[processors[0]]
        lanes = max(1, first.lanes * cols // first.cols)
        classes, processors = {name: replace(first, rows=rows, cols=cols, lanes=lanes)}, (name,) * len(processors)
        platform = replace(platform, name=f"{platform.name} with {name} arrays")
    if training.dataflow is not None:
        flows = _dataflows(training.dataflow)
        classes = {name: replace(array, forward_dataflow=flows[0], backward_dataflow=flows[1], gradient_dataflow=flows[2]) for name, array in classes.items()}
    return replace(platform, classes=classes, processors=processors)


def _array_size(text: str) -> tuple[int, int]:
    """``32x16``: rows and columns."""
    from spikepipe_sched.errors import InputError

    rows, _, cols = text.lower().partition("x")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 6 and int(part) for part in (rows, cols)):
        raise InputError(f"--array takes ROWSxCOLUMNS such as 32x32, with 1 to 999999 of each, not '{text}'")
    return int(rows), int(cols)


def _dataflows(text: str) -> tuple[Dataflow, Dataflow, Dataflow]:
    """One for all passes, or one each for F, B and W."""
    from spikepipe_sched.errors import require

    flows = tuple(part.strip() for part in text.lower().split(","))
    known = len(flows) in (1, 3) and all(flow in ("os", "ws", "is", "auto") for flow in flows)
    require(known, f"--dataflow takes os, ws, is or auto, once or for F, B and W (ws,ws,os), not '{text}'")
    return cast("tuple[Dataflow, Dataflow, Dataflow]", flows * (3 if len(flows) == 1 else 1))


def build_problem(lowering: Lowering, job: Job, processors: int | None) -> Problem:
    """Lower for so many processors (the platform's own number if None), and compile."""
    from spikepipe_sched import Limits, Problem
    from spikepipe_sched.errors import require

    require(job.mode == "finite" or job.micro_batches is None, "--micro-batches belongs to --mode finite")
    finite = {"micro_batches": 8 if job.micro_batches is None else job.micro_batches} if job.mode == "finite" else {}
    platform = lowering.platform if processors is None else lowering.platform.with_processors(processors)
    platform = _with_memory(platform, job.max_memory)
    limits = Limits(
        period_cycles=job.max_period,
        makespan_cycles=job.max_makespan,
        delay=job.max_delay,
        layer_delay=_layer_delays(job.max_layer_delay),
        traffic_bytes=job.max_traffic,
        span_cycles=job.max_span,
    )
    objective = tuple(part.strip() for part in job.objective.split(",")) if job.objective is not None else ()
    graph = replace(lowering, platform=platform).graph()
    return Problem.from_graph(graph, platform, mode=job.mode, weights=job.weights, unroll=job.unroll, objective=objective, limits=limits, **finite)


def _layer_delays(text: str | None) -> tuple[tuple[str, int], ...]:
    """``LAYER=DELAY``, comma-separated."""
    from spikepipe_sched.errors import InputError

    limits: list[tuple[str, int]] = []
    for part in text.split(",") if text is not None else ():
        layer, equals, delay = (word.strip() for word in part.rpartition("="))
        if not (layer and equals and _countable(delay)):
            raise InputError(f"--max-layer-delay takes LAYER=DELAY such as conv1=2,fc1=4, not '{part.strip()}'")
        limits.append((layer, int(delay)))
    return tuple(limits)


def _countable(text: str) -> bool:
    """Whether ``text`` is a whole number that is not absurdly long: `int` refuses thousands of digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _splits(text: str | None) -> tuple[Split, ...]:
    """``[LAYER.]KIND:AXIS:PARTS``, comma-separated."""
    from spikepipe_sched import Split
    from spikepipe_sched.errors import InputError

    splits: list[Split] = []
    for part in text.split(",") if text is not None else ():
        where, *rest = part.strip().split(":")
        layer, _, kind = where.rpartition(".")
        if len(rest) != 2 or not _countable(rest[1]):
            raise InputError(f"--split takes [LAYER.]KIND:AXIS:PARTS such as W:k:2 or fc1.F:n:4, not '{part.strip()}'")
        splits.append(Split(kind=kind, axis=rest[0], parts=int(rest[1]), layer=layer))  # pyright: ignore[reportArgumentType]  (checked by Split)
    return tuple(splits)


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Comma-separated whole numbers >= 1.

    Raises
    ------
    InputError
        If ``text`` is anything else; the message names ``option``.
    """
    from spikepipe_sched.errors import InputError

    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise InputError(f"{option} takes whole numbers of at least 1, separated by commas, not '{text}'")
    return values


def parse_share(text: str, option: str) -> float:
    """``0.01`` or ``1%``.

    Raises
    ------
    InputError
        If ``text`` is neither, or negative; the message names ``option``.
    """
    from spikepipe_sched.errors import InputError

    number, whole = (text.strip()[:-1], 100.0) if text.strip().endswith("%") else (text, 1.0)
    try:
        value = float(number) / whole
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{option} takes a fraction or a percentage such as 0.01 or 1%, not '{text}'")
    return value


def _shape(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else numbers(text, "--input-shape")


def _with_memory(platform: Platform, memory_bytes: int | None) -> Platform:
    if memory_bytes is None:
        return platform
    return replace(platform, classes={name: replace(array, memory_bytes=memory_bytes) for name, array in platform.classes.items()})
