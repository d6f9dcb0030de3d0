"""`Problem` <-> `ProblemDocument`, exactly: reading back what was written gives equal arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final, TypeVar, cast

import msgspec

from spikepipe_sched.cost.shares import CostTerm
from spikepipe_sched.documents import (
    PROBLEM_SCHEMA,
    CostTermDocument,
    EdgeDocument,
    InterconnectDocument,
    LayerDelayLimitDocument,
    LimitsDocument,
    ProblemDocument,
    ProcessorDocument,
    TaskDocument,
    TensorDocument,
)
from spikepipe_sched.errors import InputError
from spikepipe_sched.network_document import network_document, network_of, training_document, training_of
from spikepipe_sched.platform import Interconnect
from spikepipe_sched.problem import Edges, Ints, Limits, Problem, Processor, Tasks, ints

#: More task copies or durations than this are refused: a damaged count must not exhaust the memory.
MAX_COPIES: Final = 10_000_000

D = TypeVar("D")
T = TypeVar("T")


def one_line(text: str) -> str:
    """``text`` with whatever could break a terminal line written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def numbers(column: Ints) -> list[int]:
    """A column as Python's integers."""
    return cast("list[int]", column.tolist())


def fail(path: str, message: str) -> InputError:
    """The error for what is wrong at a JSON path."""
    return InputError(one_line(f"{path}: {message}"))


def lookup(index: Mapping[str, int], name: str, path: str, what: str) -> int:
    """Index of a name, or an error that says where it stands."""
    if name not in index:
        raise fail(path, f"unknown {what} '{name}'")
    return index[name]


def indexed(names: Iterable[str], path: str, what: str, member: str = "") -> dict[str, int]:
    """Name -> position; an error at ``path[i].member`` if a name comes twice."""
    index: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in index:
            raise fail(f"{path}[{i}]{member}", f"{what} '{name}' is there already at {path}[{index[name]}]")
        index[name] = i
    return index


def problem_document(problem: Problem) -> ProblemDocument:
    """The document of a problem."""
    limits, link = problem.limits, problem.interconnect
    return ProblemDocument(
        schema=PROBLEM_SCHEMA,
        name=problem.name,
        mode=problem.mode,
        unroll=problem.unroll,
        micro_batches=problem.micro_batches,
        weights=problem.weights,
        objective=problem.objective,
        limits=LimitsDocument(
            period_cycles=limits.period_cycles,
            makespan_cycles=limits.makespan_cycles,
            delay=limits.delay,
            layer_delay=tuple(LayerDelayLimitDocument(layer=layer, delay=delay) for layer, delay in limits.layer_delay),
            traffic_bytes=limits.traffic_bytes,
            span_cycles=limits.span_cycles,
        ),
        clock_hz=problem.clock_hz,
        samples_per_iteration=problem.samples_per_iteration,
        cost_terms=cost_term_documents(problem.cost_terms),
        layers=problem.layers,
        classes=problem.classes,
        processors=tuple(
            ProcessorDocument(name=p.name, kind=problem.classes[p.kind], processing_elements=p.processing_elements, memory_bytes=p.memory_bytes)
            for p in problem.processors
        ),
        interconnect=InterconnectDocument(**asdict(link)),
        tensors=tuple(TensorDocument(name=name, bytes=size) for name, size in zip(problem.tensors, numbers(problem.tensor_bytes), strict=True)),
        tasks=_task_documents(problem),
        edges=_edge_documents(problem),
        network=None if problem.network is None else network_document(problem.network),
        training=None if problem.training is None else training_document(problem.training),
    )


def cost_term_documents(terms: Sequence[CostTerm]) -> tuple[CostTermDocument, ...]:
    """The documents of cost terms."""
    return tuple(CostTermDocument(name=term.name, share=float(term.share)) for term in terms)


def cost_terms(documents: Sequence[CostTermDocument], path: str) -> tuple[CostTerm, ...]:
    """The cost terms of documents; InputError at ``path`` if a name comes twice."""
    indexed((term.name for term in documents), path, "term", ".name")
    return tuple(CostTerm(name=term.name, share=term.share) for term in documents)


def _task_documents(problem: Problem) -> tuple[TaskDocument, ...]:
    tasks = problem.tasks
    layer, window, macs = numbers(tasks.layer), numbers(tasks.window), numbers(tasks.macs)
    weight, output, stash = numbers(tasks.weight_bytes), numbers(tasks.output_bytes), numbers(tasks.stash_bytes)
    return tuple(
        TaskDocument(
            name=name,
            kind=tasks.kinds[i],
            layer=problem.layers[layer[i]] if layer[i] >= 0 else None,
            window=window[i] if window[i] >= 0 else None,
            part=tasks.parts[i],
            cycles={c: value for c, value in zip(problem.classes, numbers(tasks.cycles[i]), strict=True) if value >= 0},
            macs=macs[i],
            weight_bytes=weight[i],
            output_bytes=output[i],
            stash_bytes=stash[i],
        )
        for i, name in enumerate(tasks.names)
    )


def _edge_documents(problem: Problem) -> tuple[EdgeDocument, ...]:
    tasks, edges = problem.tasks, problem.edges
    pointer: list[int] = numbers(edges.tensor_ptr)
    carried = [problem.tensors[t] for t in numbers(edges.tensor)]
    columns = zip(numbers(edges.source), numbers(edges.target), numbers(edges.distance), numbers(edges.delay_layer), numbers(edges.lag), strict=True)
    return tuple(
        EdgeDocument(
            source=tasks.names[source],
            target=tasks.names[target],
            distance=distance if layer < 0 else None,
            delay_layer=problem.layers[layer] if layer >= 0 else None,
            lag_cycles=lag,
            tensors=tuple(carried[pointer[e] : pointer[e + 1]]),
        )
        for e, (source, target, distance, layer, lag) in enumerate(columns)
    )


def problem_from_document(document: ProblemDocument, path: str = "$.problem") -> Problem:
    """The problem of a document.

    Raises
    ------
    InputError
        With the JSON path of the first thing that does not fit.
    """
    layers = indexed(document.layers, f"{path}.layers", "layer")
    classes = indexed(document.classes, f"{path}.classes", "class")
    copies = len(document.tasks) * document.unroll * document.micro_batches
    if copies * max(1, len(document.processors)) > MAX_COPIES:
        where = "unroll" if document.unroll > 1 else "micro_batches"
        raise fail(f"{path}.{where}", f"{copies} task copies on {len(document.processors)} processors are more than {MAX_COPIES} pairs")
    processors = tuple(
        Processor(
            name=p.name,
            kind=lookup(classes, p.kind, f"{path}.processors[{i}].class", "class"),
            processing_elements=p.processing_elements,
            memory_bytes=p.memory_bytes,
        )
        for i, p in enumerate(document.processors)
    )
    limits, link = document.limits, document.interconnect
    try:
        return Problem(
            name=document.name,
            mode=document.mode,
            tasks=_tasks(document, layers, classes, f"{path}.tasks"),
            edges=_edges(document, layers, path),
            layers=document.layers,
            tensors=tuple(tensor.name for tensor in document.tensors),
            tensor_bytes=ints([tensor.bytes for tensor in document.tensors]),
            classes=document.classes,
            processors=processors,
            interconnect=Interconnect(**msgspec.structs.asdict(link)),
            unroll=document.unroll,
            micro_batches=document.micro_batches,
            weights=document.weights,
            objective=document.objective,
            limits=Limits(
                period_cycles=limits.period_cycles,
                makespan_cycles=limits.makespan_cycles,
                delay=limits.delay,
                layer_delay=tuple((limit.layer, limit.delay) for limit in limits.layer_delay),
                traffic_bytes=limits.traffic_bytes,
                span_cycles=limits.span_cycles,
            ),
            clock_hz=document.clock_hz,
            samples_per_iteration=document.samples_per_iteration,
            cost_terms=cost_terms(document.cost_terms, f"{path}.cost_terms"),
            network=None if document.network is None else _within(f"{path}.network", network_of, document.network),
            training=None if document.training is None else _within(f"{path}.training", training_of, document.training),
        )
    except InputError as error:
        if str(error).startswith("$"):
            raise
        raise fail(path, str(error)) from None


def _within(path: str, convert: Callable[[D], T], part: D) -> T:
    """``convert(part)``; its InputError gets the path."""
    try:
        return convert(part)
    except InputError as error:
        raise fail(path, str(error)) from None


def _tasks(document: ProblemDocument, layers: Mapping[str, int], classes: Mapping[str, int], path: str) -> Tasks:
    tasks = document.tasks
    indexed((task.name for task in tasks), path, "task", ".name")
    rows: list[list[int]] = []
    for i, task in enumerate(tasks):
        row = [-1] * len(classes)
        for name, cycles in task.cycles.items():
            row[lookup(classes, name, f"{path}[{i}].cycles", "class")] = cycles
        rows.append(row)
    return Tasks(
        names=tuple(task.name for task in tasks),
        kinds=tuple(task.kind for task in tasks),
        parts=tuple(task.part for task in tasks),
        layer=ints([-1 if task.layer is None else lookup(layers, task.layer, f"{path}[{i}].layer", "layer") for i, task in enumerate(tasks)]),
        window=ints([-1 if task.window is None else task.window for task in tasks]),
        cycles=ints(_flat(rows)).reshape(len(tasks), len(classes)),
        macs=ints([task.macs for task in tasks]),
        weight_bytes=ints([task.weight_bytes for task in tasks]),
        output_bytes=ints([task.output_bytes for task in tasks]),
        stash_bytes=ints([task.stash_bytes for task in tasks]),
    )


def _flat(rows: Sequence[Sequence[int]]) -> list[int]:
    return [value for row in rows for value in row]


def _edges(document: ProblemDocument, layers: Mapping[str, int], path: str) -> Edges:
    tasks = {task.name: i for i, task in enumerate(document.tasks)}
    tensors = indexed((tensor.name for tensor in document.tensors), f"{path}.tensors", "tensor", ".name")
    columns: tuple[list[int], ...] = ([], [], [], [], [])
    pointer, carried = [0], list[int]()
    for i, edge in enumerate(document.edges):
        at = f"{path}.edges[{i}]"
        if (edge.distance is None) == (edge.delay_layer is None):
            raise fail(at, "an edge needs either a distance or a delay_layer, and null for the other")
        values = (
            lookup(tasks, edge.source, f"{at}.source", "task"),
            lookup(tasks, edge.target, f"{at}.target", "task"),
            -1 if edge.distance is None else edge.distance,
            -1 if edge.delay_layer is None else lookup(layers, edge.delay_layer, f"{at}.delay_layer", "layer"),
            edge.lag_cycles,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        carried += [lookup(tensors, name, f"{at}.tensors[{k}]", "tensor") for k, name in enumerate(edge.tensors)]
        pointer.append(len(carried))
    source, target, distance, delay_layer, lag = (ints(column) for column in columns)
    return Edges(source=source, target=target, distance=distance, delay_layer=delay_layer, lag=lag, tensor_ptr=ints(pointer), tensor=ints(carried))
