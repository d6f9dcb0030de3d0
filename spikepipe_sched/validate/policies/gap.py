"""Gap-aware training: a gradient counts the less, the further the weights have moved since it was computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from spikepipe_sched.validate.optimise import Optimizer, Parameters
from spikepipe_sched.validate.policies.policy import Policy
from spikepipe_sched.versions import WeightDelays

#: Decay of the mean square of the updates, and what keeps a mean of 0 from dividing.
DECAY: Final = 0.999
EPSILON: Final = 1e-8


class GapAware(Policy):
    """Gap-Aware (arXiv:1909.10802) on stashed weights.

    A gradient, its weight decay included, that was computed with the weights w' and now meets w is divided, weight
    by weight, by the gap

        1 + |w - w'| / (r (sqrt(q / (1 - G^n)) + e)),    q <- G q + (1 - G) d^2 after each of the n updates

    with r the full learning rate, d the update's direction (`Optimizer.direction`: SGD's momentum), G = 0.999 and e = 1e-8:
    by how many updates of the usual length the weight has moved. Taking Adam's direction is an extension.
    """

    def __init__(self, delays: WeightDelays, optimizer: Optimizer) -> None:
        super().__init__(delays, optimizer)
        stale = [layer for layer, staleness in self.forward_staleness.items() if staleness]
        self.squares = {layer: {name: torch.zeros_like(value) for name, value in optimizer.weights[layer].items()} for layer in stale}

    def prepare(self, layer: str, gradients: Parameters) -> None:
        """Divide the gradients by their gaps."""
        age, settings = self.forward_age(layer), self.optimizer.settings
        if not age:
            return
        read, seen = self.weights.read(layer, age), 1 - DECAY**self.optimizer.version
        for name, value in self.optimizer.weights[layer].items():
            usual = (self.squares[layer][name] / seen).sqrt_().add_(EPSILON).mul_(settings.rate)
            gap = (value - read[name]).abs_().div_(usual).add_(1)
            decay = settings.weight_decay * value
            gradients[name] = (gradients[name] + decay).div_(gap).sub_(decay)  # the optimizer adds the decay

    def finish(self, layer: str, gradients: Parameters) -> None:
        """The update goes into the mean square."""
        if layer in self.squares:
            for name, direction in self.optimizer.direction(layer).items():
                self.squares[layer][name].lerp_(direction.square(), 1 - DECAY)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, beside the optimizer's state."""
        return super().state() | {"squares": self.squares}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        for layer, values in self.squares.items():
            for name, value in values.items():
                value.copy_(state["squares"][layer][name])
