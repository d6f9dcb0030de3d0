"""The options that commands share: the job to schedule and what a solver may spend on it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

from cyclopts import Group, Parameter

from spikepipe_sched.cli import TYPED

JsonFlag = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*", group=Group("Network and training", sort_key=2))
@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is trained, how, and on what; nothing of this applies to task graphs.

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


@Parameter(name="*", group=Group("Cost model", sort_key=3))
@dataclass(frozen=True, slots=True, kw_only=True)
class Costing:
    """What the cycles of a task are made of; task graphs bring their own.

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


@Parameter(name="*", group=Group("Job and limits", sort_key=1))
@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be scheduled, and within which limits.

    Parameters
    ----------
    mode
        periodic: delayed gradients, iterations overlap; finite: synchronous, one update at the end. If
        not given: periodic for networks and modulo graphs, finite for other task graphs.
    micro_batches
        Micro-batches of a finite schedule. If not given: 8 of a network, what a pipeline file says, 1 of
        other task graphs.
    weights
        Weights the backward pass uses: those of its forward pass (stash), or the latest.
    objective
        Objectives in order of importance, comma-separated: period, delay, traffic, memory
        (periodic) or makespan, traffic, memory (finite); if not given, all of these in this order, of
        a task graph the first alone.
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
    max_staleness
        Largest staleness (delay less one) allowed in any layer, or a file that validate --sweep-delays
        wrote: the staleness that was measured to keep the accuracy. All limits on delays hold together.
    tolerance
        Loss of accuracy that the measurement must exclude [points]; 1 if not given.
    profile
        Which measured staleness to allow: the same in all layers (uniform), or that of the joint
        profile; to be named where neither allows more in every layer.
    max_traffic
        Largest traffic between processors allowed per period (an iteration; under --unroll all its
        iterations), or in a whole finite run [bytes].
    max_span
        Largest time from an iteration's first start to its last result [cycles]; under --unroll of all
        iterations of a period, in finite mode of the whole run.
    max_memory
        Memory of every processor [bytes; activations of whole stages in a pipeline file], in place of
        the platform's own.
    unroll
        Iterations per period: each task has so many copies, which may run on different processors.
    resources
        File with the resources of a modulo graph (.graphml): .xml.
    transfer
        Pipeline files: latency of what crosses between processors, in the file's unit of time.
    placement
        Pipeline files: stage s on processor s (stages), chunk i on processor i modulo their number
        (interleaved), there and back (v), or any task anywhere (free).
    chunks
        Pipeline files: equal parts that each stage is cut into (2 if not given, where placement is
        interleaved or v); a cycle is then 1 / chunks of the file's unit of time.
    """

    mode: Literal["periodic", "finite"] | None = None
    micro_batches: int | None = None
    weights: Literal["stash", "latest"] = "stash"
    objective: str | None = None
    max_period: int | None = None
    max_makespan: int | None = None
    slack: str | None = None
    max_delay: int | None = None
    max_layer_delay: str | None = None
    max_staleness: str | None = None
    tolerance: float | None = None
    profile: Literal["uniform", "joint"] | None = None
    max_traffic: int | None = None
    max_span: int | None = None
    max_memory: int | None = None
    unroll: int = 1
    resources: Path | None = None
    transfer: int | None = None
    placement: Literal["stages", "interleaved", "v", "free"] | None = None
    chunks: int | None = None


@Parameter(name="*", group=Group("Search", sort_key=4))
@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a solver may spend.

    Parameters
    ----------
    time_limit
        Wall-clock limit [seconds]: of each solver and number of processors in a comparison, of a plan as a whole.
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


def given(*groups: Training | Costing | Job | Effort) -> list[str]:
    """The options that were typed, be it with their default, or differ from it."""
    typed = {token.partition("=")[0].replace("_", "-") for token in TYPED.get()}
    found: list[str] = []
    for group in groups:
        hints = get_type_hints(type(group), include_extras=True)
        for field in fields(group):
            value, name = getattr(group, field.name), field.name.replace("_", "-")
            aliases = {alias for parameter in getattr(hints[field.name], "__metadata__", ()) for alias in parameter.alias or ()}
            if value != field.default or typed & {f"--{name}", f"--no-{name}", *aliases}:
                found.append(f"--{'no-' if value is False else ''}{name}")
    return found


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
