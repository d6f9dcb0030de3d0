"""What became of a cell: one row of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Statuses beside those of `spikepipe_sched.result.Status`: the solver cannot take the problem; there was an error.
NOT_SUPPORTED: Final = "not supported"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row; figures are None where there is no schedule, and ``error`` says why.

    Parameters
    ----------
    key, problem_key
        Of the cell (`Cell.key`), and of its problem alone: rows of one ``problem_key`` may be compared.
    network_key
        Of what the network is: others may have its name.
    network, platform
        Their names.
    array
        Size of the arrays, such as 32x32; where there are several classes, their names joined by ``+``.
    processors, pes
        Their number, and the processing elements (rows * columns) of all of them.
    clock_hz
        Of the platform.
    status
        A value of `spikepipe_sched.result.Status`, ``not supported`` or ``failed``.
    error
        Why there is no schedule, or why it is not kept; else empty.
    objectives
        How many there are.
    objective, value, bound, bound_source, gap
        The first objective; see `spikepipe_sched.result.ObjectiveValue`.
    length_cycles
        The period of all ``unroll`` iterations, or the makespan [cycles].
    cycles_per_sample
        The length over the samples in it [cycles].
    total_delay, max_staleness
        Sum of D_l over layers, and the largest D_l - 1 [iterations]; 0 in finite mode.
    traffic_bytes
        As `spikepipe_sched.check.Metrics` has it: of all ``unroll`` iterations, or of the whole finite run.
    overhead
        Traffic beyond that of contiguous stages, over the bytes that tasks read and write [ratio];
        None where there are no such stages.
    memory_bytes
        The largest peak of any processor.
    utilisation
        Busy cycles over processors times length [ratio].
    samples_per_s
        At the platform's clock.
    seconds
        Wall-clock time of the solve.
    """

    key: str
    problem_key: str
    network_key: str
    network: str
    platform: str
    array: str
    processors: int
    pes: int
    clock_hz: int
    mode: str
    windows: int
    batch: int
    micro_batches: int
    unroll: int
    weights: str
    solver: str
    seed: int
    status: str
    error: str = ""
    objectives: int | None = None
    objective: str | None = None
    value: int | None = None
    bound: int | None = None
    bound_source: str | None = None
    gap: float | None = None
    length_cycles: int | None = None
    cycles_per_sample: float | None = None
    total_delay: int | None = None
    max_staleness: int | None = None
    traffic_bytes: int | None = None
    overhead: float | None = None
    memory_bytes: int | None = None
    utilisation: float | None = None
    samples_per_s: float | None = None
    seconds: float | None = None

    @property
    def failed(self) -> bool:
        """Whether there was an error: a proof that there is no schedule is none, nor is a solver that cannot take the problem."""
        return self.status == FAILED
