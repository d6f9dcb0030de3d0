"""The layers of a network that have tasks, with the weightless layers that join them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spikepipe_sched.errors import require
from spikepipe_sched.layer import INPUT, MERGES, POOLS, RESHAPES, SPIKING, Layer, Shape
from spikepipe_sched.network import Network


@dataclass(slots=True)
class Site:
    """A layer that has tasks, with the weightless layers that joined it.

    A view is the name of the tensor a consumer reads: the layer's own, or that of a pool behind it
    (a flatten moves no data).
    """

    layer: Layer
    shape: Shape
    producers: list[tuple[str, str]]  # (site or "input", view) per input
    pools: list[tuple[str, Shape, Shape]] = field(default_factory=list[tuple[str, Shape, Shape]])  # (kind, in, out)
    consumers: list[str] = field(default_factory=list[str])
    needs_error: bool = False  # it, or something upstream, is trainable
    has_dgrad: bool = False  # something upstream is trainable


def find_sites(network: Network) -> dict[str, Site]:
    """Fold pools and flattens into their producers; those behind the input join the data loader."""
    shapes = network.shapes()
    sites: dict[str, Site] = {}
    view_of: dict[str, tuple[str, str]] = {INPUT: (INPUT, INPUT)}
    for layer in network.layers:
        if layer.kind in POOLS or layer.kind in RESHAPES:
            site, view = view_of[layer.inputs[0]]
            view_of[layer.name] = (site, view if layer.kind in RESHAPES else layer.name)
            if layer.kind in POOLS and site != INPUT:
                sites[site].pools.append((layer.kind, shapes[layer.inputs[0]], shapes[layer.name]))
            continue
        sites[layer.name] = Site(layer=layer, shape=shapes[layer.name], producers=[view_of[name] for name in layer.inputs])
        view_of[layer.name] = (layer.name, layer.name)
        require(
            not (layer.kind in MERGES and all(s == INPUT for s, _ in sites[layer.name].producers)),
            f"layer '{layer.name}': merges nothing but the network's input; do that before the network",
        )
    for site in sites.values():
        upstream = [sites[name] for name, _ in site.producers if name != INPUT]
        site.has_dgrad = any(up.needs_error for up in upstream)
        site.needs_error = site.layer.trainable or site.has_dgrad
        for name, _ in site.producers:
            if name == INPUT:
                continue
            if site.layer.name not in sites[name].consumers:
                sites[name].consumers.append(site.layer.name)
    return sites


def spike_counts(network: Network) -> dict[str, int]:
    """Most spikes that one value of each layer's output sums up; 0 where it is a real value.

    The network's input is taken to be spikes. Nothing reads it over a link, but sums may.
    """
    counts = {INPUT: 1}
    for layer in network.layers:
        before = [counts[name] for name in layer.inputs]
        if layer.neuron in SPIKING:
            counts[layer.name] = 1
        elif layer.trainable or layer.neuron != "none" or 0 in before:
            counts[layer.name] = 0
        elif layer.kind == "add":
            counts[layer.name] = sum(before)
        else:
            counts[layer.name] = max(before) * (math.prod(layer.kernel) if layer.kind in ("avgpool2d", "sumpool2d") else 1)
    return counts
