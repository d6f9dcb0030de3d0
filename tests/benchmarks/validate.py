"""How fast the validator trains, against snnTorch and SpikingJelly on the same machine; see `main`.

SpikingJelly is left out where it is not installed. Its package asks for another build of PyTorch, so:
``pip install --no-deps spikingjelly loguru tqdm``.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable

import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn

from spikepipe_sched import Layer, Network
from spikepipe_sched.validate.model import Model
from spikepipe_sched.validate.neurons import NeuronSettings, fire
from spikepipe_sched.validate.trainer import Trainer
from spikepipe_sched.versions import WeightDelays

BATCH, WIDTHS = 64, (64, 128, 128, 10)
NEURONS = NeuronSettings(decay=0.5, threshold=1.0, surrogate_width=1.0)  # what the frameworks' defaults come to
SPIKINGJELLY = importlib.util.find_spec("spikingjelly") is not None

#: Every variant is called so often in turn, so many rounds; its quickest call counts, as other work on the machine only slows calls down.
CALLS, ROUNDS = 4, 30


def snntorch_neuron() -> nn.Module:
    """A LIF neuron of snnTorch: soft reset, arctan surrogate of width 1."""
    return snntorch.Leaky(beta=NEURONS.decay, threshold=NEURONS.threshold, spike_grad=surrogate.atan(alpha=2.0), reset_mechanism="subtract")


def spikingjelly_neuron(mode: str) -> nn.Module:
    """The same of SpikingJelly; mode ``s`` takes one step after the other, ``m`` all of them."""
    from spikingjelly.activation_based import neuron  # pyright: ignore[reportMissingImports]

    return neuron.LIFNode(tau=1 / (1 - NEURONS.decay), decay_input=False, v_threshold=NEURONS.threshold, v_reset=None, detach_reset=True, step_mode=mode)


def net(make: Callable[[], nn.Module]) -> nn.ModuleList:
    """Fully connected layers with neurons between them."""
    torch.manual_seed(0)
    modules = list[nn.Module]()
    for before, after in itertools.pairwise(WIDTHS):
        modules += [nn.Linear(before, after), make()]
    return nn.ModuleList(modules[:-1])


def run_snntorch(modules: nn.ModuleList, inputs: Tensor) -> Tensor:
    """Step by step, as snnTorch's tutorials do."""
    states: dict[nn.Module, Tensor] = {module: module.init_leaky() for module in modules if isinstance(module, snntorch.Leaky)}
    outputs = list[Tensor]()
    for values in inputs:
        for module in modules:
            if module in states:
                values, states[module] = module(values, states[module])  # noqa: PLW2901 - from layer to layer
            else:
                values = module(values)  # noqa: PLW2901
        outputs.append(values)
    return torch.stack(outputs)


def run_spikingjelly(modules: nn.ModuleList, inputs: Tensor, mode: str) -> Tensor:
    """All steps of a layer at once (``m``), or all layers of a step (``s``)."""
    from spikingjelly.activation_based import functional  # pyright: ignore[reportMissingImports]

    functional.reset_net(modules)
    outputs = list[Tensor]()
    for values in (inputs,) if mode == "m" else inputs:
        for module in modules:
            values = module(values)  # noqa: PLW2901 - from layer to layer
        outputs.append(values)
    return outputs[0] if mode == "m" else torch.stack(outputs)


MODES = {"s": "SpikingJelly step by step", "m": "SpikingJelly multi-step"}


def layer_variants(steps: int) -> dict[str, Callable[[], object]]:
    """One LIF layer of 128 neurons, forward and backward."""
    draw = torch.Generator().manual_seed(0)
    currents = torch.rand(steps, BATCH, WIDTHS[1], generator=draw).requires_grad_()
    errors = torch.randn(currents.shape, generator=draw)

    def variant(run: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(run(currents), currents, errors)

    leaky = nn.ModuleList([snntorch_neuron()])
    variants = {"spikepipe_sched": variant(lambda values: fire(values, "lif", NEURONS)[0]), "snnTorch": variant(lambda values: run_snntorch(leaky, values))}
    if SPIKINGJELLY:
        for mode, name in MODES.items():
            neurons = nn.ModuleList([spikingjelly_neuron(mode)])
            variants[name] = variant(lambda values, neurons=neurons, mode=mode: run_spikingjelly(neurons, values, mode))
    return variants


def training_variants(steps: int) -> dict[str, Callable[[], object]]:
    """An iteration of a fully connected net: forward, loss, backward, Adam."""
    draw = torch.Generator().manual_seed(0)
    inputs = (torch.rand(steps, BATCH, WIDTHS[0], generator=draw) < 0.3).float()
    labels = torch.randint(WIDTHS[-1], (BATCH,), generator=draw)
    variants = dict[str, Callable[[], object]]()
    layers = tuple(
        Layer(name=f"fc{i}", kind="linear", inputs=(f"fc{i - 1}" if i else "input",), out_features=width, neuron="lif" if i < 2 else "none", bias=True)
        for i, width in enumerate(WIDTHS[1:])
    )
    network = Network(name="fc", input_shape=WIDTHS[:1], time_steps=steps, layers=layers)
    for staleness, name in ((0, "spikepipe_sched"), (2, "spikepipe_sched, weights 2 updates old")):
        model = Model(network, NEURONS)
        trainer = Trainer(model, WeightDelays.uniform(model.layers, staleness), updates=10**6, seed=0)
        variants[name] = lambda trainer=trainer: trainer.step(inputs, labels)

    def variant(modules: nn.ModuleList, run: Callable[[nn.ModuleList, Tensor], Tensor]) -> Callable[[], object]:
        optimizer = torch.optim.Adam(modules.parameters(), lr=2e-3)

        def iteration() -> float:
            optimizer.zero_grad()
            value = nn.functional.cross_entropy(run(modules, inputs).mean(0), labels)
            value.backward()
            optimizer.step()
            return value.item()

        return iteration

    variants["snnTorch"] = variant(net(snntorch_neuron), run_snntorch)
    if SPIKINGJELLY:
        for mode, name in MODES.items():
            neurons = net(lambda mode=mode: spikingjelly_neuron(mode))
            variants[name] = variant(neurons, lambda modules, values, mode=mode: run_spikingjelly(modules, values, mode))
    return variants


def compare(title: str, variants: dict[str, Callable[[], object]]) -> None:
    """Print the CPU milliseconds of every variant, measured in turn, and how often the first fits into the others."""
    least = dict.fromkeys(variants, float("inf"))
    for _ in range(ROUNDS):
        for name, run in variants.items():
            for _ in range(CALLS):
                began = time.process_time()
                run()
                least[name] = min(least[name], time.process_time() - began)
    own = least["spikepipe_sched"]
    print(title)
    for name, seconds in least.items():
        print(f"  {name:40s} {1e3 * seconds:8.2f} ms {seconds / own:6.1f}x", flush=True)


def main() -> None:
    """A LIF layer and a training iteration, CPU milliseconds on one thread, and the ratio to this project's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if not SPIKINGJELLY:
        print("SpikingJelly is not installed: compared with snnTorch alone (pip install --no-deps spikingjelly loguru tqdm)")
    for steps in (8, 25):
        compare(f"a LIF layer, forward and backward, T={steps}, batch {BATCH}, 128 neurons", layer_variants(steps))
    for steps in (8, 25):
        compare(f"a training iteration, FC {'-'.join(map(str, WIDTHS))}, T={steps}, batch {BATCH}", training_variants(steps))
    torch.set_num_threads(threads)
