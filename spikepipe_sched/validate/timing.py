"""Layers of different time steps: what a reader sees of its producer, and when.

All layers of a network last as long: step i of a layer with T_l steps lasts from i/T_l to (i + 1)/T_l
of the sample. A reader with other steps than its producer reads, at each of its steps, the mean of what
the producer puts out in that time; the lowering has them meet in the same way (`lower.windows`).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from spikepipe_sched.errors import require
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower.windows import cut_time, segments
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup


def retime(outputs: Tensor, steps: int) -> Tensor:
    """What a reader with ``steps`` time steps sees of a producer.

    Parameters
    ----------
    outputs
        The producer's, shape (T, n, *shape).

    Returns
    -------
    Tensor
        Shape (steps, n, *shape); ``outputs`` themselves where the steps are the same.
    """
    theirs = outputs.shape[0]
    if theirs == steps:
        return outputs
    if is_constant(outputs):
        return outputs[:1].expand(steps, *outputs.shape[1:])
    shares = torch.tensor(overlaps(steps, theirs), dtype=outputs.dtype, device=outputs.device)
    return torch.tensordot(shares, outputs, 1)


@cache
def overlaps(ours: int, theirs: int) -> tuple[tuple[float, ...], ...]:
    """Share of each of our steps (rows) that each of their steps (columns) takes; every row sums to 1."""
    return tuple(tuple(max(0, min((i + 1) * theirs, (j + 1) * ours) - max(i * theirs, j * ours)) / theirs for j in range(theirs)) for i in range(ours))


def is_constant(outputs: Tensor) -> bool:
    """Whether one step is shown again and again (`torch.Tensor.expand`), as an image in direct coding is: work on it need be done only once."""
    return outputs.shape[0] > 1 and outputs.stride(0) == 0


def step_before(outputs: Tensor, truncate: int | None) -> Tensor:
    """What feedback reads: the outputs of one step before, zero at the first step.

    Parameters
    ----------
    outputs
        Shape (T, n, *shape).
    truncate
        K of truncated back-propagation: no gradient passes from step jK back to step jK - 1.

    Returns
    -------
    Tensor
        The shape of ``outputs``.
    """
    earlier = list(outputs[:-1].unbind())
    if truncate is not None:
        earlier = [step.detach() if t % truncate == 0 else step for t, step in enumerate(earlier, 1)]
    return torch.stack([torch.zeros_like(outputs[0]), *earlier])


def truncation(network: Network, layer: Layer, bptt_steps: int | None) -> int | None:
    """Length in a layer's own time steps of a segment of truncated back-propagation; None: no gradient is cut.

    Raises
    ------
    InputError
        If the segments hold unequal numbers of the layer's steps.
    """
    if bptt_steps is None:
        return None
    steps = network.steps(layer)
    found = list(segments(network, TrainingSetup(bptt_steps=bptt_steps), layer, cut_time(steps, steps)).values())
    starts = [t for t in range(1, steps) if found[t] != found[t - 1]]
    if not starts:
        return None
    even = starts == list(range(starts[0], steps, starts[0]))
    require(even, f"training: bptt_steps={bptt_steps} cuts the {steps} time steps of layer '{layer.name}' unevenly, at {starts}; choose another")
    return starts[0]
