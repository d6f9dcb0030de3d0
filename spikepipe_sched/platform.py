"""The hardware: systolic arrays, their vector units and memories, and what connects them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from spikepipe_sched.errors import InputError, is_whole, require

#: Most processors of a platform made by `Platform.with_processors`.
MAX_PROCESSORS: Final = 4096

Dataflow = Literal["os", "ws", "is", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystolicArray:
    """One class of processor: an array of rows x cols processing elements (PEs) with a vector unit.

    Parameters
    ----------
    rows, cols
        Dimensions R and C; each PE does one multiply-accumulate a cycle.
    forward_dataflow, backward_dataflow, gradient_dataflow
        Dataflow of the F, B and W tasks: output, weight or input stationary, or ``auto`` (the
        cheapest for each task).
    lanes
        Element-wise operations the vector unit completes in a cycle.
    memory_bytes
        On-chip memory; None: unlimited.
    """

    rows: int
    cols: int
    forward_dataflow: Dataflow = "auto"
    backward_dataflow: Dataflow = "auto"
    gradient_dataflow: Dataflow = "auto"
    lanes: int = 32
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in ("rows", "cols", "lanes"):
            require(getattr(self, field) >= 1, f"systolic array: {field} must be at least 1, got {getattr(self, field)}")
        require(self.memory_bytes is None or self.memory_bytes >= 1, f"systolic array: memory_bytes must be at least 1, got {self.memory_bytes}")

    @property
    def processing_elements(self) -> int:
        """R * C, the peak multiply-accumulates in a cycle."""
        return self.rows * self.cols


@dataclass(frozen=True, slots=True, kw_only=True)
class Interconnect:
    """Uniform links between processors.

    Sending b > 0 bytes takes ``latency_cycles + ceil(b / bandwidth_bytes_per_cycle)`` cycles; it
    overlaps with computation and with other transfers.
    """

    latency_cycles: int = 0
    bandwidth_bytes_per_cycle: int = 64

    def __post_init__(self) -> None:
        require(self.latency_cycles >= 0, f"interconnect: latency_cycles must not be negative, got {self.latency_cycles}")
        require(self.bandwidth_bytes_per_cycle >= 1, f"interconnect: bandwidth_bytes_per_cycle must be at least 1, got {self.bandwidth_bytes_per_cycle}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Processors and their interconnect.

    Parameters
    ----------
    name, summary, source
        What it is called, what it is, and where its figures come from.
    classes
        The kinds of array, by name.
    processors
        The class of each processor.
    clock_hz
        Clock of all arrays, in Hz: it turns cycles into seconds and nothing else.
    """

    name: str
    classes: dict[str, SystolicArray]
    processors: tuple[str, ...]
    interconnect: Interconnect
    clock_hz: int
    summary: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        require(self.processors, f"platform '{self.name}': it has no processors")
        for name in self.processors:
            require(name in self.classes, f"platform '{self.name}': processor class '{name}' is not among {sorted(self.classes)}")
        require(self.clock_hz >= 1, f"platform '{self.name}': clock_hz must be at least 1, got {self.clock_hz}")

    def with_processors(self, count: int) -> Platform:
        """The same platform with ``count`` processors: the list of classes is cut or repeated."""
        if not is_whole(count) or not 1 <= count <= MAX_PROCESSORS:
            raise InputError(f"platform '{self.name}': the number of processors must be between 1 and {MAX_PROCESSORS}, got {count}")
        repeated = tuple(self.processors[i % len(self.processors)] for i in range(count))
        return replace(self, processors=repeated)

    @property
    def processor_names(self) -> tuple[str, ...]:
        """One name per processor: ``p0``, ``p1``, ..."""
        return tuple(f"p{index}" for index in range(len(self.processors)))
