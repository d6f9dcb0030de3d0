"""The JSON documents: structure, units and ranges of every field, and nothing else.

`spikepipe_sched.schema` translates between these and the core dataclasses. Unknown fields are
refused. Numbers that enter computations are at most `MAX_INT`; reported sums may be larger.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from spikepipe_sched.document import Document, Number, Positive, Ratio, Signed, Total
from spikepipe_sched.network_document import NetworkDocument, TrainingDocument
from spikepipe_sched.platform import Sharing

RESULT_SCHEMA: Final = "spikepipe-sched/result/1"
PROBLEM_SCHEMA: Final = "spikepipe-sched/problem/1"


class ProcessorDocument(Document, frozen=True):
    """One processor of the platform."""

    name: Annotated[str, Meta(description="Name, unique among the processors.")]
    kind: Annotated[str, Meta(description="Processor class; one of `classes`.")] = field(name="class")
    processing_elements: Annotated[Positive, Meta(description="Multiply-accumulate units [count].")]
    memory_bytes: Annotated[Positive | None, Meta(description="Size of its memory [bytes]; null: unlimited.")]


class InterconnectDocument(Document, frozen=True, omit_defaults=True):
    """Uniform links: sending b > 0 bytes takes latency + ceil(b / bandwidth) cycles."""

    latency_cycles: Annotated[Number, Meta(description="Time before the first byte arrives [cycles].")]
    bandwidth_bytes_per_cycle: Annotated[Positive | None, Meta(description="Bytes a link carries in a cycle [bytes/cycle]; null: unlimited.")]
    signal_latency_cycles: Annotated[Number, Meta(description="Time that an edge of 0 bytes takes between processors [cycles].")] = 0
    sharing: Annotated[
        Sharing,
        Meta(
            description="What a transfer holds for ceil(b / bandwidth) cycles: nothing (none), the one medium (bus), the sender's and the receiver's port (ports), or the pair's own link (pairs)."
        ),
    ] = "none"


class TensorDocument(Document, frozen=True):
    """Something that edges carry; edges that name the same tensor share it."""

    name: Annotated[str, Meta(description="Name, unique among the tensors.")]
    bytes: Annotated[Number, Meta(description="Size [bytes].")]


class TaskDocument(Document, frozen=True):
    """A task of one iteration."""

    name: Annotated[str, Meta(description="Name, unique among the tasks.")]
    kind: Annotated[str, Meta(description="F forward, E error, B activation gradient, W weight gradient, U update; other names in graphs of the user's own.")]
    layer: Annotated[str | None, Meta(description="Its layer, one of `layers`; null: none.")]
    window: Annotated[Number | None, Meta(description="Which window of time steps [index from 0]; null: none.")]
    part: Annotated[str, Meta(description="Part of a split task (synapse, neuron); empty: whole.")]
    cycles: Annotated[dict[str, Number], Meta(description="Duration by processor class [cycles]; a class that is missing cannot run the task.")]
    macs: Annotated[Number, Meta(description="Multiply-accumulates [count].")]
    weight_bytes: Annotated[Number, Meta(description="Weights it reads [bytes].")]
    output_bytes: Annotated[Number, Meta(description="Results it writes [bytes].")]
    stash_bytes: Annotated[Number, Meta(description="Results kept for the backward pass [bytes].")]


class EdgeDocument(Document, frozen=True):
    """The target starts after the source's result is there; either `distance` or `delay_layer` is null."""

    source: Annotated[str, Meta(description="Name of the task that must end first.")]
    target: Annotated[str, Meta(description="Name of the task that waits.")]
    distance: Annotated[Number | None, Meta(description="How much later the target's iteration is [iterations].")]
    delay_layer: Annotated[str | None, Meta(description="The layer whose delay is the distance.")]
    lag_cycles: Annotated[Signed, Meta(description="From the end of the source to its result [cycles]; may be negative.")]
    tensors: Annotated[tuple[str, ...], Meta(description="Names of what is sent; see the problem's `tensors`.")]


class LayerDelayLimitDocument(Document, frozen=True):
    """Limit on one layer's delay."""

    layer: Annotated[str, Meta(description="Name of the layer.")]
    delay: Annotated[Positive, Meta(description="Largest delay D of the layer [iterations].")]


class LimitsDocument(Document, frozen=True):
    """What a schedule must respect; null: no limit."""

    period_cycles: Annotated[Positive | None, Meta(description="Largest period, over `unroll` iterations [cycles].")]
    makespan_cycles: Annotated[Positive | None, Meta(description="Largest makespan [cycles].")]
    delay: Annotated[Positive | None, Meta(description="Largest delay D of any layer [iterations].")]
    layer_delay: Annotated[tuple[LayerDelayLimitDocument, ...], Meta(description="Limits on single layers.")]
    traffic_bytes: Annotated[Total | None, Meta(description="Largest traffic per `unroll` iterations, or of a finite run [bytes].")]
    span_cycles: Annotated[Positive | None, Meta(description="Largest time from an iteration's start to its last result [cycles].")]


class CostTermDocument(Document, frozen=True):
    """A term of the cost model."""

    name: Annotated[str, Meta(description="Name, unique among the terms.")]
    share: Annotated[float, Meta(description="Its cycles over those of all terms, all tasks on all processors [ratio]; negative where it saves time.")]


class ProblemDocument(Document, frozen=True, omit_defaults=True):
    """The problem that the schedule solves."""

    schema: Annotated[Literal["spikepipe-sched/problem/1"], Meta(description="Identifies this format.")]
    name: Annotated[str, Meta(description="What it is called.")]
    mode: Annotated[Literal["periodic", "finite"], Meta(description="periodic: a mini-batch every period; finite: micro-batches, then an update.")]
    unroll: Annotated[Positive, Meta(description="Copies of each task in a period [iterations].")]
    micro_batches: Annotated[Positive, Meta(description="Iterations of a finite run [iterations].")]
    weights: Annotated[Literal["stash", "latest"], Meta(description="Version B multiplies by: the one F used, or the newest there.")]
    objective: Annotated[tuple[str, ...], Meta(description="Objectives to minimise, the most important first.")]
    limits: LimitsDocument
    clock_hz: Annotated[Positive | None, Meta(description="Clock of all processors [Hz]; null: unknown.")]
    samples_per_iteration: Annotated[Positive | None, Meta(description="Samples in an iteration [samples]; null: unknown.")]
    cost_terms: Annotated[tuple[CostTermDocument, ...], Meta(description="What makes up the durations; empty: unknown.")]
    layers: Annotated[tuple[str, ...], Meta(description="Names of the layers, in topological order.")]
    classes: Annotated[tuple[str, ...], Meta(description="Names of the processor classes.")]
    processors: tuple[ProcessorDocument, ...]
    interconnect: InterconnectDocument
    tensors: tuple[TensorDocument, ...]
    tasks: tuple[TaskDocument, ...]
    edges: tuple[EdgeDocument, ...]
    network: NetworkDocument | None = None
    training: TrainingDocument | None = None


class ScheduledTaskDocument(Document, frozen=True):
    """Where and when one copy of a task runs."""

    task: Annotated[str, Meta(description="Name of the task.")]
    copy: Annotated[Number, Meta(description="Which copy: its iteration within a period or a finite run [index from 0].")]
    processor: Annotated[str, Meta(description="Name of the processor.")]
    start_cycles: Annotated[Number, Meta(description="Start [cycles]; in periodic mode that of its first iteration.")]
    duration_cycles: Annotated[Number, Meta(description="Duration there [cycles].")]


class ScheduledTransferDocument(Document, frozen=True):
    """When one tensor goes from one processor to another, over links that are shared."""

    tensor: Annotated[str, Meta(description="Name of the tensor.")]
    copy: Annotated[Number, Meta(description="Which copy: the iteration that produces it; 0 of a sum over micro-batches [index from 0].")]
    source: Annotated[str, Meta(description="Name of the sending processor.")]
    target: Annotated[str, Meta(description="Name of the receiving processor.")]
    start_cycles: Annotated[Number, Meta(description="Start [cycles]; in periodic mode that of what its first iteration produces.")]
    duration_cycles: Annotated[Positive, Meta(description="Time it holds its links, without the latency [cycles].")]


class ScheduleDocument(Document, frozen=True, omit_defaults=True):
    """A processor and a start for every task copy, and a start for every transfer where links are shared."""

    period_cycles: Annotated[Positive | None, Meta(description="Time after which everything repeats, over `unroll` iterations [cycles]; null: finite.")]
    tasks: tuple[ScheduledTaskDocument, ...]
    transfers: Annotated[
        tuple[ScheduledTransferDocument, ...] | None, Meta(description="Everything that crosses between processors, once; null where links are not shared.")
    ] = None


class ObjectiveDocument(Document, frozen=True):
    """One level of the objective; below the first, bound and gap hold for the values above."""

    name: Annotated[str, Meta(description="period and makespan in cycles, delay in iterations, traffic and memory in bytes.")]
    value: Annotated[Total, Meta(description="What the schedule reaches [the objective's unit].")]
    bound: Annotated[Total, Meta(description="Proven lower bound [the objective's unit].")]
    gap: Annotated[Ratio | None, Meta(description="(value - bound) / bound [ratio]; 0 if both are 0, null where infinite.")]
    bound_source: Annotated[str, Meta(description="Why nothing can be below the bound.")]


class LayerDelayDocument(Document, frozen=True):
    """Delay of one layer's weights."""

    layer: Annotated[str, Meta(description="Name of the layer.")]
    forward: Annotated[Number, Meta(description="From an update to the first iteration whose F uses it [iterations].")]
    backward: Annotated[Number, Meta(description="The same for B [iterations].")]


class ProcessorLoadDocument(Document, frozen=True):
    """What one processor does and holds."""

    processor: Annotated[str, Meta(description="Name of the processor.")]
    busy_cycles: Annotated[Total, Meta(description="Time it computes, within a period or the run [cycles].")]
    peak_memory_bytes: Annotated[Total, Meta(description="Most it holds at any time [bytes].")]


class LinkLoadDocument(Document, frozen=True):
    """Load of one link."""

    source: Annotated[str, Meta(description="Name of the sending processor.")]
    target: Annotated[str, Meta(description="Name of the receiving processor.")]
    load: Annotated[Ratio, Meta(description="Time its transfers take over the period or makespan [ratio]; above 1 the link cannot carry them.")]


class MetricsDocument(Document, frozen=True):
    """Figures of the schedule; `check` recomputes all of them."""

    length_cycles: Annotated[Total, Meta(description="Period (over `unroll` iterations), or makespan [cycles].")]
    span_cycles: Annotated[Total, Meta(description="From the first start of an iteration to its last result [cycles].")]
    delays: tuple[LayerDelayDocument, ...]
    traffic_bytes: Annotated[Total, Meta(description="What crosses between processors per `unroll` iterations, or in the run [bytes].")]
    processors: tuple[ProcessorLoadDocument, ...]
    utilisation: Annotated[Ratio, Meta(description="Busy cycles over processors times length [ratio].")]
    mac_utilisation: Annotated[Ratio, Meta(description="Multiply-accumulates over processing elements times length [ratio].")]
    link_loads: tuple[LinkLoadDocument, ...]


class InfeasibilityDocument(Document, frozen=True):
    """Why there is no schedule."""

    demanded: Annotated[str, Meta(description="What was asked for.")]
    bound: Annotated[str, Meta(description="What is proven, or was reached.")]
    gap: Annotated[Ratio | None, Meta(description="How far the demand is from it [ratio]; null: unknown.")]
    loosen: Annotated[tuple[str, ...], Meta(description="Limits to loosen.")]


class ProvenanceDocument(Document, frozen=True):
    """Where the result comes from."""

    solver: Annotated[str, Meta(description="Name of the solver.")]
    version: Annotated[str, Meta(description="Version of this package.")]
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="Seed of random choices [no unit].")]
    time_limit_s: Annotated[Ratio | None, Meta(description="Wall-clock limit [seconds]; null: none.")]
    deterministic_limit: Annotated[Ratio | None, Meta(description="Work limit [the solver's own units]; null: none.")]
    workers: Annotated[Positive, Meta(description="Threads [count].")]
    runtime_s: Annotated[Ratio, Meta(description="Wall-clock time taken [seconds].")]
    interrupted: Annotated[bool, Meta(description="Whether the user stopped the solver.")]
    cost_terms: Annotated[tuple[CostTermDocument, ...], Meta(description="What makes up the durations; empty: unknown.")]
    winner: Annotated[str, Meta(description="Of a portfolio: the solver that found the schedule; else empty.")]


class ResultDocument(Document, frozen=True):
    """A schedule, what it is worth, how far it is from the best, and the problem it solves."""

    schema: Annotated[Literal["spikepipe-sched/result/1"], Meta(description="Identifies this format.")]
    status: Annotated[Literal["optimal", "feasible", "infeasible", "unknown"], Meta(description="How the solve ended.")]
    objective: Annotated[Total | None, Meta(description="Value of the first objective [its unit]; null: no schedule.")]
    bound: Annotated[Total | None, Meta(description="Its proven lower bound [its unit].")]
    gap: Annotated[Ratio | None, Meta(description="Its gap [ratio]; null: infinite, or no schedule.")]
    objectives: tuple[ObjectiveDocument, ...]
    schedule: ScheduleDocument | None
    metrics: MetricsDocument | None
    infeasibility: InfeasibilityDocument | None
    provenance: ProvenanceDocument
    problem: ProblemDocument
