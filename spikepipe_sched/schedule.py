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
    transfers
        (t,) int64. Where the platform's links are shared: the start of every transfer [cycles], in
        the order of `spikepipe_sched.transfers.transfers`; in periodic mode that of what iteration
        0 produces. None where links are not shared, or nothing crosses.
    """

    processor: Ints
    start: Ints
    period: int | None = None
    transfers: Ints | None = None

    def __post_init__(self) -> None:
        for name in ("processor", "start") if self.transfers is None else ("processor", "start", "transfers"):
            given = np.asarray(getattr(self, name))
            fits = given.size == 0 or (given.dtype.kind in "iu" and int(given.max()) < 2**63)
            require(fits, f"schedule: {name} must be whole numbers that fit in 64 bits")
            array = np.array(given, dtype=np.int64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        require(self.processor.ndim == 1 and self.processor.shape == self.start.shape, "schedule: processor and start must be rows of the same length")
        require(self.transfers is None or self.transfers.ndim == 1, "schedule: transfers must be a row")
        if self.period is not None:
            require(is_whole(self.period) and self.period >= 1, f"schedule: the period must be a whole number of at least 1, got {self.period}")
            object.__setattr__(self, "period", int(self.period))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[int | None, bytes, bytes, bytes | None]:
        return self.period, self.processor.tobytes(), self.start.tobytes(), None if self.transfers is None else self.transfers.tobytes()

    def normalised(self) -> Schedule:
        """The same schedule shifted so that the earliest start, of a task or a transfer, is 0."""
        starts = self.start if self.transfers is None else np.concatenate([self.start, self.transfers])
        shift = int(starts.min()) if len(starts) else 0
        transfers = None if self.transfers is None else self.transfers - shift
        return Schedule(processor=self.processor, start=self.start - shift, period=self.period, transfers=transfers)
