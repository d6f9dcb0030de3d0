"""The structure of a platform file."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from spikepipe_sched.importers.toml_fields import Count, Name, Natural, Size
from spikepipe_sched.platform import Dataflow, Interconnect, Platform, SystolicArray


class ArrayClass(Struct, forbid_unknown_fields=True, kw_only=True):
    """A class of systolic array; see `SystolicArray`."""

    rows: Size
    cols: Size
    lanes: Size
    forward_dataflow: Dataflow = "auto"
    backward_dataflow: Dataflow = "auto"
    gradient_dataflow: Dataflow = "auto"
    memory_bytes: Count | None = None


class Links(Struct, forbid_unknown_fields=True, kw_only=True):
    """The interconnect; see `Interconnect`."""

    latency_cycles: Natural
    bandwidth_bytes_per_cycle: Count


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
            classes={name: SystolicArray(**msgspec.structs.asdict(array)) for name, array in self.classes.items()},
            processors=tuple(self.processors),
            interconnect=Interconnect(**msgspec.structs.asdict(self.interconnect)),
            clock_hz=self.clock_hz,
        )
