"""How a network is trained, and what counts as a loss of accuracy: everything a validation is asked. Needs no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from spikepipe_sched.errors import is_number, require, require_one_of, require_share, require_whole, shown

Loss = Literal["rate", "step", "membrane", "count-mse"]
OptimizerName = Literal["adam", "sgd"]
RateSchedule = Literal["constant", "cosine", "step"]
Reset = Literal["soft", "hard"]
Surrogate = Literal["boxcar", "arctan", "fast-sigmoid", "sigmoid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronSettings:
    """What all neurons of a network share.

    The default width is the threshold, the usual ratio (arXiv:2007.05785 has 1 and 1); initial weights
    are drawn in units of the threshold (`parameters`).

    Parameters
    ----------
    decay
        Share b of the membrane that is left one time step later, 0..1; ``if`` keeps all of it.
    threshold
        Potential at which a neuron fires, > 0.
    reset
        What a spike does to the membrane of ``lif`` and ``if``: ``soft`` takes the threshold off,
        ``hard`` empties it.
    surrogate, surrogate_width
        What stands for the derivative of a spike, and its width in the unit of the threshold
        (`surrogates` has the formulas).

    Raises
    ------
    InputError
        If a value is out of range.
    """

    decay: float = 0.5
    threshold: float = 0.5
    reset: Reset = "soft"
    surrogate: Surrogate = "arctan"
    surrogate_width: float = 0.5

    def __post_init__(self) -> None:
        for field in ("decay", "threshold", "surrogate_width"):
            value = getattr(self, field)
            require(is_number(value), f"neurons: {field} must be a number, got {shown(value)}")
        require(0 <= self.decay <= 1, f"neurons: decay must be between 0 and 1, got {shown(self.decay)}")
        for field in ("threshold", "surrogate_width"):
            value = getattr(self, field)
            require(0 < value < float("inf"), f"neurons: {field} must be above 0 and finite, got {shown(value)}")
        require_one_of("neurons", "reset", self.reset, get_args(Reset))
        require_one_of("neurons", "surrogate", self.surrogate, get_args(Surrogate))


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """How weights are updated.

    Parameters
    ----------
    name
        ``sgd`` or ``adam``.
    rate
        Learning rate, > 0.
    momentum
        Of SGD; Adam's first decay (beta 1). At least 0, below 1.
    weight_decay
        Times the weights is added to the gradient, >= 0.
    schedule
        ``constant``; ``cosine``: half a cosine from the rate down to 0; ``step``: a tenth of it from half
        the updates on, a hundredth from three quarters on.
    warmup
        Updates over which the rate rises linearly to its full value, before the schedule begins.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    name: OptimizerName = "adam"
    rate: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: RateSchedule = "cosine"
    warmup: int = 0

    def __post_init__(self) -> None:
        require_one_of("optimizer", "name", self.name, get_args(OptimizerName))
        require_one_of("optimizer", "schedule", self.schedule, get_args(RateSchedule))
        for field in ("rate", "momentum", "weight_decay"):
            value = getattr(self, field)
            require(is_number(value) and math.isfinite(value), f"optimizer: {field} must be a finite number, got {shown(value)}")
        require(self.rate > 0, f"optimizer: rate must be above 0, got {self.rate}")
        require(0 <= self.momentum < 1, f"optimizer: momentum must be at least 0 and below 1, got {self.momentum}")
        require(self.weight_decay >= 0, f"optimizer: weight_decay must not be negative, got {self.weight_decay}")
        require_whole("optimizer", "warmup", self.warmup, 0)

    def rate_of(self, update: int, updates: int) -> float:
        """The learning rate of an update, counted from 0, out of ``updates``; of later ones that of the end."""
        if update < self.warmup:
            return self.rate * (update + 1) / self.warmup
        part = min(1.0, (update - self.warmup) / max(1, updates - self.warmup))
        if self.schedule == "cosine":
            return self.rate * (1 + math.cos(math.pi * part)) / 2
        if self.schedule == "step":
            return self.rate * (1.0 if part < 0.5 else 0.1 if part < 0.75 else 0.01)
        return self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSetup:
    """How a network is trained, and what counts as a loss of accuracy.

    Parameters
    ----------
    epochs
        Passes over the training data; the accuracy after the last one counts.
    seeds
        Runs of each arm. Seed s gives both arms the same initial weights, batches and coding noise.
    policy
        What is done about stale weights: stash, latest, 2bw, ema, spectrain, msnag, sc-lwp, pipemare or
        gap-aware; if not given, what the schedule was made for (stash or latest).
    margin
        Largest loss of accuracy that does not count as degradation [percentage points].
    tune
        Choose the learning rate of each arm from rate/9, rate/3, rate and 3 rate, on a fifth of the
        training data that is held out.
    batch
        Samples per update; if not given: those of the schedule's iteration (finite: of all
        micro-batches).
    coding
        How samples become time steps: pictures direct (if not given), poisson or latency; events binary
        (if not given) or counts.
    difficulty
        Of a generated data set [0..1].
    loss
        Cross-entropy of spike counts (rate), of every step (step) or of the mean potential
        (membrane), or the squared error of counts (count-mse).
    optimizer
        adam or sgd.
    rate
        Learning rate.
    momentum
        Of sgd; adam's first decay.
    weight_decay
        Of either optimizer.
    rate_schedule
        How the learning rate changes over the updates.
    warmup
        Updates over which the learning rate climbs from 0.
    decay
        Share of the membrane that is left one step later [0..1].
    threshold
        Potential at which a neuron fires.
    reset
        What a spike does to the membrane: take the threshold off (soft), or empty it (hard).
    surrogate
        What stands for the derivative of a spike.
    surrogate_width
        Its width, in the unit of the threshold.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    epochs: int = 20
    seeds: int = 5
    policy: str | None = None
    margin: float = 1.0
    tune: bool = False
    batch: int | None = None
    coding: str | None = None
    difficulty: float = 0.0
    loss: Loss = "rate"
    optimizer: OptimizerName = "adam"
    rate: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    rate_schedule: RateSchedule = "cosine"
    warmup: int = 0
    decay: float = 0.5
    threshold: float = 0.5
    reset: Reset = "soft"
    surrogate: Surrogate = "arctan"
    surrogate_width: float = 0.5

    def __post_init__(self) -> None:
        for name, low, high in (("epochs", 1, 10**6), ("seeds", 1, 10**4), ("warmup", 0, 10**9)):
            value = require_whole("validation", name, getattr(self, name), low)
            require(value <= high, f"validation: {name} must be at most {high}, got {shown(value)}")
            object.__setattr__(self, name, value)
        if self.batch is not None:
            object.__setattr__(self, "batch", require_whole("validation", "batch", self.batch, 1))
        for name in ("margin", "rate", "momentum", "weight_decay", "difficulty", "decay", "threshold", "surrogate_width"):
            value = getattr(self, name)
            require(is_number(value) and math.isfinite(value), f"validation: {name} must be a number, got {shown(value)}")
            object.__setattr__(self, name, float(value))
        require(0 < self.margin <= 100, f"validation: margin must be above 0 and at most 100 percentage points, got {self.margin:g}")
        for name in ("rate", "threshold", "surrogate_width"):  # far within what single precision holds, whatever they are multiplied by
            value = getattr(self, name)
            require(1e-9 <= value <= 1e9, f"validation: {name} must be between 1e-9 and 1e9, got {value:g}")
        require_share("validation", "difficulty", self.difficulty)
        require_one_of("validation", "loss", self.loss, get_args(Loss))
        self.neuron_settings()
        self.optimizer_settings()

    def neuron_settings(self) -> NeuronSettings:
        """What all neurons share."""
        return NeuronSettings(decay=self.decay, threshold=self.threshold, reset=self.reset, surrogate=self.surrogate, surrogate_width=self.surrogate_width)

    def optimizer_settings(self, rate: float | None = None) -> OptimizerSettings:
        """The optimizer, at another learning rate if one is given."""
        return OptimizerSettings(
            name=self.optimizer,
            rate=self.rate if rate is None else rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule=self.rate_schedule,
            warmup=self.warmup,
        )
