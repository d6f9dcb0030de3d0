"""What the rows of the experiment say together: speed-ups, overheads, gaps to the best bound, and their means."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, geometric_mean
from typing import TYPE_CHECKING, Final

from spikepipe_sched.check import layer_delays
from spikepipe_sched.study.experiment import BASELINE
from spikepipe_sched.study.outcome import NOT_SUPPORTED, Outcome
from spikepipe_sched.traffic import crossings, flows
from spikepipe_sched.versions import WeightDelays

if TYPE_CHECKING:
    from spikepipe_sched.result import Result

#: What kinds of tensors carry; lowering names them ``layer.kind[window]``.
CARRIED: Final = {"out": "spikes", "stash": "membranes", "error": "errors", "weights": "weights", "gradient": "weight gradients"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a schedule holds beyond its row.

    Parameters
    ----------
    delays
        D_l of every layer that learns [iterations], in the network's order.
    crossing
        Bytes of an iteration that cross between processors, by what they carry (`CARRIED`).
    buffer_bytes
        That all tasks of an iteration move between the arrays and their buffers (`spikepipe_sched.cost`); None: unknown.
    """

    delays: tuple[tuple[str, int], ...] = ()
    crossing: tuple[tuple[str, int], ...] = ()
    buffer_bytes: int | None = None


def detail_of(result: Result | None, buffer_bytes: int | None) -> Detail:
    """Of a result; empty without a schedule."""
    if result is None or result.schedule is None:
        return Detail()
    problem, schedule = result.problem, result.schedule
    delays = WeightDelays.of_schedule(problem, schedule)
    tensors = crossings(flows(problem, *layer_delays(problem, schedule)), schedule.processor)[0].tolist()
    crossing: dict[str, int] = {}
    for tensor in tensors:
        kind = str(problem.tensors[tensor]).rpartition(".")[2].partition("[")[0]
        carried = CARRIED.get(kind, kind)
        crossing[carried] = crossing.get(carried, 0) + int(problem.tensor_bytes[tensor])
    return Detail(delays=tuple(zip(delays.layers, delays.forward, strict=True)), crossing=tuple(sorted(crossing.items())), buffer_bytes=buffer_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row, beside the other rows of its problem; figures are None where a schedule they need is missing.

    Parameters
    ----------
    outcome
        The row.
    detail
        Of its schedule.
    added
        Bytes of an iteration that cross beyond those of `BASELINE`, by what they carry.
    speedup
        Period of `BASELINE` over this one.
    ceiling
        Period of `BASELINE` over the best bound: no schedule that places each task once (``unroll`` 1) has a larger speed-up; longer periods of several
        iterations can.
    best_bound
        The largest lower bound on the period that any solver has proven [cycles].
    gap
        (period - best_bound) / best_bound.
    overhead_moved
        (traffic - traffic of `BASELINE`) / bytes that all tasks of an iteration read and write.
    overhead_buffers
        (traffic - traffic of `BASELINE`) / bytes between the arrays and their buffers in an iteration.
    overhead_crossing
        (traffic - traffic of `BASELINE`) / traffic; 0 where nothing crosses in either.
    """

    outcome: Outcome
    detail: Detail = Detail()
    added: tuple[tuple[str, int], ...] = ()
    speedup: float | None = None
    ceiling: float | None = None
    best_bound: int | None = None
    gap: float | None = None
    overhead_moved: float | None = None
    overhead_buffers: float | None = None
    overhead_crossing: float | None = None


def measures(outcomes: Sequence[Outcome], details: Mapping[str, Detail]) -> tuple[Measure, ...]:
    """All rows, in their order; ``details`` by key."""
    bounds: dict[str, int] = {}
    base: dict[str, Outcome] = {}
    for row in outcomes:
        if row.bound is not None:
            bounds[row.problem_key] = max(row.bound, bounds.get(row.problem_key, 0))
        if row.solver == BASELINE and row.length_cycles is not None:
            base[row.problem_key] = row
    return tuple(_measure(row, base.get(row.problem_key), bounds.get(row.problem_key), details) for row in outcomes)


def _measure(row: Outcome, base: Outcome | None, bound: int | None, details: Mapping[str, Detail]) -> Measure:
    detail = details.get(row.key, Detail())
    length, slowest = row.length_cycles, None if base is None else base.length_cycles
    crossing, buffers, added = None, None, dict(detail.crossing)
    for carried, size in details.get(base.key, Detail()).crossing if base is not None else ():
        added[carried] = added.get(carried, 0) - size
    if base is not None and base.traffic_bytes is not None and row.traffic_bytes is not None:
        more = row.traffic_bytes - base.traffic_bytes
        crossing = _share(more, row.traffic_bytes)
        buffers = more / detail.buffer_bytes if detail.buffer_bytes else None
    return Measure(
        outcome=row,
        detail=detail,
        added=tuple(sorted(added.items())),
        speedup=slowest / length if slowest and length else None,
        ceiling=slowest / bound if slowest and bound else None,
        best_bound=bound,
        gap=(length - bound) / bound if length is not None and bound else None,
        overhead_moved=row.overhead,
        overhead_buffers=buffers,
        overhead_crossing=crossing,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else 0.0 if not part else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Of ``count`` values: both means, the least and the largest."""

    count: int
    arithmetic: float
    geometric: float
    least: float
    largest: float


def means(values: Iterable[float | None]) -> Means | None:
    """Of speed-ups, which are positive; None if there are none. Values that are None do not count."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Means(count=len(known), arithmetic=fmean(known), geometric=geometric_mean(known), least=min(known), largest=max(known))


def filled(row: Measure) -> bool:
    """Whether stages could fill all processors: there are no more of them than layers that learn."""
    return row.outcome.processors <= len(row.detail.delays)


def chosen(
    rows: Iterable[Measure], *, solver: str, networks: Sequence[str] | None = None, processors: Sequence[int] | None = None, arrays: Sequence[str] | None = None
) -> tuple[Measure, ...]:
    """Rows of a solver; None: all networks, numbers of processors or arrays."""
    return tuple(
        row
        for row in rows
        if row.outcome.solver == solver
        and (networks is None or row.outcome.network in networks)
        and (processors is None or row.outcome.processors in processors)
        and (arrays is None or row.outcome.array in arrays)
    )


def settled(outcome: Outcome) -> bool:
    """Whether a row is an answer: it has a schedule, or its solver cannot take the problem."""
    return outcome.length_cycles is not None or outcome.status == NOT_SUPPORTED


#: Columns of ``cells.csv`` that are no field of a row; all sizes in bytes, cycles or shares as their names say.
_ADDED: Final[Mapping[str, Callable[[Measure], object]]] = {
    "speedup_over_stages": lambda row: row.speedup,
    "speedup_ceiling": lambda row: row.ceiling,
    "best_bound_cycles": lambda row: row.best_bound,
    "gap_to_best_bound": lambda row: row.gap,
    "overhead_of_bytes_moved": lambda row: row.overhead_moved,
    "overhead_of_buffer_bytes": lambda row: row.overhead_buffers,
    "overhead_of_bytes_crossing": lambda row: row.overhead_crossing,
    "delays": lambda row: " ".join(f"{layer}:{delay}" for layer, delay in row.detail.delays),
    "buffer_bytes": lambda row: row.detail.buffer_bytes,
    "bytes_crossing": lambda row: ", ".join(f"{carried}: {size}" for carried, size in row.detail.crossing),
}
_FIELDS: Final = tuple(field.name for field in fields(Outcome) if field.name not in ("key", "problem_key", "network_key", "overhead"))
#: The columns of ``cells.csv``, in their order: a row's own (`Outcome`), those of `Measure`, and its digests.
COLUMNS: Final = (*_FIELDS, *_ADDED, "key", "problem_key", "network_key")


def cells_csv(rows: Iterable[Measure]) -> str:
    """One line per cell, lines ended by LF, empty where there is no value; numbers as Python writes them, whatever the locale."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_ADDED[name](row) if name in _ADDED else getattr(row.outcome, name) for name in COLUMNS])
    return text.getvalue()
