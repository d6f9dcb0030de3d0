"""The hardware: systolic arrays, their vector units and memories, and what connects them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Final, Literal

from spikepipe_sched.errors import InputError, is_whole, require, require_one_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

#: Most processors of a platform made by `Platform.with_processors`.
MAX_PROCESSORS: Final = 4096

Dataflow = Literal["os", "ws", "is", "auto"]
Sharing = Literal["none", "bus", "ports", "pairs"]
#: How transfers may share links; see `Interconnect`.
SHARINGS: Final[tuple[Sharing, ...]] = ("none", "bus", "ports", "pairs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of an array's operations, in picojoules; it turns counts into energy and nothing else.

    Parameters
    ----------
    mac_pj
        One multiply-accumulate.
    add_pj
        One accumulation without a multiplication, where the left operand has a single bit.
    vector_pj
        One element-wise operation.
    sram_pj_per_byte, dram_pj_per_byte
        Moving one byte between the array and its SRAM, and between SRAM and DRAM.
    source
        Where the figures come from.
    """

    mac_pj: float
    add_pj: float
    vector_pj: float
    sram_pj_per_byte: float
    dram_pj_per_byte: float
    source: str

    def __post_init__(self) -> None:
        for field in ("mac_pj", "add_pj", "vector_pj", "sram_pj_per_byte", "dram_pj_per_byte"):
            value = getattr(self, field)
            require(isfinite(value) and value >= 0, f"energy: {field} must be a number that is not negative, got {value}")
        require(self.source, "energy: source is empty; say where the figures come from")


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
        What a schedule may keep on this processor; None: unlimited.
    sram_bytes
        Buffers of operands and results beside the array, which bound the reuse of what comes from
        DRAM; None: unlimited.
    dram_bytes_per_cycle
        This array's share of the DRAM bandwidth; None: unknown.
    vector_latency_cycles
        Cycles before the vector unit's first results, each time it is started.
    accumulator_bits
        Bits of a partial sum.
    energy
        Energy of its operations; None: unknown.
    """

    rows: int
    cols: int
    forward_dataflow: Dataflow = "auto"
    backward_dataflow: Dataflow = "auto"
    gradient_dataflow: Dataflow = "auto"
    lanes: int = 32
    memory_bytes: int | None = None
    sram_bytes: int | None = None
    dram_bytes_per_cycle: float | None = None
    vector_latency_cycles: int = 0
    accumulator_bits: int = 32
    energy: Energy | None = None

    def __post_init__(self) -> None:
        for field in ("rows", "cols", "lanes", "accumulator_bits"):
            require(getattr(self, field) >= 1, f"systolic array: {field} must be at least 1, got {getattr(self, field)}")
        for field in ("memory_bytes", "sram_bytes"):
            size = getattr(self, field)
            require(size is None or size >= 1, f"systolic array: {field} must be at least 1, got {size}")
        share = self.dram_bytes_per_cycle
        require(share is None or (isfinite(share) and share > 0), f"systolic array: dram_bytes_per_cycle must be a number above 0, got {share}")
        require(self.vector_latency_cycles >= 0, f"systolic array: vector_latency_cycles must not be negative, got {self.vector_latency_cycles}")

    @property
    def processing_elements(self) -> int:
        """R * C, the peak multiply-accumulates in a cycle."""
        return self.rows * self.cols


@dataclass(frozen=True, slots=True, kw_only=True)
class Interconnect:
    """Uniform links between processors.

    Sending b > 0 bytes takes ``latency_cycles + ceil(b / bandwidth_bytes_per_cycle)`` cycles, an order
    without bytes ``signal_latency_cycles``; both overlap with computation.

    Parameters
    ----------
    bandwidth_bytes_per_cycle
        None: unlimited, a transfer takes its latency.
    signal_latency_cycles
        Cycles between the ends of an edge of 0 bytes on two processors; other models of pipelines
        know transfers by their latency alone.
    sharing
        What a transfer holds for its ceil(b / bandwidth) cycles (not during the latency), one
        transfer at a time: nothing (``none``, transfers never wait for each other), the one medium
        of all processors (``bus``), the sending port of its sender and the receiving port of its
        receiver (``ports``), or the link of its own for each ordered pair of processors (``pairs``).
    """

    latency_cycles: int = 0
    bandwidth_bytes_per_cycle: int | None = 64
    signal_latency_cycles: int = 0
    sharing: Sharing = "none"

    def __post_init__(self) -> None:
        require_one_of("interconnect", "sharing", self.sharing, SHARINGS)
        for field in ("latency_cycles", "signal_latency_cycles"):
            require(getattr(self, field) >= 0, f"interconnect: {field} must not be negative, got {getattr(self, field)}")
        bandwidth = self.bandwidth_bytes_per_cycle
        require(bandwidth is None or bandwidth >= 1, f"interconnect: bandwidth_bytes_per_cycle must be at least 1, got {bandwidth}")
        timed = bandwidth is not None and self.signal_latency_cycles == 0
        require(self.sharing == "none" or timed, f"interconnect: shared links (sharing='{self.sharing}') need a bandwidth, and no signal latency")

    def holding_cycles(self, size: Ints) -> Ints:
        """Cycles for which sending ``size`` bytes (any shape) holds a link: ceil(b / bandwidth)."""
        return 0 * size if self.bandwidth_bytes_per_cycle is None else -(-size // self.bandwidth_bytes_per_cycle)


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

    def with_array(self, rows: int, cols: int) -> Platform:
        """The same platform with all arrays of size ``rows`` x ``cols``, in all else like the class of its first processor.

        The lanes of the vector unit grow with the columns; memories and bandwidths stay.
        """
        name, first = f"{rows}x{cols}", self.classes[self.processors[0]]
        array = replace(first, rows=rows, cols=cols, lanes=max(1, first.lanes * cols // first.cols))
        return replace(self, name=f"{self.name} with {name} arrays", classes={name: array}, processors=(name,) * len(self.processors))

    @property
    def processor_names(self) -> tuple[str, ...]:
        """One name per processor: ``p0``, ``p1``, ..."""
        return tuple(f"p{index}" for index in range(len(self.processors)))


def array_size(text: str, option: str) -> tuple[int, int]:
    """``32x16``: rows and columns.

    Raises
    ------
    InputError
        If ``text`` is anything else; the message names ``option``.
    """
    rows, _, cols = text.strip().lower().partition("x")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 6 and int(part) for part in (rows, cols)):
        raise InputError(f"{option} takes ROWSxCOLUMNS such as 32x32, with 1 to 999999 of each, not '{text}'")
    return int(rows), int(cols)
