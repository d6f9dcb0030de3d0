"""From pictures and events to what a spiking network reads: one tensor a time step.

Pictures, of values between 0 and 1, are shown at every step (direct), drawn as spikes (Poisson) or
turned into the time of one spike (latency). Events are binned into frames.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikepipe_sched.errors import require_one_of, require_whole

PictureCoding = Literal["direct", "poisson", "latency"]


def encode(images: Tensor, coding: PictureCoding, time_steps: int, generator: torch.Generator) -> Tensor:
    """The pictures over time.

    Parameters
    ----------
    images
        (n, *shape), values x from 0 to 1.
    coding
        ``direct``: x at every step, real values; the result is a view, the same memory at all steps.
        ``poisson``: at every step a spike with probability x, drawn anew for each pixel and step
        (Bernoulli draws, whose counts are Poisson's in the limit of small x; as snnTorch's
        ``spikegen.rate``, Eshraghian et al. 2023, doi:10.1109/JPROC.2023.3308088).
        ``latency``: one spike at step round((1 - x)(T - 1)), none where x = 0: the stronger the
        earlier, linear in the intensity (time to first spike; as snnTorch's ``spikegen.latency``
        with ``linear`` and ``normalize`` for a threshold of 0).
    time_steps
        T.
    generator
        Whence ``poisson`` draws; the others leave it alone.

    Returns
    -------
    (T, n, *shape), of the pictures' type.

    Raises
    ------
    InputError
        If the coding is none of these, or there is no step.
    """
    require_one_of("encode", "coding", coding, get_args(PictureCoding))
    require_whole("encode", "time_steps", time_steps, 1)
    if coding == "direct":
        return images.expand(time_steps, *images.shape)
    if coding == "poisson":
        chances = torch.rand((time_steps, *images.shape), generator=generator, dtype=images.dtype)
        return (chances < images).to(images.dtype)  # chances are below 1: a pixel of 1 spikes always, one of 0 never
    spike = torch.round((1 - images) * (time_steps - 1)).long()
    steps = torch.arange(time_steps).view(-1, *(1,) * images.dim())
    return ((steps == spike) & (images > 0)).to(images.dtype)


def event_frames(
    times: NDArray[np.int64], places: NDArray[Any], *, start: int, window: int, time_steps: int, size: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Bin the events of one sample into T frames of equal length.

    An event at time t falls into frame floor((t - start) T / window); those before ``start``, or at
    ``start + window`` and later, into none.

    Parameters
    ----------
    times
        (events,) [us].
    places
        (events,) indices into a frame, from 0 to ``size`` - 1.
    start, window
        Of the sample [us]; ``window`` times T must stay below 2^63.
    time_steps, size
        T, and elements of a frame.

    Returns
    -------
    cells
        Where there are events: frame · ``size`` + place, ascending.
    counts
        Events in each of these cells.
    """
    since = times - start
    inside = (since >= 0) & (since < window)
    cells = since[inside] * time_steps // window * size + places[inside]
    counts = np.bincount(cells)
    used = np.flatnonzero(counts)
    return used.astype(np.int32), counts[used].astype(np.int32)
