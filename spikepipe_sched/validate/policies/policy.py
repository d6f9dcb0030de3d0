"""What every policy decides, and the policies that only choose versions: stashing, newest weights, double buffering.

With n the number of updates made, the weights an iteration reads are min(D - 1, n) updates old: their
age. Its gradient makes update n, so the age is the staleness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikepipe_sched.validate.optimise import Optimizer, Parameters
from spikepipe_sched.validate.parameters import Weights
from spikepipe_sched.validate.policies.history import History
from spikepipe_sched.versions import WeightDelays


class Policy:
    """Weight stashing: B multiplies by the version that F has read. Other policies override what they change.

    Parameters
    ----------
    delays
        The schedule's, of the layers of the optimizer's weights.
    optimizer
        Holds the newest weights; nothing has been updated yet.

    Notes
    -----
    Layers whose weights are never stale are left alone by all policies, so that training without delays is
    plain training, bit for bit.
    """

    def __init__(self, delays: WeightDelays, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        #: Updates between F's version, and B's, and the update, once the pipeline is full.
        self.forward_staleness = {layer: delay - 1 for layer, delay in zip(delays.layers, delays.forward, strict=True)}
        self.backward_staleness = {layer: delay - 1 for layer, delay in zip(delays.layers, delays.backward, strict=True)}
        self.depth = {layer: max(staleness, self.backward_staleness[layer]) for layer, staleness in self.forward_staleness.items()}
        self.weights = History(optimizer.weights, self.depth)

    @staticmethod
    def iterations_per_update(delays: WeightDelays) -> int:  # noqa: ARG004 - other policies go by them
        """Iterations whose gradients are averaged into one update."""
        return 1

    def forward_age(self, layer: str) -> int:
        """Updates between the version F reads now and the newest."""
        return self._age(self.forward_staleness[layer])

    def backward_age(self, layer: str) -> int:
        """The same of B."""
        return self._age(self.backward_staleness[layer])

    def _age(self, staleness: int) -> int:
        return min(staleness, self.optimizer.version)

    def forward(self, layer: str) -> Parameters:
        """What F multiplies by."""
        return self.weights.read(layer, self.forward_age(layer))

    def backward(self, layer: str) -> Parameters | None:
        """What B multiplies by; None: the same as F."""
        return None

    def factor(self, layer: str) -> float:
        """What the learning rate of the layer is multiplied by."""
        return 1.0

    def update(self, gradients: Weights) -> None:
        """One update from the gradients, which it may change."""
        for layer in gradients:
            self.prepare(layer, gradients[layer])
        self.keep()
        self.optimizer.step(gradients, {layer: self.factor(layer) for layer in gradients})
        for layer in gradients:
            self.finish(layer, gradients[layer])

    def prepare(self, layer: str, gradients: Parameters) -> None:
        """Change a layer's gradients before the update."""

    def keep(self) -> None:
        """Keep what the update overwrites."""
        self.weights.keep()

    def finish(self, layer: str, gradients: Parameters) -> None:
        """Change or note what the update has made of a layer."""

    def state(self) -> dict[str, Any]:
        """What `restore` needs, beside the optimizer's state."""
        return {"weights": self.weights.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.weights.restore(state["weights"])


class Latest(Policy):
    """F and B each read the newest version they find (arXiv:1912.12675): nothing is stashed."""

    def backward(self, layer: str) -> Parameters | None:
        """B's own version."""
        age = self.backward_age(layer)
        return None if age == self.forward_age(layer) else self.weights.read(layer, age)


class DoubleBuffered(Policy):
    """PipeDream-2BW (arXiv:2006.09503): two versions, whatever the depth of the pipeline.

    The gradients of m iterations are averaged into one update, w(k+1) = w(k) - rate * mean gradient at
    w(k-1). The version w(k-1) comes from iteration (k-1) m - 1; iteration k m, the first that reads it,
    finds it if k m - D >= (k-1) m - 1 for all delays D: m = max(1, max D - 1). Iterations left over at the
    end of a run, fewer than m, make no update. Without any delay training is synchronous, as there is
    nothing to buffer.
    """

    def __init__(self, delays: WeightDelays, optimizer: Optimizer) -> None:
        super().__init__(WeightDelays.uniform(delays.layers, min(1, max(delays.forward) - 1)), optimizer)

    @staticmethod
    def iterations_per_update(delays: WeightDelays) -> int:
        """M."""
        return max(1, max(delays.forward) - 1)
