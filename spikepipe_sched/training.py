"""How a network is trained: everything about the job that is neither network nor hardware."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from spikepipe_sched.errors import require, require_one_of, require_share, require_whole
from spikepipe_sched.layer import NeuronKind
from spikepipe_sched.network import Network

Loss = Literal["sequence", "step"]
InputGradient = Literal["col2im", "transposed"]
Membrane = Literal["store", "recompute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """Batch, windows, precisions and element-wise work.

    Parameters
    ----------
    batch
        Samples n of one iteration: a mini-batch (periodic) or a micro-batch (finite).
    windows
        Number of windows the T time steps are cut into, 1..T; window w covers the steps
        floor(w*T/windows) .. floor((w+1)*T/windows) - 1.
    loss
        ``sequence``: the error of every window needs the outputs of all of them (rate coding);
        ``step``: of its own window only.
    dgrad
        GEMM form of a convolution's B task: ``col2im``, or ``transposed`` (multiplies the zeros
        that a stride inserts).
    membrane
        What the backward pass needs of a neuron with a membrane: ``store`` it for every step, or
        ``recompute`` it, window by window, from the input spikes and the state before the window
        (memory against the cycles of a second forward pass).
    bptt_steps
        Length K of truncated back-propagation through time: no gradient passes from step jK back to
        step jK - 1; every jK must be the border of a window. None: the whole sequence.
    weight_bits, gradient_bits, membrane_bits, activation_bits
        Width of weights, of every gradient, of membrane potentials, and of real-valued outputs.
    spike_bits
        Width of a spike.
    spike_rate
        Spikes per neuron and time step, 0..1, where a layer names no rate of its own; it counts
        only where the cost model takes sparsity into account.
    error_density
        Measured share of nonzero values in the errors at the synapses of spiking layers, 0..1;
        likewise. A membrane carries errors back in time: the share is larger than that of nonzero
        surrogate gradients.
    optimizer_ops, optimizer_state
        Vector operations per weight and update (4: SGD with momentum, two multiply-adds), and
        extra values kept per weight (1: the momentum).
    loss_ops
        Vector operations per output value and time step for the loss and its derivative.
    """

    batch: int = 16
    windows: int = 1
    loss: Loss = "sequence"
    dgrad: InputGradient = "col2im"
    membrane: Membrane = "store"
    bptt_steps: int | None = None
    weight_bits: int = 16
    gradient_bits: int = 16
    membrane_bits: int = 16
    activation_bits: int = 16
    spike_bits: int = 1
    spike_rate: float = 0.1
    error_density: float = 1.0
    optimizer_ops: int = 4
    optimizer_state: int = 1
    loss_ops: int = 4

    def __post_init__(self) -> None:
        for field in ("batch", "windows", "weight_bits", "gradient_bits", "membrane_bits", "activation_bits", "spike_bits"):
            object.__setattr__(self, field, require_whole("training", field, getattr(self, field), 1))
        for field in ("optimizer_ops", "optimizer_state", "loss_ops"):
            object.__setattr__(self, field, require_whole("training", field, getattr(self, field), 0))
        for field in ("spike_rate", "error_density"):
            require_share("training", field, getattr(self, field))
            object.__setattr__(self, field, float(getattr(self, field)))
        if self.bptt_steps is not None:
            object.__setattr__(self, "bptt_steps", require_whole("training", "bptt_steps", self.bptt_steps, 1))
        for field, allowed in (("loss", Loss), ("dgrad", InputGradient), ("membrane", Membrane)):
            require_one_of("training", field, getattr(self, field), get_args(allowed))

    def window_steps(self, time_steps: int) -> tuple[int, ...]:
        """Number of time steps in each window; they sum to ``time_steps``."""
        require(self.windows <= time_steps, f"training: windows={self.windows} is more than the network's {time_steps} time steps; choose at most {time_steps}")
        borders = [w * time_steps // self.windows for w in range(self.windows + 1)]
        return tuple(b - a for a, b in pairwise(borders))


def default_windows(network: Network, wanted: int = 4) -> int:
    """``wanted`` windows, or what the network allows: no more than it has steps, one for each step where layers form a loop."""
    looped = any(layer.feedback for layer in network.layers)
    return network.time_steps if looped else min(wanted, network.time_steps)


#: Vector operations per neuron and time step, forward and backward. A LIF step multiplies by the
#: leak, adds the input, compares and resets (SATA's unit: add, compare, two selects; its backward
#: unit: two multiplies, two adds; Yin et al., arXiv:2204.05422); an IIR neuron has no reset, an IF
#: neuron no leak, a leaky integrator neither spike nor reset. Of parallel neurons only what is left
#: beside their products over time: a threshold and a comparison, a sigmoid in PSU and RPSU (one
#: operation of a table), and their derivatives.
NEURON_OPS: dict[NeuronKind, tuple[int, int]] = {
    "lif": (4, 4),
    "iir": (3, 3),
    "if": (3, 3),
    "li": (2, 2),
    "psu": (3, 4),
    "ipsu": (2, 3),
    "rpsu": (3, 4),
    "psn": (2, 3),
    "relu": (1, 1),
    "none": (0, 0),
}

#: The same for batch normalisation: forward two running sums, then a factor and an offset; backward
#: the two sums of the parameters' gradients and the three terms of the input's (Ioffe and Szegedy,
#: arXiv:1502.03167, section 3).
NORM_OPS: Final = (4, 7)

#: The same for a neuron's own recurrent weight: a multiplication and an addition; W takes as many.
SELF_OPS: Final = 2
