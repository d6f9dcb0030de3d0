"""What each task of a lowered network computes, from the tensors that its edges bring and nothing else.

A task is a function from an inbox {tensor: value} to an outbox {tensor: value}; the tensors have the
names that the lowering gives them. What a task asks for and no edge brings is a `KeyError`, which
names it: the graph would be wrong. The names of tasks and tensors are all that is taken over from
the lowering; layers, windows and who reads whom are found here from the network alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.layer import INPUT, LEARNED, POOLS, RESHAPES, SPIKING, STATEFUL, Layer
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup
from tests.validate.replay_numpy import (
    Array,
    Bundle,
    Neurons,
    chain,
    chain_gradient,
    input_gradient,
    loss_gradient,
    normalise,
    normalise_gradient,
    over_time,
    over_time_gradient,
    overlap,
    sigmoid_slope,
    synapses,
    view,
    view_gradient,
    weight_gradient,
)

#: Parameters by the tensor that carries them.
CARRIED = {"weights": ("weight", "bias"), "recurrent": ("recurrent",), "norm": ("scale", "shift"), "temporal": ("temporal", "offset")}


class Inbox:
    """What a task's edges bring; remembers what it read. A summed tensor has one value per producer."""

    def __init__(self, tensors: Mapping[str, list[Any]]) -> None:
        self.tensors, self.read = tensors, set[str]()

    def all(self, name: str) -> list[Any]:
        """The values of all producers, in the order of their windows."""
        self.read.add(name)
        return self.tensors[name]

    def __getitem__(self, name: str) -> Any:
        (value,) = self.all(name)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One iteration's samples: inputs (T, n, *shape) and labels (n,)."""

    inputs: Array
    labels: NDArray[np.int64]


class Arithmetic:
    """The tasks of one network.

    Parameters
    ----------
    own_errors
        Layers whose E is a task of its own; that of others rides on the B of their only reader.
    samples
        Samples whose mean the loss is: those of all micro-batches of an update.
    """

    def __init__(self, network: Network, setup: TrainingSetup, neurons: Neurons, loss: str, *, own_errors: set[str], samples: int) -> None:
        self.network, self.setup, self.neurons, self.loss, self.samples = network, setup, neurons, loss, samples
        self.own_errors, self.shapes = own_errors, network.shapes()
        self.margin = np.inf  # least distance of a potential from the threshold
        self.losses: list[float] = []

    # -- who reads whom ------------------------------------------------------------------------------

    def trunk(self, name: str) -> str:
        """The layer with tasks (or the input) that a name is a view of."""
        while name != INPUT and self.network.layer(name).kind in POOLS | RESHAPES:
            name = self.network.layer(name).inputs[0]
        return name

    def moved(self, name: str) -> str:
        """The name under which a tensor travels: a reshape moves no data."""
        while name != INPUT and self.network.layer(name).kind in RESHAPES:
            name = self.network.layer(name).inputs[0]
        return name

    def views(self, name: str) -> list[Layer]:
        """Pools and reshapes behind a layer, in order."""
        return [layer for layer in self.network.layers if layer.kind in POOLS | RESHAPES and self.trunk(layer.name) == name]

    def readers(self, names: set[str]) -> list[tuple[Layer, str]]:
        """Layers with tasks that read any of these names, and which."""
        return [(layer, name) for layer in self.network.layers if layer.kind not in POOLS | RESHAPES for name in layer.inputs if name in names]

    def steps(self, layer: Layer, window: int) -> slice:
        """Time steps of a window of a layer."""
        total, count = self.network.steps(layer), self.setup.windows
        return slice(window * total // count, (window + 1) * total // count)

    def windows(self, layer: Layer) -> list[int]:
        """Windows of a layer that hold any of its steps."""
        return [w for w in range(self.setup.windows) if self.steps(layer, w).start < self.steps(layer, w).stop]

    def before(self, layer: Layer, window: int) -> int | None:
        """The window before; None: there is none."""
        return max((w for w in self.windows(layer) if w < window), default=None)

    def after(self, layer: Layer, window: int) -> int | None:
        """The window behind, if gradients pass from there to this one."""
        behind = min((w for w in self.windows(layer) if w > window), default=None)
        return None if behind is None or self._segment(layer, behind) != self._segment(layer, window) else behind

    def _segment(self, layer: Layer, window: int) -> int:
        """Which stretch of truncated back-propagation a window lies in."""
        length = self.setup.bptt_steps
        return 0 if length is None else self.steps(layer, window).start * self.network.time_steps // (self.network.steps(layer) * length)

    def meeting(self, ours: Layer, window: int, theirs: Layer, *, late: bool) -> dict[int, Array]:
        """Windows of another layer that ours reads, and the share (our steps, their steps) that each of their steps has in ours; ``late``: in our step before."""
        shares = overlap(self.network.steps(ours), self.network.steps(theirs))
        if late:
            shares = np.concatenate([np.zeros_like(shares[:1]), shares[:-1]])
        shares = shares[self.steps(ours, window)]
        found = {w: shares[:, self.steps(theirs, w)] for w in self.windows(theirs)}
        return {w: share for w, share in found.items() if share.any()}

    # -- forward ---------------------------------------------------------------------------------------

    def inputs(self, layer: Layer, window: int, inbox: Inbox, batch: Batch) -> list[Array]:
        """What the synapses of a layer read in a window."""
        found: list[Array] = []
        for name in layer.inputs:
            source, shape = self.trunk(name), self.shapes[name]
            if source == INPUT:
                shares = overlap(self.network.steps(layer), self.network.time_steps)[self.steps(layer, window)]
                found.append(np.tensordot(shares, self._shown(name, batch.inputs), axes=1))
            else:
                meeting, rows = self.meeting(layer, window, self.network.layer(source), late=name in layer.feedback), self.steps(layer, window)
                parts = [(share, inbox[f"{self.moved(name)}.out[{w}]"]) for w, share in meeting.items()]
                nothing = np.zeros((rows.stop - rows.start, len(batch.labels), *shape))
                found.append(np.sum([nothing, *(np.tensordot(share, x.reshape(*x.shape[:2], *shape), axes=1) for share, x in parts)], axis=0))
        return found

    def _shown(self, name: str, x: Array) -> Array:
        if name == INPUT:
            return x
        layer = self.network.layer(name)
        return view(layer, self._shown(layer.inputs[0], x), self.shapes[name])

    def forward(self, layer: Layer, window: int, inbox: Inbox, batch: Batch) -> dict[str, Any]:
        """F: the outputs, what the next window needs, and what the backward pass needs."""
        currents, kept = self._currents(layer, window, inbox, batch)
        recurrent = inbox[f"{layer.name}.recurrent"]["recurrent"] if layer.recurrence != "none" else None
        return self._fired(layer, window, currents, kept, recurrent, inbox)

    def _currents(self, layer: Layer, window: int, inbox: Inbox, batch: Batch) -> tuple[Array, dict[str, Any]]:
        """What reaches the neurons, and what normalisation keeps."""
        weights = inbox[f"{layer.name}.weights"] if layer.trainable else {}
        currents = synapses(layer, self.inputs(layer, window, inbox, batch), weights, self.shapes[layer.name])
        return (currents, {}) if layer.norm == "none" else (normalise(layer, currents, inbox[f"{layer.name}.norm"]), {"currents": currents})

    def _fired(self, layer: Layer, window: int, currents: Array, kept: dict[str, Any], recurrent: Array | None, inbox: Inbox) -> dict[str, Any]:
        name, sent, potentials = layer.name, dict[str, Any](), currents
        if layer.neuron in STATEFUL:
            nothing = np.zeros_like(currents[0])
            before = self.before(layer, window)
            state = nothing if before is None else inbox[f"{name}.state[{before}]"]
            last = nothing if before is None or recurrent is None else inbox[f"{name}.last[{before}]"]
            outputs, potentials, sent[f"{name}.state[{window}]"] = chain(layer, currents, state, last, recurrent, self.neurons)
            sent[f"{name}.last[{window}]"] = outputs[-1]
        elif layer.parallel:
            outputs = (currents >= self.neurons.threshold).astype(float)
        else:
            assert layer.neuron in ("none", "relu"), f"the replay knows no {layer.neuron}"
            outputs = np.maximum(currents, 0) if layer.neuron == "relu" else currents
        if layer.neuron in SPIKING:
            self.margin = min(self.margin, float(np.abs(potentials - self.neurons.threshold).min()))
        values = {name: outputs}
        for behind in self.views(name):
            values[behind.name] = view(behind, values[behind.inputs[0]], self.shapes[behind.name])
        sent |= {f"{key}.out[{window}]": value for key, value in values.items()}
        kept |= {"potentials": potentials} if layer.neuron in SPIKING else {"open": np.packbits(currents > 0)} if layer.neuron == "relu" else {}
        kept |= {behind.name: values[behind.inputs[0]] for behind in self.views(name) if behind.kind == "maxpool2d"}
        return sent | {f"{name}.stash[{window}]": kept}

    def currents(self, layer: Layer, window: int, inbox: Inbox, batch: Batch) -> dict[str, Any]:
        """F at the synapses of a parallel neuron."""
        currents, kept = self._currents(layer, window, inbox, batch)
        return {f"{layer.name}.current[{window}]": currents, f"{layer.name}.norm_stash[{window}]": kept}

    def products(self, layer: Layer, window: int, inbox: Inbox) -> dict[str, Any]:
        """F of a parallel neuron: a window takes in the currents of those before it, or of all."""
        rows, learned = self.steps(layer, window), self._temporal(layer, inbox)
        potentials, argument = over_time(layer, self._seen(layer, window, inbox), learned, self.neurons)
        return self._fired(layer, window, potentials[rows], {} if argument is None else {"argument": argument[rows]}, None, inbox)

    def _temporal(self, layer: Layer, inbox: Inbox) -> Bundle:
        return inbox[f"{layer.name}.temporal"] if layer.neuron in LEARNED else {}

    def _seen(self, layer: Layer, window: int, inbox: Inbox) -> Array:
        """Currents up to the window, of a `psn` of all windows."""
        return np.concatenate([inbox[f"{layer.name}.current[{w}]"] for w in self.windows(layer) if w <= window or layer.neuron == "psn"])

    # -- backward ----------------------------------------------------------------------------------------

    def error(self, layer: Layer, window: int, inbox: Inbox, batch: Batch, given: Array | None = None) -> dict[str, Any]:
        """E: from the readers' gradients (``given`` where E rides on the only reader's B) and the loss to the neurons' currents."""
        name, steps, samples = layer.name, self.steps(layer, window), len(batch.labels)
        views = [name, *(behind.name for behind in self.views(name))]
        gradients = {key: np.zeros((steps.stop - steps.start, samples, *self.shapes[key])) for key in views}
        for reader, key in self.readers(set(views)):
            late = key in reader.feedback
            for w in self.windows(reader):
                share = self.meeting(reader, w, layer, late=late).get(window)
                if share is not None and not (late and self._segment(reader, w) != self._segment(layer, window)):
                    came = self._returned(reader, key, w, inbox) if given is None else given
                    gradients[key] += np.tensordot(share.T, came.reshape(-1, samples, *self.shapes[key]), axes=1)
        for key in self._outputs(views):
            gradients[key] += self._lost(layer, key, window, inbox, batch).reshape(gradients[key].shape)
        if layer.neuron in STATEFUL and layer.neuron in SPIKING and self.setup.membrane == "recompute":
            stash = self.forward(layer, window, inbox, batch)[f"{name}.stash[{window}]"]
        else:
            normalised = layer.norm != "none" and not layer.parallel
            keeps = layer.neuron in SPIKING or layer.neuron == "relu" or normalised or any(behind.kind == "maxpool2d" for behind in self.views(name))
            stash = inbox[f"{name}.stash[{window}]"] if keeps else {}
        for behind in reversed(self.views(name)):
            before = behind.inputs[0]
            gradients[before] += view_gradient(behind, gradients[behind.name], self.shapes[before], stash.get(behind.name))
        return self._neuron_error(layer, window, gradients[name], stash, inbox)

    def _neuron_error(self, layer: Layer, window: int, gradient: Array, stash: Mapping[str, Any], inbox: Inbox) -> dict[str, Any]:
        name = layer.name
        if layer.neuron in STATEFUL:
            recurrent = inbox[f"{name}.recurrent"]["recurrent"] if layer.recurrence != "none" else None
            after = self.after(layer, window)
            later = None if after is None else inbox[f"{name}.state_grad[{after}]"]
            error = chain_gradient(layer, gradient, stash.get("potentials"), later, recurrent, self.neurons)
        elif layer.parallel:
            slope = {"slope": sigmoid_slope(stash["argument"])} if "argument" in stash else {}
            return {f"{name}.neuron_error[{window}]": {"error": gradient * self.neurons.slope(stash["potentials"]), **slope}}
        else:
            error = gradient * np.unpackbits(stash["open"], count=gradient.size).reshape(gradient.shape) if layer.neuron == "relu" else gradient
        sent: dict[str, Any] = {f"{name}.state_grad[{window}]": error[0], **self._synapse_error(layer, window, error, stash, inbox)}
        error = sent[f"{name}.error[{window}]"]
        if layer.kind == "concat":
            borders = np.cumsum([self.shapes[key][0] for key in layer.inputs])[:-1]
            sent |= {f"{name}.error.{key}[{window}]": part for key, part in zip(layer.inputs, np.split(error, borders, axis=2), strict=True)}
        return sent

    def _returned(self, reader: Layer, key: str, window: int, inbox: Inbox) -> Array:
        """What a reader sends back for its input called ``key``."""
        if reader.trainable:
            return inbox[f"{reader.name}.input_grad[{window}]"]
        return inbox[f"{reader.name}.error.{key}[{window}]" if reader.kind == "concat" else f"{reader.name}.error[{window}]"]

    def _outputs(self, views: list[str]) -> list[str]:
        """Views that leave the network."""
        read = {name for layer in self.network.layers for name in layer.inputs}
        return [name for name in views if name not in read]

    def _lost(self, layer: Layer, key: str, window: int, inbox: Inbox, batch: Batch) -> Array:
        assert self.loss != "membrane" or layer.neuron not in SPIKING, "no edge brings a window the potentials of the others"
        windows = self.windows(layer) if self.setup.loss == "sequence" else (window,)
        outputs = np.concatenate([inbox[f"{self.moved(key)}.out[{w}]"] for w in windows])
        outputs = outputs.reshape(*outputs.shape[:2], -1)
        loss, gradient = loss_gradient(self.loss, outputs, batch.labels, spiking=layer.neuron in SPIKING)
        if self.setup.loss == "step":  # the mean over the steps of all windows
            return gradient * len(outputs) / self.network.steps(layer) * len(batch.labels) / self.samples
        if self.before(layer, window) is None:
            self.losses.append(loss)
        return gradient[self.steps(layer, window)] * len(batch.labels) / self.samples

    def _synapse_error(self, layer: Layer, window: int, error: Array, stash: Mapping[str, Any], inbox: Inbox) -> dict[str, Any]:
        """From the currents back through normalisation."""
        if layer.norm == "none":
            return {f"{layer.name}.error[{window}]": error}
        error, norm = normalise_gradient(layer, error, stash["currents"], inbox[f"{layer.name}.norm"])
        return {f"{layer.name}.error[{window}]": error, f"{layer.name}.norm_gradient[{window}]": norm}

    def earlier_error(self, layer: Layer, window: int, inbox: Inbox) -> dict[str, Any]:
        """E of a parallel neuron from its potentials back to its currents: `products`, mirrored."""
        name = layer.name
        error, _ = self._to_currents(layer, window, inbox, self._temporal(layer, inbox).get("temporal"))
        return self._synapse_error(layer, window, error, inbox[f"{name}.norm_stash[{window}]"] if layer.norm != "none" else {}, inbox)

    def _to_currents(self, layer: Layer, window: int, inbox: Inbox, temporal: Array | None) -> tuple[Array, Array]:
        """`over_time_gradient` at the steps of a window, from the errors of its segment: of the window and those behind it, of a `psn` of all."""
        together = [w for w in self.windows(layer) if self._segment(layer, w) == self._segment(layer, window) and (w >= window or layer.neuron == "psn")]
        read, rows = [inbox[f"{layer.name}.neuron_error[{w}]"] for w in together], self.steps(layer, window)
        steps = slice(self.steps(layer, together[0]).start, self.steps(layer, together[-1]).stop)
        slopes = np.concatenate([part["slope"] for part in read]) if "slope" in read[0] else None
        own = None if temporal is None else temporal[steps, steps]
        found = over_time_gradient(layer, np.concatenate([part["error"] for part in read]), slopes, own, self.neurons)
        mine = slice(rows.start - steps.start, rows.stop - steps.start)
        return found[0][mine], found[1][mine]

    def input_error(self, layer: Layer, window: int, inbox: Inbox, batch: Batch) -> dict[str, Any]:
        """B, and the E of the producer that rides on it."""
        before = layer.inputs[0]
        gradient = input_gradient(layer, inbox[f"{layer.name}.error[{window}]"], inbox[f"{layer.name}.weights"], self.shapes[before])
        producer = self.trunk(before)
        if producer in self.own_errors:
            return {f"{layer.name}.input_grad[{window}]": gradient}
        return self.error(self.network.layer(producer), window, inbox, batch, given=gradient)

    # -- weights -------------------------------------------------------------------------------------------

    def gradient(self, layer: Layer, window: int, inbox: Inbox, batch: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """W at the synapses."""
        name, error = layer.name, inbox[f"{layer.name}.error[{window}]"]
        (x,) = self.inputs(layer, window, inbox, batch)
        found = weight_gradient(layer, x, error, shapes["weight"])
        if layer.recurrence != "none":
            before = self.before(layer, window)
            first = np.zeros_like(error[:1]) if before is None else inbox[f"{name}.last[{before}]"][None]
            read, size = first if len(error) == 1 else np.concatenate([first, inbox[f"{name}.out[{window}]"][:-1]]), error.shape[-1]
            found["recurrent"] = error.reshape(-1, size).T @ read.reshape(-1, size) if layer.recurrence == "full" else (error * read).sum(axis=(0, 1))
        if layer.norm != "none":
            found |= inbox[f"{name}.norm_gradient[{window}]"]
        return {f"{name}.gradient": found}

    def temporal_gradient(self, layer: Layer, window: int, inbox: Inbox) -> dict[str, Any]:
        """W of the weights over time: the rows of the window's steps."""
        name, total, rows = layer.name, self.network.steps(layer), self.steps(layer, window)
        if layer.neuron == "rpsu":  # the sigmoid's errors come from the steps after it
            _, error = self._to_currents(layer, window, inbox, np.zeros((total, total)))
        else:
            error = inbox[f"{name}.neuron_error[{window}]"]["error"]
        currents = self._seen(layer, window, inbox)
        temporal, offset = np.zeros((total, total)), np.zeros(total)
        temporal[rows, : len(currents)] = error.reshape(len(error), -1) @ currents.reshape(len(currents), -1).T
        offset[rows] = error.reshape(len(error), -1).sum(axis=1)
        return {f"{name}.temporal_gradient": {"temporal": temporal if layer.neuron == "psn" else np.tril(temporal), "offset": offset}}
