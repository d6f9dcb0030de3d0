"""Training iteration by iteration, with the weight versions of a schedule.

The iterations run one after the other, as fast as synchronous training: what the pipeline overlaps
changes nothing but the versions that each iteration reads, and those the policy looks up.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spikepipe_sched.errors import require, require_one_of, require_whole, shown
from spikepipe_sched.validate.losses import LOSSES, Loss, loss
from spikepipe_sched.validate.optimise import Optimizer, OptimizerSettings
from spikepipe_sched.validate.parameters import Weights
from spikepipe_sched.validate.policies import policy_for
from spikepipe_sched.versions import WeightDelays

if TYPE_CHECKING:
    from spikepipe_sched.validate.model import Model


class Trainer:
    """A model in training.

    Parameters
    ----------
    model
        What is trained; its running statistics change.
    delays
        Of all layers that learn; for a schedule `WeightDelays.of_schedule`, with the ``weights`` of the policy
        (`POLICIES`).
    policy
        What is done about stale weights.
    optimizer
        How weights are updated.
    loss
        Which loss.
    updates
        Iterations of the whole training: the length of the rate's schedule.
    seed
        Of the initial weights.

    Raises
    ------
    InputError
        If the delays are not those of the model's layers or do not fit the policy, the policy is not
        defined for the optimizer, or a value is out of range.
    """

    def __init__(
        self,
        model: Model,
        delays: WeightDelays,
        *,
        policy: str = "stash",
        optimizer: OptimizerSettings = OptimizerSettings(),  # noqa: B008 - frozen
        loss: Loss = "rate",
        updates: int,
        seed: int,
    ) -> None:
        require_one_of("validate", "loss", loss, LOSSES)
        require_whole("training", "updates", updates, 1)
        require_whole("training", "seed", seed, 0)
        unlike = sorted(set(delays.layers) ^ set(model.layers))
        require(
            not unlike, f"training: the delays are of other layers than those of the network that learn: {', '.join(unlike)}; give a schedule of this network"
        )
        spec = policy_for(policy, optimizer)
        apart = spec.weights == "stash" and delays.forward != delays.backward
        require(
            not apart,
            f"training: with the policy '{policy}' B reads what F has read, but the delays differ: take them by WeightDelays.of_schedule with weights='stash'",
        )
        kind = spec.load()
        self.model = model
        self.loss: Loss = loss
        self._run = {
            "policy": policy,
            "delays": repr(delays),
            "optimizer": repr(optimizer),
            "loss": loss,
            "updates": updates,
            "seed": seed,
        }
        self._per_update = kind.iterations_per_update(delays)
        # The rate goes through its schedule over the same samples, however many make an update.
        paced = replace(optimizer, warmup=optimizer.warmup // self._per_update)
        self._optimizer = Optimizer(model.initial(seed), paced, max(1, updates // self._per_update))
        self._policy = kind(delays, self._optimizer)
        self._iterations = 0
        self._sum: Weights | None = None
        self._finite = True

    @property
    def weights(self) -> Weights:
        """The newest weights; later steps change them in place."""
        return self._optimizer.weights

    @property
    def diverged(self) -> bool:
        """Whether a loss or a weight is no finite number any more.

        The weights count by themselves: potentials that are no numbers make neurons silent, and the loss of silence is finite.
        """
        return not (self._finite and all(bool(value.isfinite().all()) for values in self.weights.values() for value in values.values()))

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        """One iteration; its loss, finite or not.

        Parameters
        ----------
        inputs
            Shape (T, n, *input_shape).
        labels
            The right classes, shape (n,).
        """
        policy, layers = self._policy, self.model.layers
        read = {layer: {name: value.detach().requires_grad_() for name, value in policy.forward(layer).items()} for layer in layers}
        found = {layer: policy.backward(layer) for layer in layers}
        stale = {layer: read[layer] if values is None else values for layer, values in found.items()}
        backward = None if all(values is None for values in found.values()) else stale
        value = loss(self.loss, self.model.forward(inputs, read, backward, training=True), labels)
        flat = torch.autograd.grad(value, [leaf for values in read.values() for leaf in values.values()], materialize_grads=True)
        each = iter(flat)
        self._learn({layer: {name: next(each) for name in values} for layer, values in read.items()})
        result = value.item()
        self._finite &= math.isfinite(result)
        return result

    @torch.no_grad()
    def _learn(self, gradients: Weights) -> None:
        """Update the weights, at once or with the mean of several iterations' gradients."""
        self._iterations += 1
        if self._per_update > 1:
            before = self._sum
            if before is not None:
                gradients = {layer: {name: value + before[layer][name] for name, value in values.items()} for layer, values in gradients.items()}
            if self._iterations % self._per_update:
                self._sum = gradients
                return
            self._sum = None
            gradients = {layer: {name: value / self._per_update for name, value in values.items()} for layer, values in gradients.items()}
        self._policy.update(gradients)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on bit for bit: numbers, names and tensors, as ``torch.load(weights_only=True)`` takes them."""
        state = {
            "run": self._run,
            "iterations": self._iterations,
            "finite": self._finite,
            "sum": self._sum,
            "optimizer": self._optimizer.state(),
            "policy": self._policy.state(),
            "statistics": self.model.statistics,
        }
        return copy.deepcopy(state)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises
        ------
        InputError
            If the state is of another run.
        """
        for name, value in self._run.items():
            was = state["run"].get(name)
            require(was == value, f"training: the state is of another run, whose {name} was {shown(was)}, not {shown(value)}; train anew, or with its settings")
        state = copy.deepcopy(dict(state))
        self._iterations, self._finite, self._sum = state["iterations"], state["finite"], state["sum"]
        self._optimizer.restore(state["optimizer"])
        self._policy.restore(state["policy"])
        for layer, values in self.model.statistics.items():
            for name, value in values.items():
                value.copy_(state["statistics"][layer][name])
