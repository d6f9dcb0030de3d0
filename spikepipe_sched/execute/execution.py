"""What an execution showed: order, times and gradients."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import median
from typing import Final

from spikepipe_sched.export.table import table
from spikepipe_sched.files import write_atomically

#: Largest relative error of gradients in float64 that rounding explains: sums are taken in another order.
TOLERANCE: Final = 1e-9
#: Least scale of a layer's gradients, as a share of the largest of the network: what rounding leaves of a gradient of 0 is no error.
FLOOR: Final = 1e-3
#: How much longer than its cycles an action may take before it counts as late [s]: what waking from a sleep may cost.
LATE_S: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """An action: its row and place in it, what it was, when the order has it at the earliest [cycles], and when it ran [s] in every run."""

    row: int
    name: str
    layer: str
    start_cycles: int
    end_cycles: int
    starts_s: tuple[float, ...]
    ends_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """Gradients and loss against those of the network in one piece.

    Parameters
    ----------
    loss, reference_loss
        Of all samples; with and without pipeline.
    largest
        Largest absolute value of a gradient.
    error
        Largest difference.
    relative_error
        The largest, over all layers, of largest difference / largest gradient of the layer (at least
        `FLOOR` times that of the network); infinite where something is no number.
    silent
        Layers that no gradient reaches, neither with nor without pipeline: nothing was compared there.
    """

    loss: float
    reference_loss: float
    largest: float
    error: float
    relative_error: float
    silent: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing but rounding differs, neither in gradients nor in the loss."""
        apart = abs(self.loss - self.reference_loss)  # no number, if one of them is none
        return self.relative_error <= TOLERANCE and apart <= TOLERANCE * max(1.0, abs(self.reference_loss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A schedule that was executed by PyTorch's pipeline runtime.

    Parameters
    ----------
    problem, network, stand_in
        What was scheduled and what was trained; whether that only stands for a problem without network.
    processors
        Of every row.
    windows, micro_batches, samples, seed
        How the data were cut, and what they and the weights were drawn from.
    schedule_cycles
        End of the schedule's last task, updates left out: the runtime makes none.
    order_cycles
        The same, if every action begins as early as the rows allow: what is predicted. Tasks that
        moved are counted where the rows have them.
    moved
        E and W tasks that the schedule has in another place than the rows (`spikepipe_sched.export.torch_pipelining.Rows`).
    seconds_per_cycle
        What a cycle was emulated by; 0: nothing was, and times are those of a CPU.
    runs_s
        From the first start to the last end of every run [s].
    in_order
        Whether every action of every run began after the one before it in its row, and those whose
        results it reads, had ended.
    """

    problem: str
    network: str
    stand_in: bool
    processors: tuple[str, ...]
    windows: int
    micro_batches: int
    samples: int
    seed: int
    schedule_cycles: int
    order_cycles: int
    moved: int
    seconds_per_cycle: float
    runs_s: tuple[float, ...]
    in_order: bool
    gradients: Gradients
    actions: tuple[Ran, ...]
    torch_version: str
    version: str

    @property
    def measured_s(self) -> float:
        """Median of the runs."""
        return median(self.runs_s)

    @property
    def predicted_s(self) -> float | None:
        """What the emulated costs add up to in this order; None without them."""
        return self.order_cycles * self.seconds_per_cycle or None

    @property
    def ratio(self) -> float | None:
        """Measured / predicted."""
        return self.measured_s / self.predicted_s if self.predicted_s else None

    @property
    def late(self) -> int:
        """Actions whose real work outlasted their emulated cycles in a run."""
        scale = self.seconds_per_cycle
        spans = ((ran.end_cycles - ran.start_cycles, zip(ran.starts_s, ran.ends_s, strict=True)) for ran in self.actions)
        return sum(any(end - start > cycles * scale + LATE_S for start, end in runs) for cycles, runs in spans) if scale else 0

    @property
    def faithful(self) -> bool:
        """Whether order and gradients are as they should be."""
        return self.in_order and self.gradients.equal

    def shares(self) -> list[tuple[str, str, float, float]]:
        """Processor, layer, and the share of its actions in all cycles, and in all time spent in actions (of the median of each)."""
        cycles: dict[tuple[int, str], float] = {}
        seconds: dict[tuple[int, str], float] = {}
        for ran in self.actions:
            key = ran.row, ran.layer
            cycles[key] = cycles.get(key, 0) + ran.end_cycles - ran.start_cycles
            seconds[key] = seconds.get(key, 0) + median(end - start for start, end in zip(ran.starts_s, ran.ends_s, strict=True))
        work, spent = max(1, sum(cycles.values())), sum(seconds.values())
        return [(self.processors[key[0]], key[1], cycles[key] / work, seconds[key] / spent) for key in cycles]

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All of it as JSON (schema ``spikepipe-sched/execution/1``), null for what is no finite number; also written to ``path`` if given."""
        gradients = {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in asdict(self.gradients).items()}
        derived = {"measured_s": self.measured_s, "predicted_s": self.predicted_s, "ratio": self.ratio}
        text = json.dumps({"schema": "spikepipe-sched/execution/1", **asdict(self), "gradients": gradients, **derived}, indent=2, allow_nan=False)
        if path is not None:
            write_atomically(path, text)
        return text

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(done: Execution) -> list[str]:
    gradients, runs = done.gradients, len(done.runs_s)
    trained = f"a stand-in of linear layers: '{done.problem}' has no network" if done.stand_in else f"'{done.network}'"
    chunks = f"{done.micro_batches} micro-batch{'es' if done.micro_batches > 1 else ''} of {done.samples} samples"
    windows = f", each in {done.windows} windows of time" if done.windows > 1 else ""
    same = "equal to those of the network in one piece" if gradients.equal else "NOT those of the network in one piece"
    moved = f"; moved to their B: {done.moved} tasks (errors and weight gradients), as torch computes them together" if done.moved else ""
    lines = [
        f"executed     {trained}, {len(done.actions)} actions in {len(done.processors)} processes, {chunks}{windows}",
        f"order        {'as scheduled, in every process' if done.in_order else 'NOT as scheduled'}{moved}",
        f"gradients    {same}: relative error {gradients.relative_error:.1e}, largest difference {gradients.error:.1e}, largest gradient {gradients.largest:.2g} (float64)",
        f"loss         {gradients.loss:.6g} (per step of time); in one piece {gradients.reference_loss:.6g}",
    ]
    if gradients.silent:
        lines.insert(3, f"             no gradient reaches {', '.join(gradients.silent)}: nothing was compared there")
    earlier = "" if done.order_cycles == done.schedule_cycles else f" (the schedule has {done.schedule_cycles:,})"
    lines.append(
        f"predicted    {done.order_cycles:,} cycles without updates{earlier}" + (f", emulated as {done.predicted_s:.3f} s" if done.predicted_s else "")
    )
    median_of = f" (median of {runs}: {min(done.runs_s):.3f} to {max(done.runs_s):.3f})" if runs > 1 else ""
    if done.ratio is not None:
        late = f"; in {done.late} actions work outlasted the cycles: --emulate more seconds" if done.late else ""
        lines.append(f"measured     {done.measured_s:.3f} s{median_of}, {done.ratio:.3f} of what was predicted{late}")
        return lines
    lines.append(
        f"measured     {done.measured_s:.3f} s{median_of} of this machine's CPU, which tells nothing of an array's cycles; --emulate gives actions their cycles"
    )
    rows = [[processor, layer, f"{cycles:.1%}", f"{seconds:.1%}"] for processor, layer, cycles, seconds in done.shares()]
    return [*lines, "", table(["processor", "layer", "of all cycles", "of the CPU time"], rows)]
