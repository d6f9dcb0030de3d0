"""What waits for what, one time step at a time: design rules written out without windows or fused tasks.

Events: ``("f", layer, step)``, ``("e", layer, step)`` (the error at the layer's synapses),
``("w", layer, step)`` and ``("u", layer)``; `needs` lists what each must wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import networkx as nx

from spikepipe_sched.layer import INPUT, PARALLEL, POOLS, RESHAPES, STATEFUL, Layer
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup

Event = tuple[str, str, int]


def trunk(network: Network, name: str) -> str:
    """The layer with tasks that a name stands for."""
    while name != INPUT and network.layer(name).kind in POOLS | RESHAPES:
        name = network.layer(name).inputs[0]
    return name


def interval(network: Network, layer: Layer, step: int) -> tuple[Fraction, Fraction]:
    steps = network.steps(layer)
    return Fraction(step, steps), Fraction(step + 1, steps)


def readings(network: Network, layer: Layer, step: int) -> Iterator[tuple[Layer, int]]:
    """What the synapses of a layer read at a step."""
    for name in layer.inputs:
        source = trunk(network, name)
        if source == INPUT:
            continue
        producer, late = network.layer(source), name in layer.feedback
        if late and not step:
            continue
        begin, end = interval(network, layer, step - late)
        for other in range(network.steps(producer)):
            a, b = interval(network, producer, other)
            if a < end and begin < b:
                yield producer, other


def trained_upstream(network: Network) -> set[str]:
    """Layers that have weights, or something upstream that has, around loops as well."""
    found = set(network.parameters())
    while True:
        more = {
            layer.name
            for layer in network.layers
            if layer.kind not in POOLS | RESHAPES and any(trunk(network, name) in found for name in layer.inputs) and layer.name not in found
        }
        if not more:
            return found
        found |= more


def read_outs(network: Network, sites: list[Layer]) -> set[str]:
    """Layers that nothing reads; layers read as feedback alone, if no layer that nothing reads is downstream of them."""
    graph = nx.DiGraph([(trunk(network, name), layer.name) for layer in sites for name in layer.inputs])
    ends = {layer.name for layer in sites if not list(graph.successors(layer.name))}
    ahead = {trunk(network, name) for layer in sites for name in layer.inputs if name not in layer.feedback}
    return ends | {layer.name for layer in sites if layer.name not in ahead and not nx.descendants(graph, layer.name) & ends}


def segment(network: Network, setup: TrainingSetup, layer: Layer, step: int) -> int:
    if setup.bptt_steps is None:
        return 0
    return int(interval(network, layer, step)[0] * network.time_steps / setup.bptt_steps)


def needs(network: Network, setup: TrainingSetup) -> dict[Event, set[Event]]:
    """Every event of one iteration with what it must wait for."""
    sites = [layer for layer in network.layers if layer.kind not in POOLS | RESHAPES]
    trained, parameters = trained_upstream(network), network.parameters()
    outputs = read_outs(network, sites)
    waits: dict[Event, set[Event]] = {}
    for layer in sites:
        name, steps = layer.name, range(network.steps(layer))
        for t in steps:
            waits["f", name, t] = {("f", p.name, s) for p, s in readings(network, layer, t)}
            if layer.neuron in STATEFUL and t:
                waits["f", name, t].add(("f", name, t - 1))
            if layer.neuron in PARALLEL:  # the currents of these steps, which the synapses' own inputs stand for
                reach = steps if layer.neuron == "psn" else range(t + 1)
                waits["f", name, t] |= {("f", p.name, s) for other in reach for p, s in readings(network, layer, other)}
        if name not in trained:
            continue
        for t in steps:
            mine = segment(network, setup, layer, t)
            keeps = layer.neuron in (STATEFUL - {"li"}) | PARALLEL | {"relu"} or layer.norm == "batch"
            span = [t]
            if layer.neuron in PARALLEL:
                span = [s for s in (steps if layer.neuron == "psn" else range(t, len(steps))) if segment(network, setup, layer, s) == mine]
            error = {("f", name, s) for s in span} if keeps else set[Event]()
            if layer.neuron in STATEFUL and t + 1 in steps and segment(network, setup, layer, t + 1) == mine:
                error.add(("e", name, t + 1))
            for consumer in sites:
                for s in range(network.steps(consumer)):
                    for source, at in readings(network, consumer, s):
                        looped = any(trunk(network, x) == name and x in consumer.feedback for x in consumer.inputs)
                        cut = looped and segment(network, setup, consumer, s) != segment(network, setup, layer, at)
                        if source is layer and at in span and not cut:
                            error.add(("e", consumer.name, s))
                            if consumer.kind == "matmul":  # the derivative is the other operand
                                error |= {("f", p.name, q) for p, q in readings(network, consumer, s) if p is not layer}
            if name in outputs:
                error |= {("f", name, s) for s in (steps if setup.loss == "sequence" else span)}
            waits["e", name, t] = error
            if name in parameters and layer.trainable:
                waits["w", name, t] = {("e", name, t)} | {("f", p.name, s) for p, s in readings(network, layer, t)}
                if layer.recurrence != "none" and t:
                    waits["w", name, t].add(("f", name, t - 1))
    return waits
