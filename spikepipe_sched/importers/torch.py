"""Live PyTorch modules -> `Network`: plain PyTorch, snnTorch and SpikingJelly.

The module runs once on an example (`torch_record`); what it did is folded over time
(`torch_graph`) and read as layers here. A loop over time steps inside the module gives T as the
number of calls of each layer; multi-step modules give it as the first dimension of what they take.
A layer called once in such a network is an artificial one: it has one time step. A batch
normalisation belongs to the layer with weights in front of it, as does a neuron. What is read from
the step before is feedback. Read-outs over time and what else follows the last layer belong to the
loss.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from spikepipe_sched.errors import InputError, require, require_whole
from spikepipe_sched.importers.torch_fold import Folded
from spikepipe_sched.importers.torch_layers import Layers
from spikepipe_sched.importers.warning import RepairWarning
from spikepipe_sched.network import INPUT, Network

if TYPE_CHECKING:
    import torch


def from_torch(module: torch.nn.Module, example_input: torch.Tensor | tuple[Any, ...], *, name: str | None = None, time_steps: int | None = None) -> Network:
    """Read a PyTorch module as a network.

    A copy of the module that shares its weights runs once, in evaluation mode and without
    gradients; the module itself, its mode and its neurons' states stay as they are.

    Parameters
    ----------
    module
        Made of layers of PyTorch, snnTorch and SpikingJelly and of functions that add,
        concatenate, pool or rearrange between them.
    example_input
        What the module is called with: a tensor with a batch dimension (a batch of one or two is
        enough), of shape (batch, ...) or (time, batch, ...) as the module takes it; or a tuple of
        arguments, the first tensor of which is the input. Its values tell the coding of the input:
        ``spikes`` if all are 0 or 1, else ``direct``; a placeholder such as zeros says ``spikes``,
        so give a real sample, or set it behind: ``dataclasses.replace(network, coding="direct")``.
        Where a module stacks the steps of its
        loop for a layer behind it, the batch must not be T.
    name
        Name of the network; the module's class if not given.
    time_steps
        Number T of time steps, in place of the module's own; needed where the module makes a
        single step and the loop over time is outside of it.

    Raises
    ------
    InputError
        If the run fails or something is not supported; the message names the path and class of
        the module.

    Warns
    -----
    RepairWarning
        For everything that is left out or read otherwise than it is written.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    >>> [(layer.kind, layer.neuron) for layer in from_torch(net, torch.zeros(1, 16)).layers]
    [('linear', 'relu'), ('linear', 'none')]
    """
    title = name or type(module).__name__
    require(hasattr(module, "named_modules"), f"from_torch takes a torch.nn.Module, not {module!r}")
    if time_steps is not None:
        require_whole(f"module '{title}'", "time_steps", time_steps, 1)
    try:
        from spikepipe_sched.importers.torch_record import record
    except ImportError:
        raise InputError(f"module '{title}': reading modules needs PyTorch; run `pip install -c constraints.txt '.[validate]'` in the repository") from None
    arguments = example_input if isinstance(example_input, tuple) else (example_input,)
    recording = record(module, arguments, title)
    folded = Folded(recording, title)
    made = Layers(folded)
    single = next((path for path, calls in folded.calls.items() if calls.role == "neuron"), None) if folded.time_steps == 1 and time_steps is None else None
    if single is not None:
        raise InputError(f"{folded.where(single)}: is called for a single step; give time_steps, the number of steps of the loop outside")
    network = Network(
        name=title,
        summary=f"PyTorch module, {len(folded.calls)} layers and neurons",
        source=f"{type(module).__module__}.{type(module).__qualname__}",
        input_shape=made.natural[INPUT],
        time_steps=folded.time_steps if time_steps is None else time_steps,
        layers=made.layers(),
        coding="spikes" if recording.binary else "direct",
    )
    for layer, shape in network.shapes().items():
        run = made.natural[layer]
        require(shape == run, f"layer '{layer}': has shape {list(shape)} here and {list(run)} in the run; something in between was not seen")
    for message in folded.repairs:
        warnings.warn(message, RepairWarning, stacklevel=2)
    return network
