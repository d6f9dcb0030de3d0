"""B estimates the weights that F has read: the newest it finds, less the changes since, guessed from a moving average.

With a = DF - DB the number of updates between the two versions, n the version that B reads and c the
moving average of the changes up to it, B multiplies by w(n) - min(a, n) c, where

    c <- g c + (1 - g) (w(n) - w(n-1))

and g follows from a. One average takes the place of all the versions in between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from spikepipe_sched.validate.optimise import Optimizer, Parameters
from spikepipe_sched.validate.policies.history import History
from spikepipe_sched.validate.policies.policy import Policy
from spikepipe_sched.versions import WeightDelays


class MovingAverage(Policy):
    """LayerPipe2's pipeline-aware moving average (arXiv:2512.08160), reconstructed.

    The source says that a moving average whose window follows from the pipeline stands in for stashed
    weights, but what is public of it does not give the rule. Here g = (a-1)/(a+1), the decay of a moving
    average whose samples are on average as old as those of a plain mean over a changes, and
    (n-1)/n while that is less: the plain mean of the first changes, so that the estimates of the first
    half of the warm-up, n <= (a+1)/2, are exact. With a = 1 all estimates are.
    """

    def __init__(self, delays: WeightDelays, optimizer: Optimizer) -> None:
        super().__init__(delays, optimizer)
        #: The layers whose B finds newer weights than F did, and by how many updates in the end.
        behind = {layer: forward - self.backward_staleness[layer] for layer, forward in self.forward_staleness.items()}
        self.apart = {layer: updates for layer, updates in behind.items() if updates > 0}
        zeros = {layer: {name: torch.zeros_like(value) for name, value in optimizer.weights[layer].items()} for layer in self.apart}
        self.changes = History(zeros, self.backward_staleness)

    def decay(self, layer: str) -> float:
        """What the average keeps of itself at the update just made: g."""
        apart, version = self.apart[layer], self.optimizer.version
        return min((version - 1) / version, (apart - 1) / (apart + 1))

    def backward(self, layer: str) -> Parameters | None:
        """B's own version; where F's was older, an estimate of that."""
        forward, backward = self.forward_age(layer), self.backward_age(layer)
        if forward == backward:
            return None
        weights = self.weights.read(layer, backward)
        if layer not in self.apart:  # B finds older weights than F
            return weights
        change = self.changes.read(layer, backward)
        return {name: value.add(change[name], alpha=backward - forward) for name, value in weights.items()}

    def keep(self) -> None:
        """Keep what the update overwrites."""
        super().keep()
        self.changes.keep()

    def finish(self, layer: str, gradients: Parameters) -> None:
        """The change goes into the average."""
        if layer in self.apart:
            before, share = self.weights.read(layer, 1), 1 - self.decay(layer)
            for name, value in self.changes.newest[layer].items():
                value.lerp_(self.optimizer.weights[layer][name] - before[name], share)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, beside the optimizer's state."""
        return super().state() | {"changes": self.changes.newest, "older_changes": self.changes.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self.changes.restore(state["older_changes"])
        for layer, values in self.changes.newest.items():
            for name, value in values.items():
                value.copy_(state["changes"][layer][name])


class PipeMare(MovingAverage):
    """PipeMare (arXiv:1910.05124): learning rates by staleness (T1) and discrepancy correction (T2).

    T1: update k of a layer whose F is tau updates stale has the rate r / max(1, tau)^p, p = max(0, 1 - k/K),
    with K a quarter of all updates (the source leaves K to the user). T2: g = exp(-2 / a). The source's T3, epochs
    without delays at the start, is not offered.
    """

    def factor(self, layer: str) -> float:
        """T1."""
        power = max(0.0, 1 - 4 * self.optimizer.version / self.optimizer.updates)
        return max(1, self.forward_staleness[layer]) ** -power

    def decay(self, layer: str) -> float:
        """T2."""
        return math.exp(-2 / self.apart[layer])
