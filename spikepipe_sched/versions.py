"""Which version of the weights every iteration of a schedule reads.

Version v of a layer is its weights after v updates. Iteration j, counted from 0, makes update j, and
with it version j + 1. With the delays D_l >= 1 of a periodic schedule it reads

    forward_version[l, j]  = max(0, j + 1 - DF_l)
    backward_version[l, j] = max(0, j + 1 - DB_l)

The first iterations find nothing newer than version 0: the warm-up. The gradient is applied to
version j, whatever it was computed from: DF_l - 1 is by how many updates it is stale. Under weight
stashing DB_l = DF_l. A finite schedule updates after all its micro-batches, each of which has read
the newest version: D_l = 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.check import layer_delays
from spikepipe_sched.errors import require, require_one_of, require_whole
from spikepipe_sched.problem import WeightPolicy

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDelays:
    """The delays of every layer that learns, in iterations.

    Parameters
    ----------
    layers
        Their names.
    forward, backward
        Delay DF and DB of each, at least 1: iteration j multiplies by version max(0, j + 1 - D).

    Raises
    ------
    InputError
        If a name comes twice, a layer has no delay, or a delay is below 1.
    """

    layers: tuple[str, ...]
    forward: tuple[int, ...]
    backward: tuple[int, ...]

    def __post_init__(self) -> None:
        require(len(set(self.layers)) == len(self.layers), f"weight delays: a layer is named twice: {', '.join(self.layers)}")
        for field in ("forward", "backward"):
            delays = getattr(self, field)
            require(len(delays) == len(self.layers), f"weight delays: {len(self.layers)} layers have {len(delays)} {field} delays")
            for layer, delay in zip(self.layers, delays, strict=True):
                require_whole("weight delays", f"the {field} delay of layer '{layer}'", delay, 1)

    @classmethod
    def of_schedule(cls, problem: Problem, schedule: Schedule, weights: WeightPolicy | None = None) -> WeightDelays:
        """The delays of a schedule: the least that its starts and transfers allow (`check.layer_delays`).

        Parameters
        ----------
        problem, schedule
            What was scheduled, and how.
        weights
            Whether B reads the version that F read (``stash``) or its own newest (``latest``); the
            problem's own policy if not given.

        Raises
        ------
        InputError
            If no task updates weights.
        """
        if weights is not None:
            require_one_of("weight delays", "weights", weights, get_args(WeightPolicy))
            problem = replace(problem, weights=weights)
        updates = np.array([kind == "U" for kind in problem.tasks.kinds]) & (problem.tasks.layer >= 0)
        require(updates.any(), f"the problem '{problem.name}' has no weight updates (tasks of kind U with a layer): there is nothing to train")
        learning: list[int] = np.unique(problem.tasks.layer[updates]).tolist()
        forward, backward = (
            tuple(max(1, int(delays[layer])) for layer in learning) for delays in layer_delays(problem, schedule)
        )  # 0: finite, or read by none
        return cls(layers=tuple(problem.layers[layer] for layer in learning), forward=forward, backward=backward)

    @classmethod
    def uniform(cls, layers: Iterable[str], staleness: int) -> WeightDelays:
        """Every layer ``staleness`` >= 0 updates behind, forward and backward."""
        names = tuple(layers)
        delays = (require_whole("weight delays", "staleness", staleness, 0) + 1,) * len(names)
        return cls(layers=names, forward=delays, backward=delays)

    @classmethod
    def synchronous(cls, layers: Iterable[str]) -> WeightDelays:
        """Every iteration reads the newest weights."""
        return cls.uniform(layers, 0)

    def tables(self, iterations: int) -> tuple[Ints, Ints]:
        """``forward_version`` and ``backward_version``, (layers, iterations) each, warm-up included."""
        made = np.arange(1, require_whole("weight delays", "iterations", iterations, 0) + 1, dtype=np.int64)
        forward, backward = (np.maximum(0, made - np.array(delays, dtype=np.int64)[:, None]) for delays in (self.forward, self.backward))
        return forward, backward
