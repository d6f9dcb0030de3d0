"""What a solver decides: a processor and a start for every task copy, and the period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.errors import is_whole, require

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """Processor and start of every copy of `Problem.instance`.

    Parameters
    ----------
    processor, start
        (N,) int64. In periodic mode iteration j of a copy starts at ``start + j * period`` [cycles].
    period
        Cycles per ``unroll`` iterations; None in finite mode.
    """

    processor: Ints
    start: Ints
    period: int | None = None

    def __post_init__(self) -> None:
        for name in ("processor", "start"):
            given = np.asarray(getattr(self, name))
            fits = given.size == 0 or (given.dtype.kind in "iu" and int(given.max()) < 2**63)
            require(fits, f"schedule: {name} must be whole numbers that fit in 64 bits")
            array = np.array(given, dtype=np.int64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        require(self.processor.ndim == 1 and self.processor.shape == self.start.shape, "schedule: processor and start must be rows of the same length")
        if self.period is not None:
            require(is_whole(self.period) and self.period >= 1, f"schedule: the period must be a whole number of at least 1, got {self.period}")
            object.__setattr__(self, "period", int(self.period))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Schedule)
            and self.period == other.period
            and np.array_equal(self.processor, other.processor)
            and np.array_equal(self.start, other.start)
        )

    def __hash__(self) -> int:
        return hash((self.period, self.processor.tobytes(), self.start.tobytes()))

    def normalised(self) -> Schedule:
        """The same schedule shifted so that the earliest start is 0."""
        shift = int(self.start.min()) if len(self.start) else 0
        return Schedule(processor=self.processor, start=self.start - shift, period=self.period)
