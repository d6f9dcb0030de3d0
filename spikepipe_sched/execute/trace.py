"""What was executed, beside what was predicted, as a Chrome trace (the format of `spikepipe_sched.export.chrome`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikepipe_sched.execute.execution import Execution


def execution_trace(done: Execution) -> str:
    """Two processes with a thread per processor: the prediction, and the last run.

    Time stamps are microseconds from the first start. Where nothing was emulated, the prediction is
    drawn as long as the run: what can be compared is the order.
    """
    run = len(done.runs_s) - 1
    scale = done.seconds_per_cycle or done.runs_s[run] / max(1, done.order_cycles)
    drawn = "emulated costs" if done.seconds_per_cycle else "drawn as long as the run"
    events: list[dict[str, Any]] = []
    for process, name in ((1, f"predicted: {done.problem} ({drawn})"), (2, "executed by torch.distributed.pipelining")):
        events.append({"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}})
        events += [{"ph": "M", "name": "thread_name", "pid": process, "tid": row + 1, "args": {"name": each}} for row, each in enumerate(done.processors)]
    for ran in done.actions:
        common = {"ph": "X", "name": ran.name, "tid": ran.row + 1}
        shown = {"layer": ran.layer, "cycles": ran.end_cycles - ran.start_cycles}
        spans = ((1, ran.start_cycles * scale, ran.end_cycles * scale), (2, ran.starts_s[run], ran.ends_s[run]))
        events += [
            {**common, "pid": process, "ts": round(start * 1e6, 3), "dur": round((end - start) * 1e6, 3), "args": shown} for process, start, end in spans
        ]
    return json.dumps({"displayTimeUnit": "ms", "otherData": {"schema": "spikepipe-sched"}, "traceEvents": events})
