"""The Chrome trace event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spikepipe_sched.check import layer_delays
from spikepipe_sched.errors import require
from spikepipe_sched.export.bars import OTHER, Bar, bars, drawable
from spikepipe_sched.traffic import flows
from spikepipe_sched.transfers import link_name, links, transfers

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule

_PROCESS = 1


def chrome_trace(result: Result, iterations: int = 3) -> str:
    """The first iterations of a schedule (all of a finite run) as a trace.

    One process for the schedule, one thread per processor, one complete event per task and
    iteration, and an arrow for everything that crosses between processors; where links are shared, one
    thread for each of them with its transfers. Time stamps are
    microseconds at the problem's clock; without one a cycle is shown as a microsecond, and the
    process's name says so.

    Raises
    ------
    InputError
        If the result has no schedule, or ``iterations`` is not positive.
    """
    problem, schedule = drawable(result)
    require(iterations >= 1, f"a trace needs at least one iteration, got {iterations}")
    drawn = bars(result, -(-iterations // problem.unroll))
    if schedule.period is not None:
        drawn = [bar for bar in drawn if bar.iteration < iterations]
    events = [*_names(problem), *(_event(problem, bar) for bar in drawn), *_arrows(result, drawn), *_transfers(problem, schedule, iterations)]
    other = {"schema": "spikepipe-sched", "time": _time_unit(problem), "iterations": iterations if schedule.period is not None else problem.micro_batches}
    return json.dumps({"displayTimeUnit": "ns", "otherData": other, "traceEvents": events}, ensure_ascii=True, allow_nan=False)


def _time_unit(problem: Problem) -> str:
    return "1 us is 1 cycle (clock unknown)" if problem.clock_hz is None else f"clock {problem.clock_hz} Hz"


def _microseconds(problem: Problem, cycles: int) -> float:
    """Whole nanoseconds, rounded down: order is kept, so that events which touch never overlap."""
    return float(cycles) if problem.clock_hz is None else (cycles * 10**9 // problem.clock_hz) / 1000


def _names(problem: Problem) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [_metadata("process_name", 0, name=f"{problem.name} ({_time_unit(problem)})")]
    for index, processor in enumerate(problem.processors):
        found.append(_metadata("thread_name", index + 1, name=processor.name))
        found.append(_metadata("thread_sort_index", index + 1, sort_index=index))
    return found


def _metadata(what: str, thread: int, **args: Any) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": _PROCESS, "tid": thread, "args": args}


def _event(problem: Problem, bar: Bar) -> dict[str, Any]:
    tasks = problem.tasks
    layer, window = int(tasks.layer[bar.task]), int(tasks.window[bar.task])
    start = _microseconds(problem, bar.start)
    return {
        "ph": "X",
        "name": tasks.names[bar.task],
        "cat": bar.kind if bar.kind != OTHER else "task",
        "pid": _PROCESS,
        "tid": bar.processor + 1,
        "ts": start,
        "dur": round(_microseconds(problem, bar.end) - start, 3),
        "args": {
            "layer": problem.layers[layer] if layer >= 0 else None,
            "window": window if window >= 0 else None,
            "iteration": bar.iteration,
            "start_cycles": bar.start,
            "end_cycles": bar.end,
            "cycles": bar.end - bar.start,
        },
    }


def _transfers(problem: Problem, schedule: Schedule, iterations: int) -> list[dict[str, Any]]:
    """A row for every shared link that is used, and an event on each link that a transfer holds."""
    if schedule.transfers is None:
        return []
    sent, sharing, count = transfers(problem, schedule.processor), problem.interconnect.sharing, len(problem.processors)
    held: list[list[int]] = links(sharing, count, sent).tolist()
    events: list[dict[str, Any]] = []
    rows = {link: count + 1 + row for row, link in enumerate(sorted({link for each in held for link in each}))}
    for link, thread in rows.items():
        events.append(_metadata("thread_name", thread, name=link_name(problem, sharing, link)))
        events.append(_metadata("thread_sort_index", thread, sort_index=thread - 1))
    for (tensor, copy, sender, receiver), first, cycles, each in zip(sent.rows(), schedule.transfers.tolist(), sent.cycles.tolist(), held, strict=True):
        for q in range(iterations if schedule.period is not None else 1):
            begin = first + q * (schedule.period or 0)
            start = _microseconds(problem, begin)
            common = {"ph": "X", "name": problem.tensors[tensor], "cat": "transfer", "pid": _PROCESS, "ts": start}
            shown = {"from": problem.processors[sender].name, "to": problem.processors[receiver].name, "iteration": copy + q, "start_cycles": begin}
            duration = round(_microseconds(problem, begin + cycles) - start, 3)
            events += [{**common, "tid": rows[link], "dur": duration, "args": {**shown, "end_cycles": begin + cycles, "cycles": cycles}} for link in each]
    return events


def _arrows(result: Result, drawn: list[Bar]) -> list[dict[str, Any]]:
    """Flow events from the start of a producer to the start of each reader elsewhere."""
    problem, schedule = drawable(result)
    flow = flows(problem, *layer_delays(problem, schedule))
    apart = schedule.processor[flow.source] != schedule.processor[flow.target]
    carried: dict[tuple[int, int, int], list[str]] = {}
    for u, v, distance, tensor in zip(
        flow.source[apart].tolist(), flow.target[apart].tolist(), flow.distance[apart].tolist(), flow.tensor[apart].tolist(), strict=True
    ):
        names = carried.setdefault((u, v, distance), [])
        if problem.tensors[tensor] not in names:
            names.append(problem.tensors[tensor])
    index = {(t, c): v for v, (t, c) in enumerate(zip(problem.instance.task.tolist(), problem.instance.copy.tolist(), strict=True))}
    run = {(index[bar.task, bar.copy], (bar.iteration - bar.copy) // problem.unroll if schedule.period is not None else 0): bar for bar in drawn}
    periods = sorted({q for _, q in run})
    events: list[dict[str, Any]] = []
    for (u, v, distance), names in carried.items():
        for q in periods:
            first, last = run.get((u, q)), run.get((v, q + distance))
            if first is None or last is None:
                continue
            common = {"name": ", ".join(names), "cat": "transfer", "pid": _PROCESS, "id": len(events) // 2 + 1}
            events.append({"ph": "s", **common, "tid": first.processor + 1, "ts": _microseconds(problem, first.start)})
            events.append({"ph": "f", "bp": "e", **common, "tid": last.processor + 1, "ts": _microseconds(problem, last.start)})
    return events
