"""The layers of a network that have tasks, with the weightless layers that join them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spikepipe_sched.errors import require
from spikepipe_sched.layer import INPUT, MERGES, POOLS, RESHAPES, SPIKING, Layer, Shape
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """One input of a site: the site that makes it (or ``"input"``), and the view of it that is read.

    A view is the name of the tensor a consumer reads: the layer's own, or that of a pool behind it
    (a flatten moves no data). ``feedback``: it is read as it was one time step before.
    """

    site: str
    view: str
    feedback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool that joined its producer: its kind, the view it reads, and the shape of that."""

    kind: str
    view: str
    shape: Shape


@dataclass(slots=True)
class Site:
    """A layer that has tasks, with the weightless layers that joined it."""

    layer: Layer
    shape: Shape
    producers: list[Producer] = field(default_factory=list[Producer])
    pools: list[Pool] = field(default_factory=list["Pool"])
    consumers: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])  # views that leave the network: the loss reads them
    has_weights: bool = False
    needs_error: bool = False  # it, or something upstream, has weights
    has_dgrad: bool = False  # something upstream has weights

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name


def find_sites(network: Network) -> dict[str, Site]:
    """Fold pools and flattens into their producers; those behind the input join the data loader."""
    shapes, parameters = network.shapes(), network.parameters()
    sites: dict[str, Site] = {}
    view_of: dict[str, tuple[str, str]] = {INPUT: (INPUT, INPUT)}
    for layer in network.layers:
        if layer.kind in POOLS or layer.kind in RESHAPES:
            site, view = view_of[layer.inputs[0]]
            view_of[layer.name] = (site, view if layer.kind in RESHAPES else layer.name)
            if layer.kind in POOLS and site != INPUT:
                sites[site].pools.append(Pool(kind=layer.kind, view=view, shape=shapes[layer.inputs[0]]))
        else:
            sites[layer.name] = Site(layer=layer, shape=shapes[layer.name], has_weights=layer.name in parameters)
            view_of[layer.name] = (layer.name, layer.name)
    for site in sites.values():
        site.producers = [Producer(site=view_of[name][0], view=view_of[name][1], feedback=name in site.layer.feedback) for name in site.layer.inputs]
        only_input = all(producer.site == INPUT for producer in site.producers)
        require(not (site.layer.kind in MERGES and only_input), f"layer '{site.name}': merges nothing but the network's input; do that before the network")
        for producer in site.producers:
            if producer.site != INPUT and site.name not in sites[producer.site].consumers:
                sites[producer.site].consumers.append(site.name)
    for name in read_outs(network):
        site, view = view_of[name]
        if site != INPUT:
            sites[site].outputs.append(view)
    _mark_errors(sites)
    return sites


def read_outs(network: Network) -> list[str]:
    """The layers whose output leaves the network.

    Those that no layer reads; and those that are read as feedback alone, unless what they feed
    leads to one that no layer reads: then they only close a loop.
    """
    ordinary = {name for layer in network.layers for name in layer.inputs if name not in layer.feedback}
    fed_back = {name for layer in network.layers for name in layer.feedback} - ordinary
    ends = [layer.name for layer in network.layers if layer.name not in ordinary and layer.name not in fed_back]
    leading, waiting = set(ends), list(ends)
    inputs = {layer.name: layer.inputs for layer in network.layers}
    while waiting:
        before = [name for name in inputs[waiting.pop()] if name != INPUT and name not in leading]
        leading.update(before)
        waiting += before
    return [layer.name for layer in network.layers if layer.name in ends or (layer.name in fed_back and layer.name not in leading)]


def _mark_errors(sites: dict[str, Site]) -> None:
    """Spread ``needs_error`` from the weights downstream, around loops as well."""
    reached = [site for site in sites.values() if site.has_weights]
    for site in reached:
        site.needs_error = True
    while reached:
        site = reached.pop()
        for consumer in (sites[name] for name in site.consumers):
            consumer.has_dgrad = True
            if not consumer.needs_error:
                consumer.needs_error = True
                reached.append(consumer)


def spike_counts(network: Network) -> dict[str, int]:
    """Most spikes that one value of each layer's output sums up; 0 where it is a real value.

    Nothing reads the network's input over a link, but sums may.
    """
    shapes, counts = network.shapes(), {INPUT: 0 if network.coding == "direct" else 1}
    for layer in network.layers:
        before = [counts[name] if name in counts else _looped(network.layer(name)) for name in layer.inputs]
        if layer.neuron in SPIKING:
            counts[layer.name] = 1
        elif layer.trainable or layer.neuron != "none" or 0 in before:
            counts[layer.name] = 0
        elif layer.kind == "add":
            counts[layer.name] = sum(before)
        elif layer.kind == "matmul":
            left = shapes[layer.inputs[0]]
            counts[layer.name] = math.prod(before) * (left[1] // layer.heads if layer.transpose else left[2])
        else:
            counts[layer.name] = max(before) * _pooled(layer, shapes)
    return counts


def _looped(layer: Layer) -> int:
    """Spikes in what a loop brings back, before the loop's own counts are known: one, or a real value."""
    return 1 if layer.neuron in SPIKING else 0


def _pooled(layer: Layer, shapes: dict[str, Shape]) -> int:
    """Values that one output of a pool sums up (a mean is a sum with a constant factor)."""
    if layer.kind == "mean":
        return shapes[layer.inputs[0]][0]
    return math.prod(layer.kernel) if layer.kind in ("avgpool2d", "sumpool2d") else 1


def spike_rates(network: Network, setup: TrainingSetup) -> dict[str, float]:
    """Expected share of nonzero values in each layer's output at one time step.

    Neurons spike independently at their own rate: a sum or pool over c values with rates p_i is
    nonzero with probability 1 - prod(1 - p_i). Real values count as nonzero.
    """
    shapes = network.shapes()
    rates = {INPUT: 1.0 if network.coding == "direct" else setup.spike_rate}
    for layer in network.layers:
        before = [rates.get(name, 1.0) for name in layer.inputs]
        if layer.spike_rate is not None:
            rates[layer.name] = layer.spike_rate
        elif layer.neuron in SPIKING:
            rates[layer.name] = setup.spike_rate
        elif layer.trainable or layer.neuron != "none" or layer.kind == "matmul":
            rates[layer.name] = 1.0
        elif layer.kind == "add":
            rates[layer.name] = 1.0 - math.prod(1.0 - rate for rate in before)
        else:
            area = math.prod(layer.kernel) if layer.kind == "maxpool2d" else _pooled(layer, shapes)
            rates[layer.name] = 1.0 - (1.0 - max(before)) ** area
    return rates
