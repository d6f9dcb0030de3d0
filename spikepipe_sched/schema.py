"""The border: results and problems as JSON, in both directions.

Reading decides whether a document is well formed: structure, ranges, names that exist, every task
copy exactly once. Whether what it claims is true is for `spikepipe_sched.recheck`.
"""

from __future__ import annotations

import os
from typing import Any, Final, cast

import msgspec
import numpy as np

from spikepipe_sched.check import Metrics, durations
from spikepipe_sched.documents import (
    RESULT_SCHEMA,
    InfeasibilityDocument,
    LayerDelayDocument,
    LinkLoadDocument,
    MetricsDocument,
    ObjectiveDocument,
    ProcessorLoadDocument,
    ProvenanceDocument,
    ResultDocument,
    ScheduleDocument,
    ScheduledTaskDocument,
    ScheduledTransferDocument,
)
from spikepipe_sched.errors import InputError, require
from spikepipe_sched.files import MAX_BYTES, read_limited, write_atomically
from spikepipe_sched.json_document import schema_of, written
from spikepipe_sched.problem import MAX_INT, Ints, Problem
from spikepipe_sched.problem_document import (
    cost_term_documents,
    cost_terms,
    fail,
    indexed,
    lookup,
    numbers,
    one_line,
    problem_document,
    problem_from_document,
)
from spikepipe_sched.result import Infeasibility, ObjectiveValue, Provenance, Result, Status
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.transfers import shared, transfers

__all__ = ["json_schema", "load_result", "result_from_json", "result_to_json", "write_atomically"]

_TOO_DEEP: Final = "it is nested too deeply"
_WANTED: Final = "a schedule file is needed, such as solve -o writes"


def result_to_json(result: Result, path: str | os.PathLike[str] | None = None) -> str:
    """A result as JSON, indented, fields in a fixed order; also written to ``path`` if given.

    Raises
    ------
    InputError
        If a name is not Unicode text, a time is too large for the format, or the file cannot be
        written.
    """
    return written(_document(result), path, plain=_plain)


def result_from_json(text: str | bytes | os.PathLike[str]) -> Result:
    """Read a result; exact inverse of `result_to_json`.

    Parameters
    ----------
    text
        JSON as str or bytes, or a path as a `pathlib.Path`; a str is never a path.

    Raises
    ------
    InputError
        With the JSON path of what is wrong, in one line.
    """
    if isinstance(text, os.PathLike):
        return load_result(text)
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise fail("$", "it is not Unicode text") from None
    if len(data) > MAX_BYTES:
        raise fail("$", f"it has {len(data)} bytes; at most {MAX_BYTES} are read")
    return _result(_decode(data))


def load_result(path: str | os.PathLike[str]) -> Result:
    """Read a result file.

    Raises
    ------
    InputError
        With the file and the JSON path of what is wrong, in one line.
    """
    data = read_limited(path)
    try:
        return _result(_decode(data))
    except InputError as error:
        raise InputError(one_line(f"{os.fspath(path)}: {error}")) from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a result."""
    return schema_of(ResultDocument, RESULT_SCHEMA)


def _decode(data: bytes) -> ResultDocument:
    try:
        return msgspec.json.decode(data, type=ResultDocument)
    except msgspec.ValidationError as error:
        message, _, path = str(error).rpartition(" - at `")
        if not message:
            message, path = str(error), "$`"
            if message.startswith("Expected"):  # JSON, but not even an object
                message = f"{message}; {_WANTED}"
        if path == "$.schema`":
            message = f"{message}; this version reads {RESULT_SCHEMA}"
        raise fail(path.removesuffix("`"), message) from None
    except msgspec.DecodeError as error:
        raise fail("$", f"{error}; {_WANTED}") from None
    except UnicodeDecodeError as error:
        raise fail("$", f"it is not UTF-8 text: {error.reason}; {_WANTED}") from None
    except RecursionError:
        raise fail("$", _TOO_DEEP) from None


def _plain(value: object) -> object:
    """NumPy's numbers, which a solver may have left in a result, as Python's."""
    if isinstance(value, np.generic):
        return cast("object", value.item())
    raise TypeError(f"cannot write a {type(value).__name__}")


def _document(result: Result) -> ResultDocument:
    problem, infeasibility, provenance = result.problem, result.infeasibility, result.provenance
    return ResultDocument(
        schema=RESULT_SCHEMA,
        status=result.status.value,
        objective=result.objective,
        bound=result.bound,
        gap=_real(result.gap),
        objectives=tuple(
            ObjectiveDocument(name=level.name, value=level.value, bound=level.bound, gap=_real(level.gap), bound_source=level.bound_source)
            for level in result.objectives
        ),
        schedule=None if result.schedule is None else _schedule_document(problem, result.schedule),
        metrics=None if result.metrics is None else _metrics_document(problem, result.metrics),
        infeasibility=None
        if infeasibility is None
        else InfeasibilityDocument(demanded=infeasibility.demanded, bound=infeasibility.bound, gap=_real(infeasibility.gap), loosen=infeasibility.loosen),
        provenance=ProvenanceDocument(
            solver=provenance.solver,
            version=provenance.version,
            seed=provenance.seed,
            time_limit_s=_real(provenance.time_limit_s),
            deterministic_limit=_real(provenance.deterministic_limit),
            workers=provenance.workers,
            runtime_s=float(provenance.runtime_s),
            interrupted=provenance.interrupted,
            cost_terms=cost_term_documents(provenance.cost_terms),
            winner=provenance.winner,
        ),
        problem=problem_document(problem),
    )


def _real(value: float | None) -> float | None:
    """A float, whatever kind of number it was: 0 and 0.0 are written alike."""
    return None if value is None else float(value)


def _schedule_document(problem: Problem, schedule: Schedule) -> ScheduleDocument:
    instance = problem.instance
    duration = durations(problem, schedule)
    sent = schedule.transfers if schedule.transfers is not None else np.zeros(0, dtype=np.int64)
    latest = max(int(schedule.start.max()), int(sent.max(initial=0)), schedule.period or 0)
    require(latest <= MAX_INT, f"the schedule is too long to be written: {latest} cycles, at most {MAX_INT}")
    rows = zip(numbers(instance.task), numbers(instance.copy), numbers(schedule.processor), numbers(schedule.start), numbers(duration), strict=True)
    return ScheduleDocument(
        period_cycles=schedule.period,
        tasks=tuple(
            ScheduledTaskDocument(
                task=problem.tasks.names[task], copy=copy, processor=problem.processors[p].name, start_cycles=start, duration_cycles=max(cycles, 0)
            )
            for task, copy, p, start, cycles in rows
        ),
        transfers=None if schedule.transfers is None else _transfer_documents(problem, schedule.processor, schedule.transfers),
    )


def _transfer_documents(problem: Problem, processor: Ints, start: Ints) -> tuple[ScheduledTransferDocument, ...]:
    sent = transfers(problem, processor)
    require(len(start) == sent.size, f"the schedule has {len(start)} transfers, its placement {sent.size}")
    names = [p.name for p in problem.processors]
    return tuple(
        ScheduledTransferDocument(tensor=problem.tensors[t], copy=copy, source=names[p], target=names[q], start_cycles=begin, duration_cycles=cycles)
        for (t, copy, p, q), begin, cycles in zip(sent.rows(), numbers(start), numbers(sent.cycles), strict=True)
    )


def _metrics_document(problem: Problem, metrics: Metrics) -> MetricsDocument:
    backward = dict(metrics.backward_delays)
    loads = zip(problem.processors, metrics.busy_cycles, metrics.peak_memory_bytes, strict=True)
    return MetricsDocument(
        length_cycles=metrics.length_cycles,
        span_cycles=metrics.span_cycles,
        delays=tuple(LayerDelayDocument(layer=layer, forward=delay, backward=backward[layer]) for layer, delay in metrics.delays),
        traffic_bytes=metrics.traffic_bytes,
        processors=tuple(ProcessorLoadDocument(processor=p.name, busy_cycles=busy, peak_memory_bytes=peak) for p, busy, peak in loads),
        utilisation=float(metrics.utilisation),
        mac_utilisation=float(metrics.mac_utilisation),
        link_loads=tuple(LinkLoadDocument(source=source, target=target, load=load) for source, target, load in metrics.link_loads),
    )


def _result(document: ResultDocument) -> Result:
    found = document.schedule is not None
    for name, there in (("metrics", document.metrics is not None), ("objectives", bool(document.objectives))):
        if there != found:
            raise fail(f"$.{name}", f"there {'are' if there else 'are no'} {name}, but {'a' if found else 'no'} schedule")
    if found != (document.status in ("optimal", "feasible")):
        raise fail("$.status", f"'{document.status}', but there is {'a' if found else 'no'} schedule")
    first = document.objectives[0] if document.objectives else None
    for name, repeated in (("objective", first and first.value), ("bound", first and first.bound), ("gap", first and first.gap)):
        if getattr(document, name) != repeated:
            raise fail(f"$.{name}", f"{getattr(document, name)}, but the first of the objectives has {repeated}")
    indexed((level.name for level in document.objectives), "$.objectives", "objective", ".name")

    problem = problem_from_document(document.problem)
    infeasibility = document.infeasibility
    return Result(
        problem=problem,
        status=Status(document.status),
        schedule=None if document.schedule is None else _schedule(problem, document.schedule),
        metrics=None if document.metrics is None else _metrics(problem, document.metrics),
        objectives=tuple(
            ObjectiveValue(name=level.name, value=level.value, bound=level.bound, gap=level.gap, bound_source=level.bound_source)
            for level in document.objectives
        ),
        provenance=_provenance(document.provenance),
        infeasibility=None if infeasibility is None else Infeasibility(**msgspec.structs.asdict(infeasibility)),
    )


def _provenance(document: ProvenanceDocument) -> Provenance:
    fields: dict[str, Any] = msgspec.structs.asdict(document)
    fields["cost_terms"] = cost_terms(document.cost_terms, "$.provenance.cost_terms")
    return Provenance(**fields)


def _schedule(problem: Problem, document: ScheduleDocument) -> Schedule:
    instance, names = problem.instance, problem.tasks.names
    processors = {p.name: i for i, p in enumerate(problem.processors)}
    if (document.period_cycles is None) == (problem.mode == "periodic"):
        raise fail("$.schedule.period_cycles", f"a {problem.mode} schedule {'needs a' if problem.mode == 'periodic' else 'has no'} period")
    expected = {(names[task], copy): v for v, (task, copy) in enumerate(zip(numbers(instance.task), numbers(instance.copy), strict=True))}
    known = {name: i for i, name in enumerate(names)}
    processor, start = np.full(instance.size, -1, dtype=np.int64), np.zeros(instance.size, dtype=np.int64)
    for i, entry in enumerate(document.tasks):
        path = f"$.schedule.tasks[{i}]"
        lookup(known, entry.task, f"{path}.task", "task")
        v = expected.get((entry.task, entry.copy), -1)
        if v < 0:
            raise fail(f"{path}.copy", f"task '{entry.task}' has no copy {entry.copy}")
        if processor[v] >= 0:
            raise fail(path, f"task '{entry.task}', copy {entry.copy}, is there already")
        p = lookup(processors, entry.processor, f"{path}.processor", "processor")
        cycles = int(instance.duration[v, p])
        if cycles not in (-1, entry.duration_cycles):  # where it cannot run at all, the check says so
            raise fail(f"{path}.duration_cycles", f"{entry.duration_cycles}, but task '{entry.task}' takes {cycles} cycles on '{entry.processor}'")
        processor[v], start[v] = p, entry.start_cycles
    missing = np.flatnonzero(processor < 0)
    if missing.size:
        v = int(missing[0])
        more = f" (and {missing.size - 1} more)" if missing.size > 1 else ""
        raise fail("$.schedule.tasks", f"task '{names[int(instance.task[v])]}', copy {instance.copy[v]}, is missing{more}")
    sent = None if document.transfers is None else _transfer_starts(problem, processor, document.transfers)
    return Schedule(processor=processor, start=start, period=document.period_cycles, transfers=sent)


def _transfer_starts(problem: Problem, processor: Ints, documents: tuple[ScheduledTransferDocument, ...]) -> Ints:
    """Starts in the order of `transfers`; each must be there exactly once."""
    at = "$.schedule.transfers"
    if not shared(problem):
        raise fail(at, "the interconnect's links are not shared, so transfers have no times of their own")
    tensors, processors = {name: i for i, name in enumerate(problem.tensors)}, {p.name: i for i, p in enumerate(problem.processors)}
    sent = transfers(problem, processor)
    expected = {key: i for i, key in enumerate(sent.rows())}
    start = np.full(sent.size, -1, dtype=np.int64)
    for i, entry in enumerate(documents):
        path = f"{at}[{i}]"
        tensor = lookup(tensors, entry.tensor, f"{path}.tensor", "tensor")
        ends = lookup(processors, entry.source, f"{path}.source", "processor"), lookup(processors, entry.target, f"{path}.target", "processor")
        t = expected.get((tensor, entry.copy, *ends), -1)
        what = f"'{entry.tensor}', copy {entry.copy}, from '{entry.source}' to '{entry.target}'"
        if t < 0:
            raise fail(path, f"with these places of the tasks nothing sends {what}")
        if start[t] >= 0:
            raise fail(path, f"{what} is there already")
        if int(sent.cycles[t]) != entry.duration_cycles:
            raise fail(f"{path}.duration_cycles", f"{entry.duration_cycles}, but '{entry.tensor}' takes {sent.cycles[t]} cycles")
        start[t] = entry.start_cycles
    missing = np.flatnonzero(start < 0)
    if missing.size:
        t = int(missing[0])
        more = f" (and {missing.size - 1} more)" if missing.size > 1 else ""
        ends = problem.processors[int(sent.sender[t])].name, problem.processors[int(sent.receiver[t])].name
        raise fail(at, f"'{problem.tensors[int(sent.tensor[t])]}', copy {sent.copy[t]}, from '{ends[0]}' to '{ends[1]}' is missing{more}")
    return start


def _metrics(problem: Problem, document: MetricsDocument) -> Metrics:
    processors, layers = {p.name: i for i, p in enumerate(problem.processors)}, {name: i for i, name in enumerate(problem.layers)}
    for i, delay in enumerate(document.delays):
        lookup(layers, delay.layer, f"$.metrics.delays[{i}].layer", "layer")
    indexed((delay.layer for delay in document.delays), "$.metrics.delays", "layer", ".layer")
    order = [lookup(processors, load.processor, f"$.metrics.processors[{i}].processor", "processor") for i, load in enumerate(document.processors)]
    if order != list(range(len(processors))):
        raise fail("$.metrics.processors", "it must list the problem's processors, each once and in their order")
    for i, link in enumerate(document.link_loads):
        lookup(processors, link.source, f"$.metrics.link_loads[{i}].source", "processor")
        lookup(processors, link.target, f"$.metrics.link_loads[{i}].target", "processor")
    return Metrics(
        length_cycles=document.length_cycles,
        span_cycles=document.span_cycles,
        delays=tuple((delay.layer, delay.forward) for delay in document.delays),
        backward_delays=tuple((delay.layer, delay.backward) for delay in document.delays),
        traffic_bytes=document.traffic_bytes,
        peak_memory_bytes=tuple(load.peak_memory_bytes for load in document.processors),
        busy_cycles=tuple(load.busy_cycles for load in document.processors),
        utilisation=document.utilisation,
        mac_utilisation=document.mac_utilisation,
        link_loads=tuple((link.source, link.target, link.load) for link in document.link_loads),
    )
