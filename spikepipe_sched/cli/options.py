"""The options that commands share: the job to schedule and what a solver may spend on it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from spikepipe_sched.platform import Platform
    from spikepipe_sched.problem import Problem

JsonFlag = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be scheduled.

    Parameters
    ----------
    platform
        Name of a library platform, or a .toml file.
    batch
        Samples per iteration: of a mini-batch (periodic) or a micro-batch (finite).
    windows
        Windows that the time steps are cut into; each is a task of its own.
    mode
        periodic: delayed gradients, iterations overlap; finite: synchronous, one update at the end.
    micro_batches
        Micro-batches of a finite schedule; 8 if not given.
    time_steps
        Time steps per sample, in place of the network's own.
    input_shape
        Shape of a sample at one time step in place of the network's own: 700, or 2,34,34.
    weights
        Weights the backward pass uses: those of its forward pass (stash), or the latest.
    dgrad
        GEMM form of a convolution's activation gradient.
    objective
        Objectives in order of importance, comma-separated: period, delay, traffic, memory
        (periodic) or makespan, traffic, memory (finite); all of these in this order if not given.
    max_period
        Largest period allowed [cycles].
    max_makespan
        Largest makespan allowed in finite mode [cycles].
    max_delay
        Largest gradient delay allowed in any layer [iterations].
    max_traffic
        Largest traffic between processors allowed per iteration, or in a whole finite run [bytes].
    max_memory
        Memory of every processor [bytes], in place of the platform's own.
    """

    platform: Annotated[str, Parameter(alias="-p")] = "array32"
    batch: int = 16
    windows: int = 4
    mode: Literal["periodic", "finite"] = "periodic"
    micro_batches: int | None = None
    time_steps: int | None = None
    input_shape: str | None = None
    weights: Literal["stash", "latest"] = "stash"
    dgrad: Literal["col2im", "transposed"] = "col2im"
    objective: str | None = None
    max_period: int | None = None
    max_makespan: int | None = None
    max_delay: int | None = None
    max_traffic: int | None = None
    max_memory: int | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a solver may spend.

    Parameters
    ----------
    time_limit
        Wall-clock limit [seconds].
    deterministic_limit
        Limit in the solver's deterministic units, in place of time: the same seed then gives the
        same schedule.
    workers
        Threads; all processor cores if not given.
    seed
        Seed of everything random.
    """

    time_limit: float = 30.0
    deterministic_limit: float | None = None
    workers: int | None = None
    seed: int = 0


def build_problem(network: str, job: Job, processors: int) -> Problem:
    """Load the network and the platform, lower, and compile."""
    from spikepipe_sched import Limits, Problem, TrainingSetup, load_network, load_platform, lower
    from spikepipe_sched.errors import require
    from spikepipe_sched.importers import DEFAULT_TIME_STEPS

    require(job.mode == "finite" or job.micro_batches is None, "--micro-batches belongs to --mode finite")
    finite = {"micro_batches": 8 if job.micro_batches is None else job.micro_batches} if job.mode == "finite" else {}
    if job.time_steps is None and network.lower().endswith(".nir"):
        print(f"note: a NIR file names no time steps; {DEFAULT_TIME_STEPS} are assumed (--time-steps)", file=sys.stderr)
    loaded = load_network(network, time_steps=job.time_steps, input_shape=_shape(job.input_shape))
    platform = _with_memory(load_platform(job.platform).with_processors(processors), job.max_memory)
    graph = lower(loaded, TrainingSetup(batch=job.batch, windows=job.windows, dgrad=job.dgrad), platform)
    limits = Limits(period_cycles=job.max_period, makespan_cycles=job.max_makespan, delay=job.max_delay, traffic_bytes=job.max_traffic)
    objective = tuple(part.strip() for part in job.objective.split(",")) if job.objective is not None else ()
    return Problem.from_graph(graph, platform, mode=job.mode, weights=job.weights, objective=objective, limits=limits, **finite)


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


def _shape(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else numbers(text, "--input-shape")


def _with_memory(platform: Platform, memory_bytes: int | None) -> Platform:
    if memory_bytes is None:
        return platform
    return replace(platform, classes={name: replace(array, memory_bytes=memory_bytes) for name, array in platform.classes.items()})
