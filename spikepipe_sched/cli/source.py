"""What the commands schedule: a network that is lowered, or a file with a task graph."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from spikepipe_sched.cli.max_staleness import staleness_limits
from spikepipe_sched.cli.options import Costing, Job, Training, given, numbers
from spikepipe_sched.platform import array_size

if TYPE_CHECKING:
    from spikepipe_sched.cost import CostModel
    from spikepipe_sched.lower import Split
    from spikepipe_sched.network import Network
    from spikepipe_sched.platform import Dataflow, Platform
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.readers.graph_file import GraphFile
    from spikepipe_sched.training import TrainingSetup


#: Options of a job that mean something to task graphs alone, and to weights that are updated.
_FOR_GRAPHS: Final = ("--resources", "--transfer", "--placement", "--chunks")
_FOR_WEIGHTS: Final = ("--weights", "--max-delay", "--max-layer-delay", "--max-staleness", "--tolerance", "--profile")


class Source(Protocol):
    """What has been read, and can be scheduled on any number of processors."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of processors to compare solvers on, if nothing is said about them."""
        ...

    def problem(self, job: Job, processors: int | None) -> Problem:
        """The problem on so many processors; on the platform's or the file's own number if None."""
        ...


def read_source(name: str, training: Training, costing: Costing, job: Job) -> Source:
    """Read a network or a task graph.

    Raises
    ------
    InputError
        If there is none of that name, or the options do not go with it.
    """
    from spikepipe_sched.errors import require
    from spikepipe_sched.readers import is_graph_file, load_graph

    if not is_graph_file(name):
        wrong = [option for option in given(job) if option in _FOR_GRAPHS]
        require(not wrong, f"{name}: {', '.join(wrong)} cannot apply to a network, but to files with task graphs")
        lowering = read_lowering(name, training, costing)
        return replace(lowering, delay_limits=staleness_limits(job, lowering.network, lowering.setup))
    wrong = given(training, costing)
    require(not wrong, f"{name}: a task graph brings its own cycles and processors, to which {', '.join(wrong)} cannot apply")
    wrong = [option for option in given(job) if option in _FOR_WEIGHTS]
    require(not wrong, f"{name}: a task graph has no weights that are updated, to which {', '.join(wrong)} could apply")
    file = load_graph(
        name,
        mode=job.mode,
        micro_batches=job.micro_batches,
        resources=job.resources,
        transfer=job.transfer,
        placement=job.placement,
        chunks=job.chunks,
    )
    if file.note:
        print(f"note: {file.note}", file=sys.stderr)
    return GraphSource(file=file)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSource:
    """A task graph."""

    file: GraphFile

    @property
    def counts(self) -> tuple[int, ...]:
        """The file's own number."""
        return (self.file.own_processors,)

    def problem(self, job: Job, processors: int | None) -> Problem:
        """See `Source`."""
        return self.file.problem(processors=processors, memory=job.max_memory, **_options(job))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """The arguments of `spikepipe_sched.lower`, read from files and options: a network to be trained."""

    network: Network
    setup: TrainingSetup
    platform: Platform
    cost: CostModel
    splits: tuple[Split, ...]
    delay_limits: tuple[tuple[str, int], ...] = ()

    @property
    def counts(self) -> tuple[int, ...]:
        """Some that a platform may be cut or repeated to."""
        return (2, 4, 8)

    def problem(self, job: Job, processors: int | None) -> Problem:
        """Lower for so many processors, and compile; see `Source`."""
        from spikepipe_sched import Problem, lower

        platform = self.machine(job)
        platform = platform if processors is None else platform.with_processors(processors)
        graph = lower(self.network, self.setup, platform, cost=self.cost, splits=self.splits)
        return Problem.from_graph(graph, platform, **self.options(job))

    def machine(self, job: Job) -> Platform:
        """The platform, with the memory that the job asks for."""
        return _with_memory(self.platform, job.max_memory)

    def options(self, job: Job) -> dict[str, Any]:
        """What `Problem.from_graph` takes from the job."""
        from spikepipe_sched.errors import require

        mode = "periodic" if job.mode is None else job.mode
        require(mode == "finite" or job.micro_batches is None, "--micro-batches belongs to --mode finite")
        finite = {"micro_batches": 8 if job.micro_batches is None else job.micro_batches} if mode == "finite" else {}
        return {"mode": mode, **finite, **_options(job, self.delay_limits)}


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
    if training.array is not None:
        platform = platform.with_array(*array_size(training.array, "--array"))
    if training.dataflow is None:
        return platform
    flows, classes = _dataflows(training.dataflow), platform.classes.items()
    changed = {name: replace(array, forward_dataflow=flows[0], backward_dataflow=flows[1], gradient_dataflow=flows[2]) for name, array in classes}
    return replace(platform, classes=changed)


def _dataflows(text: str) -> tuple[Dataflow, Dataflow, Dataflow]:
    """One for all passes, or one each for F, B and W."""
    from spikepipe_sched.errors import require

    flows = tuple(part.strip() for part in text.lower().split(","))
    known = len(flows) in (1, 3) and all(flow in ("os", "ws", "is", "auto") for flow in flows)
    require(known, f"--dataflow takes os, ws, is or auto, once or for F, B and W (ws,ws,os), not '{text}'")
    return cast("tuple[Dataflow, Dataflow, Dataflow]", flows * (3 if len(flows) == 1 else 1))


def _options(job: Job, delay_limits: tuple[tuple[str, int], ...] = ()) -> dict[str, Any]:
    """What a problem takes from the options, whatever it is made of, and further limits on delays."""
    from spikepipe_sched import Limits

    limits = Limits(
        period_cycles=job.max_period,
        makespan_cycles=job.max_makespan,
        delay=job.max_delay,
        layer_delay=(*_layer_delays(job.max_layer_delay), *delay_limits),
        traffic_bytes=job.max_traffic,
        span_cycles=job.max_span,
    )
    options: dict[str, Any] = {"weights": job.weights, "unroll": job.unroll, "limits": limits}
    if job.objective is not None:
        options["objective"] = tuple(part.strip() for part in job.objective.split(","))
    return options


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


def _shape(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else numbers(text, "--input-shape")


def _with_memory(platform: Platform, memory_bytes: int | None) -> Platform:
    if memory_bytes is None:
        return platform
    return replace(platform, classes={name: replace(array, memory_bytes=memory_bytes) for name, array in platform.classes.items()})
