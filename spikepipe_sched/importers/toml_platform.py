"""The structure of a platform file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from spikepipe_sched.importers.toml_fields import Count, Name, Natural, Size
from spikepipe_sched.platform import Dataflow, Energy, Interconnect, Platform, Sharing, SystolicArray

Picojoules = Annotated[float, Meta(ge=0, le=1e12)]


class EnergyTable(Struct, forbid_unknown_fields=True, kw_only=True):
    """Energy of an array's operations; see `Energy`."""

    mac_pj: Picojoules
    add_pj: Picojoules
    vector_pj: Picojoules
    sram_pj_per_byte: Picojoules
    dram_pj_per_byte: Picojoules
    source: Annotated[str, Meta(min_length=1)]


class ArrayClass(Struct, forbid_unknown_fields=True, kw_only=True):
    """A class of systolic array; see `SystolicArray`."""

    rows: Size
    cols: Size
    lanes: Size
    forward_dataflow: Dataflow = "auto"
    backward_dataflow: Dataflow = "auto"
    gradient_dataflow: Dataflow = "auto"
    memory_bytes: Count | None = None
    sram_bytes: Count | None = None
    dram_bytes_per_cycle: Annotated[float, Meta(gt=0, le=2**40)] | None = None
    vector_latency_cycles: Natural = 0
    accumulator_bits: Annotated[int, Meta(ge=1, le=1024)] = 32
    energy: EnergyTable | None = None

    def core(self) -> SystolicArray:
        """The array of the core model."""
        fields: dict[str, Any] = msgspec.structs.asdict(self)
        fields["energy"] = None if self.energy is None else Energy(**msgspec.structs.asdict(self.energy))
        return SystolicArray(**fields)


class Links(Struct, forbid_unknown_fields=True, kw_only=True):
    """The interconnect; see `Interconnect`."""

    latency_cycles: Natural
    bandwidth_bytes_per_cycle: Count
    signal_latency_cycles: Natural = 0
    sharing: Sharing = "none"


class PlatformFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """A platform file."""

    name: Name
    clock_hz: Count
    processors: Annotated[list[Name], Meta(min_length=1, max_length=100_000)]
    classes: Annotated[dict[Name, ArrayClass], Meta(min_length=1)]
    interconnect: Links
    summary: str = ""
    source: str = ""

    def core(self) -> Platform:
        """The platform of the core model."""
        return Platform(
            name=self.name,
            summary=self.summary,
            source=self.source,
            classes={name: array.core() for name, array in self.classes.items()},
            processors=tuple(self.processors),
            interconnect=Interconnect(**msgspec.structs.asdict(self.interconnect)),
            clock_hz=self.clock_hz,
        )
