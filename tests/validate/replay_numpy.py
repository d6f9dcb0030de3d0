"""The arithmetic of the replay in NumPy: synapses, pools, neurons, losses and optimizers with their gradients by hand.

Activations are (T, n, *shape): time steps, samples, the layer's shape. Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.layer import Layer

Array = NDArray[np.float64]
Bundle = dict[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neurons:
    """What all neurons share; the formulas are those that `spikepipe_sched.validate.neurons` promises."""

    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["soft", "hard"] = "soft"
    surrogate: Literal["boxcar", "arctan", "fast-sigmoid", "sigmoid"] = "arctan"
    surrogate_width: float = 1.0

    def slope(self, potentials: Array) -> Array:
        """What the backward pass takes for the derivative of a spike."""
        x, w = potentials - self.threshold, self.surrogate_width
        if self.surrogate == "boxcar":
            return (np.abs(x) < w / 2) / w
        if self.surrogate == "arctan":
            return 1 / w / (1 + (np.pi * x / w) ** 2)
        if self.surrogate == "fast-sigmoid":
            return 1 / w / (1 + 2 * np.abs(x) / w) ** 2
        return 4 / w * _sigmoid(4 * x / w) * _sigmoid(-4 * x / w)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """SGD with momentum, or Adam; ``rates`` (J,) is the learning rate of every update."""

    name: Literal["sgd", "adam"]
    rates: tuple[float, ...]
    momentum: float = 0.9

    def initial(self, weights: Bundle) -> dict[str, Bundle]:
        """The state before the first update."""
        slots = ("momentum",) if self.name == "sgd" else ("mean", "square")
        return {slot: {name: np.zeros_like(value) for name, value in weights.items()} for slot in slots}

    def update(self, weights: Bundle, gradient: Bundle, state: dict[str, Bundle], number: int) -> tuple[Bundle, dict[str, Bundle]]:
        """New weights and state; updates count from 0."""
        rate = self.rates[number]
        if self.name == "sgd":
            momentum = {name: self.momentum * state["momentum"][name] + gradient[name] for name in weights}
            return {name: weights[name] - rate * momentum[name] for name in weights}, {"momentum": momentum}
        mean = {name: 0.9 * state["mean"][name] + 0.1 * gradient[name] for name in weights}
        square = {name: 0.999 * state["square"][name] + 0.001 * gradient[name] ** 2 for name in weights}
        first, second = 1 - 0.9 ** (number + 1), 1 - 0.999 ** (number + 1)
        return {name: weights[name] - rate * (mean[name] / first) / (np.sqrt(square[name] / second) + 1e-8) for name in weights}, {
            "mean": mean,
            "square": square,
        }


# -- images ------------------------------------------------------------------------------------------


def patches(images: Array, layer: Layer, fill: float = 0.0) -> Array:
    """(N, C, H, W) -> (N, C, kernel height, kernel width, H', W'): what each position of the kernel sees."""
    (ph, pw), (kh, kw), (sh, sw), (dh, dw) = layer.padding, layer.kernel, layer.stride, layer.dilation
    padded = np.pad(images, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    rows, columns = (
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, dilation, kernel, stride in zip(padded.shape[2:], (dh, dw), (kh, kw), (sh, sw), strict=True)
    )
    seen = np.empty((*images.shape[:2], kh, kw, rows, columns))
    for i in range(kh):
        for j in range(kw):
            seen[:, :, i, j] = padded[:, :, i * dh : i * dh + sh * rows : sh, j * dw : j * dw + sw * columns : sw]
    return seen


def unpatch(gradient: Array, layer: Layer, height: int, width: int) -> Array:
    """The adjoint of `patches`: every pixel collects what its readers send back."""
    (ph, pw), (sh, sw), (dh, dw) = layer.padding, layer.stride, layer.dilation
    kh, kw, rows, columns = gradient.shape[2:]
    padded = np.zeros((*gradient.shape[:2], height + 2 * ph, width + 2 * pw))
    for i in range(kh):
        for j in range(kw):
            padded[:, :, i * dh : i * dh + sh * rows : sh, j * dw : j * dw + sw * columns : sw] += gradient[:, :, i, j]
    return padded[:, :, ph : ph + height, pw : pw + width]


def _unrolled(x: Array, layer: Layer) -> Array:
    """(T, n, C, H, W) -> (groups, T n H' W', C / groups * kernel)."""
    seen = patches(x.reshape(-1, *x.shape[2:]), layer)
    n, channels, kh, kw, rows, columns = seen.shape
    grouped = seen.reshape(n, layer.groups, channels // layer.groups * kh * kw, rows * columns)
    return grouped.transpose(1, 0, 3, 2).reshape(layer.groups, n * rows * columns, -1)


def _by_group(y: Array, layer: Layer) -> Array:
    """(T, n, O, H', W') -> (groups, T n H' W', O / groups)."""
    flat = y.reshape(-1, layer.groups, y.shape[2] // layer.groups, y.shape[3] * y.shape[4])
    return flat.transpose(1, 0, 3, 2).reshape(layer.groups, -1, flat.shape[2])


# -- synapses ----------------------------------------------------------------------------------------


def synapses(layer: Layer, inputs: list[Array], weights: Bundle, shape: tuple[int, ...]) -> Array:
    """Currents of a layer of output shape ``shape``."""
    x = inputs[0]
    if layer.kind == "linear":
        currents = x @ weights["weight"].T
    elif layer.kind == "conv2d":
        kernels = weights["weight"].reshape(layer.groups, layer.out_channels // layer.groups, -1)
        by_group = _unrolled(x, layer) @ kernels.transpose(0, 2, 1)
        grouped = by_group.reshape(layer.groups, x.shape[0] * x.shape[1], shape[1] * shape[2], -1)
        currents = grouped.transpose(1, 0, 3, 2).reshape(*x.shape[:2], *shape)
    elif layer.kind == "concat":
        return np.concatenate(inputs, axis=2)
    else:
        return sum(inputs[1:], x)
    bias = weights.get("bias")
    return currents if bias is None else currents + (bias[:, None, None] if layer.kind == "conv2d" else bias)


def input_gradient(layer: Layer, error: Array, weights: Bundle, before: tuple[int, ...]) -> Array:
    """Gradient of the input, of shape ``before``, of a layer with weights."""
    if layer.kind == "linear":
        return error @ weights["weight"]
    kernels = weights["weight"].reshape(layer.groups, layer.out_channels // layer.groups, -1)
    grouped = _by_group(error, layer) @ kernels
    rows, columns = error.shape[3:]
    seen = grouped.reshape(layer.groups, -1, rows * columns, grouped.shape[2]).transpose(1, 0, 3, 2)
    images = unpatch(seen.reshape(-1, before[0], *layer.kernel, rows, columns), layer, *before[1:])
    return images.reshape(*error.shape[:2], *before)


def weight_gradient(layer: Layer, x: Array, error: Array, weight_shape: tuple[int, ...]) -> Bundle:
    """Gradients of weight and bias."""
    if layer.kind == "linear":
        rows = error.reshape(-1, error.shape[-1])
        weight, bias = rows.T @ x.reshape(-1, x.shape[-1]), rows.sum(axis=0)
    else:
        weight = _by_group(error, layer).transpose(0, 2, 1) @ _unrolled(x, layer)
        bias = error.sum(axis=(0, 1, 3, 4))
    return {"weight": weight.reshape(weight_shape)} | ({"bias": bias} if layer.bias else {})


def normalise(layer: Layer, currents: Array, norm: Bundle) -> Array:
    """Batch normalisation of every channel, over all steps and samples given."""
    axes, shape = _channels(layer, currents)
    mean, variance = currents.mean(axis=axes, keepdims=True), currents.var(axis=axes, keepdims=True)
    return norm["scale"].reshape(shape) * (currents - mean) / np.sqrt(variance + 1e-5) + norm["shift"].reshape(shape)


def normalise_gradient(layer: Layer, error: Array, currents: Array, norm: Bundle) -> tuple[Array, Bundle]:
    """Gradients of the currents, and of scale and shift."""
    axes, shape = _channels(layer, currents)
    mean, deviation = currents.mean(axis=axes, keepdims=True), np.sqrt(currents.var(axis=axes, keepdims=True) + 1e-5)
    normal = (currents - mean) / deviation
    inner = error - error.mean(axis=axes, keepdims=True) - normal * (error * normal).mean(axis=axes, keepdims=True)
    return norm["scale"].reshape(shape) / deviation * inner, {"scale": (error * normal).sum(axis=axes), "shift": error.sum(axis=axes)}


def _channels(layer: Layer, currents: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All axes but that of the channels, and the shape that lays values of channels along theirs."""
    channel = 2 if layer.kind == "conv2d" else currents.ndim - 1
    return tuple(a for a in range(currents.ndim) if a != channel), tuple(-1 if a == channel else 1 for a in range(currents.ndim))


# -- layers without weights -----------------------------------------------------------------------------


def view(layer: Layer, x: Array, shape: tuple[int, ...]) -> Array:
    """The output of a pool or a flatten, of shape ``shape``."""
    if layer.kind == "flatten":
        return x.reshape(*x.shape[:2], *shape)
    seen = patches(x.reshape(-1, *x.shape[2:]), layer, -np.inf if layer.kind == "maxpool2d" else 0.0)
    pooled = {"avgpool2d": np.mean, "sumpool2d": np.sum, "maxpool2d": np.max}[layer.kind](seen, axis=(2, 3))
    return pooled.reshape(*x.shape[:2], *shape)


def view_gradient(layer: Layer, gradient: Array, before: tuple[int, ...], x: Array | None) -> Array:
    """Gradient of what `view` read, of shape ``before``; a max pool needs that as ``x``."""
    if layer.kind == "flatten":
        return gradient.reshape(*gradient.shape[:2], *before)
    images, area = gradient.reshape(-1, *gradient.shape[2:]), layer.kernel[0] * layer.kernel[1]
    if x is None:
        share = 1 / area if layer.kind == "avgpool2d" else 1.0
        seen = np.broadcast_to(images[:, :, None, None] * share, (*images.shape[:2], *layer.kernel, *images.shape[2:]))
    else:  # the first of equal pixels
        read = patches(x.reshape(-1, *before), layer, -np.inf)
        flat = read.reshape(*read.shape[:2], area, *read.shape[4:])
        chosen = np.arange(area)[:, None, None] == flat.argmax(axis=2)[:, :, None]
        seen = (chosen * images[:, :, None]).reshape(read.shape)
    return unpatch(seen, layer, *before[1:]).reshape(*gradient.shape[:2], *before)


def overlap(ours: int, theirs: int) -> Array:
    """(ours, theirs) Share that each of their time steps has in each of ours, of a sample cut into so many."""
    moments = np.arange(math.lcm(ours, theirs)) + 0.5
    here, there = (np.floor(moments * steps / len(moments)) == np.arange(steps)[:, None] for steps in (ours, theirs))
    return here.astype(float) @ there.T * ours / len(moments)


# -- neurons -------------------------------------------------------------------------------------------


def _decay(layer: Layer, neurons: Neurons) -> float:
    return 1.0 if layer.neuron == "if" else neurons.decay


def _recur(layer: Layer, values: Array, recurrent: Array | None, *, back: bool = False) -> Array | float:
    if recurrent is None:
        return 0.0
    return values * recurrent if layer.recurrence == "self" else values @ (recurrent if back else recurrent.T)


def chain(layer: Layer, currents: Array, state: Array, last: Array, recurrent: Array | None, neurons: Neurons) -> tuple[Array, Array, Array]:
    """Outputs, potentials and the last membrane of neurons that start from ``state`` and the outputs ``last``."""
    outputs, potentials = np.empty_like(currents), np.empty_like(currents)
    for t, current in enumerate(currents):
        potentials[t] = h = _decay(layer, neurons) * state + current + _recur(layer, last, recurrent)
        outputs[t] = last = h if layer.neuron == "li" else (h >= neurons.threshold).astype(float)
        state = h
        if layer.neuron in ("lif", "if"):
            state = h - neurons.threshold * last if neurons.reset == "soft" else h * (1 - last)
    return outputs, potentials, state


def chain_gradient(layer: Layer, gradient: Array, potentials: Array | None, later: Array | None, recurrent: Array | None, neurons: Neurons) -> Array:
    """Gradient of the currents; ``later`` is that of the first step behind the window, ``potentials`` None: a leaky integrator."""
    found = np.empty_like(gradient)
    for t in reversed(range(len(gradient))):
        at_output = gradient[t] + (0.0 if later is None else _recur(layer, later, recurrent, back=True))
        carried = 0.0 if later is None else _decay(layer, neurons) * later
        if potentials is None:
            found[t] = at_output + carried
        else:
            kept = 1 - (potentials[t] >= neurons.threshold) if layer.neuron in ("lif", "if") and neurons.reset == "hard" else 1.0
            found[t] = at_output * neurons.slope(potentials[t]) + carried * kept
        later = found[t]
    return found


# Parallel neurons: potentials P = M X + c - B sig(D), with D = M' X + c', for the currents X of all steps. A decays,
# B is what the resets of the steps before would have taken off.


def over_time(layer: Layer, currents: Array, learned: Bundle, neurons: Neurons) -> tuple[Array, Array | None]:
    """Potentials (T, n, *shape) and the argument D of the sigmoid, if there is one."""
    direct, inner, reset = _products(layer, len(currents), learned.get("temporal"), neurons)
    offset = learned["offset"][: len(currents)].reshape(-1, *[1] * (currents.ndim - 1)) if learned else 0.0
    if inner is None:
        return np.tensordot(direct, currents, axes=1) + offset, None
    argument = np.tensordot(inner, currents, axes=1) + offset
    return np.tensordot(direct, currents, axes=1) - np.tensordot(reset, _sigmoid(argument), axes=1), argument


def sigmoid_slope(argument: Array) -> Array:
    """Derivative of the logistic function."""
    return _sigmoid(argument) * (1 - _sigmoid(argument))


def over_time_gradient(layer: Layer, errors: Array, slopes: Array | None, temporal: Array | None, neurons: Neurons) -> tuple[Array, Array]:
    """Gradients of the currents, and of what the learned product puts out; ``temporal`` of the steps of ``errors`` alone."""
    direct, inner, reset = _products(layer, len(errors), temporal, neurons)
    if inner is None:
        return np.tensordot(direct.T, errors, axes=1), errors
    assert slopes is not None
    inside = -slopes * np.tensordot(reset.T, errors, axes=1)
    return np.tensordot(direct.T, errors, axes=1) + np.tensordot(inner.T, inside, axes=1), inside


def _products(layer: Layer, steps: int, temporal: Array | None, neurons: Neurons) -> tuple[Array, Array | None, Array]:
    """M, M' and B over the first ``steps`` steps."""
    lags = np.arange(steps)[:, None] - np.arange(steps)
    decay = np.where(lags >= 0, neurons.decay ** np.maximum(lags, 0), 0.0)
    reset = neurons.threshold * np.tril(decay, -1)
    if temporal is None:
        return decay, decay, reset
    temporal = temporal[:steps, :steps]
    if layer.neuron == "rpsu":
        return decay, np.tril(temporal), reset
    return temporal if layer.neuron == "psn" else np.tril(temporal) - reset, None, reset


def _sigmoid(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2


# -- losses ---------------------------------------------------------------------------------------------


def loss_gradient(name: str, outputs: Array, labels: NDArray[np.int64], *, spiking: bool) -> tuple[float, Array]:
    """Loss, and its gradient, of the outputs (T, n, classes) of all steps; the mean over the samples."""
    steps, n, classes = outputs.shape
    wanted = np.eye(classes)[labels]
    if name == "step":
        losses, errors = _cross_entropy(outputs, wanted)
        return float(losses.mean()), errors / (n * steps)
    if name == "count-mse":
        difference = outputs.mean(axis=0) - wanted
        return float((difference**2).mean()), np.broadcast_to(2 * difference / (n * classes * steps), outputs.shape).copy()
    scale = 1.0 if spiking else 1 / steps
    losses, errors = _cross_entropy(outputs.sum(axis=0) * scale, wanted)
    return float(losses.mean()), np.broadcast_to(errors * scale / n, outputs.shape).copy()


def _cross_entropy(logits: Array, wanted: Array) -> tuple[Array, Array]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    share = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    return -(wanted * np.log(share)).sum(axis=-1), share - wanted


def size_of(value: Any) -> int:
    """Bytes of an array, or of all arrays in a bundle of bundles."""
    return sum(map(size_of, value.values())) if isinstance(value, dict) else value.nbytes
