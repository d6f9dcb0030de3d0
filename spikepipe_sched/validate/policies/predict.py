"""Weights predicted along the optimizer's direction: what is stale is moved to where the update will find it.

Let d(v) be the direction of the update that made version v (`Optimizer.direction`: SGD's momentum,
Adam's normalised mean), r(i) the rate of update i and n the version that the iteration's gradient will
change. A task that finds version v multiplies by

    w(v) - sum over i = v .. n-1 of r(i) h(i) d(v)

where h(i) = 1 if the direction is taken to stay, and what is left of it if no gradients were to come.
The sources have one rate for all; the rates of the updates to come are known, and so are used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from spikepipe_sched.validate.optimise import Optimizer, Parameters
from spikepipe_sched.validate.parameters import Weights
from spikepipe_sched.validate.policies.policy import Policy
from spikepipe_sched.versions import WeightDelays


class SpecTrain(Policy):
    """SpecTrain (arXiv:1809.02839): F and B both multiply by predictions of the same version, with h = 1.

    How far F and B predict is read off the schedule. With Adam its direction takes the momentum's place,
    as in XPipe (arXiv:1911.04610).
    """

    def __init__(self, delays: WeightDelays, optimizer: Optimizer) -> None:
        super().__init__(delays, optimizer)
        #: Of every stale layer those of its older versions, as far back as they are read; the last is that of the version before.
        self.directions: dict[str, deque[Parameters]] = {layer: deque(maxlen=depth) for layer, depth in self.depth.items() if depth}

    def left(self, version: int, steps: int) -> float:
        """The h of the update ``steps`` after the one that made ``version``."""
        return 1.0

    def predicted(self, layer: str, age: int) -> Parameters:
        """The version of ``age`` updates ago, moved to the newest."""
        weights = self.weights.read(layer, age)
        if not age:
            return weights
        newest = self.optimizer.version
        found = newest - age
        reach = sum(self.optimizer.rate(update) * self.left(found, update - found + 1) for update in range(found, newest))
        direction = self.directions[layer][-age]
        return {name: value.sub(direction[name], alpha=reach) for name, value in weights.items()}

    def forward(self, layer: str) -> Parameters:
        """F's version, predicted."""
        return self.predicted(layer, self.forward_age(layer))

    def backward(self, layer: str) -> Parameters | None:
        """B's version, predicted."""
        age = self.backward_age(layer)
        return None if age == self.forward_age(layer) else self.predicted(layer, age)

    def keep(self) -> None:
        """Keep what the update overwrites."""
        super().keep()
        for layer, older in self.directions.items():
            older.append(self.optimizer.direction(layer))

    def state(self) -> dict[str, Any]:
        """What `restore` needs, beside the optimizer's state."""
        return super().state() | {"directions": {layer: list(older) for layer, older in self.directions.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        for layer, older in self.directions.items():
            older.clear()
            older.extend(state["directions"][layer])


class MultiStepNesterov(SpecTrain):
    """FTPipe's msnag (USENIX ATC 2021): the prediction is what would happen if no gradients came; B uses it too.

    SGD: h(v + k - 1) = m^k, as the momentum v at version v holds the last gradient already; with one rate r
    the sum is r (m - m^(s+1)) / (1 - m) for s updates. Adam: m^k (1 - m^v) / (1 - m^(v+k)), as the mean decays and its bias
    correction goes on, while the mean square is taken to stay.
    """

    def left(self, version: int, steps: int) -> float:
        """The share of the direction that is left: h."""
        momentum, adam = self.optimizer.settings.momentum, self.optimizer.settings.name == "adam"
        return momentum**steps * ((1 - momentum**version) / (1 - momentum ** (version + steps)) if adam else 1)

    def backward(self, layer: str) -> Parameters | None:
        """What F used, stashed."""
        return None


class SpikeCompensation(SpecTrain):
    """Spike compensation with linear weight prediction (arXiv:2003.11666), for SGD with momentum m.

    A gradient that is s updates late makes up for the updates it has missed:

        v <- m v + g,  w <- w - r (a v + b g),  a = m^s,  b = (1 - m^s) / (1 - m)

    so that every gradient counts as much in the end as without a delay. F predicts along v, with h = 1; B
    multiplies by the weights that it finds.
    """

    def backward(self, layer: str) -> Parameters | None:
        """B's own version, as it is."""
        age = self.backward_age(layer)
        return None if age == self.forward_age(layer) == 0 else self.weights.read(layer, age)

    def factor(self, layer: str) -> float:
        """What the momentum counts: a."""
        return self.optimizer.settings.momentum ** self.forward_age(layer)

    def update(self, gradients: Weights) -> None:
        """With a of the momentum, then b of the gradient."""
        optimizer, settings = self.optimizer, self.optimizer.settings
        rate, missed = optimizer.rate(optimizer.version), {layer: self.forward_age(layer) for layer in gradients}
        super().update(gradients)
        for layer, age in missed.items():
            if age:
                share = rate * (1 - settings.momentum**age) / (1 - settings.momentum)
                before = self.weights.read(layer, 1)
                for name, value in optimizer.weights[layer].items():
                    value.sub_(gradients[layer][name].add(before[name], alpha=settings.weight_decay), alpha=share)
