"""What a network answers: the outputs and potentials of its last layer over time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outputs:
    """The answer of a network to n samples.

    Parameters
    ----------
    values
        Outputs of the last layer, shape (T, n, classes): spikes (0 and 1) or real values.
    potentials
        Its potentials before the threshold, of the same shape; ``values`` where it does not spike.
    spiking
        Whether the values are spikes.
    """

    values: Tensor
    potentials: Tensor
    spiking: bool
