"""Network x TrainingSetup x Platform -> task graph (back-propagation through time).

For every trainable layer l and window w the graph holds the forward task F(l,w), the
activation gradient B(l,w), the weight gradient W(l,w), and one update U(l); E(l,w), the error at
the layer's synapses, is a task of its own only where it cannot ride on the B that feeds it.

Node attributes: ``kind`` (F, E, B, W, U), ``layer``, ``window`` (-1 for U), ``part``, ``cycles``
({processor class: cycles}), ``macs``, ``weight_bytes``, ``output_bytes``, ``stash_bytes``.
Edge attributes: ``tensors`` ({name: bytes}), ``bytes`` (their sum), ``lag``, and either
``distance`` (iterations the edge spans) or ``delay_layer`` (the layer whose gradient delay it is).
A tensor is known by its name: edges that carry the same one carry the same bytes, and a name
that several tasks produce is their sum (the weight gradient).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import networkx as nx

from spikepipe_sched.cost import Gemm, Pass, task_cycles
from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.network import INPUT, Network, Shape
from spikepipe_sched.platform import Platform
from spikepipe_sched.sites import Site, find_sites, spike_counts
from spikepipe_sched.step import callable_module
from spikepipe_sched.training import NEURON_OPS, TrainingSetup

TaskGraph: TypeAlias = "nx.DiGraph[str]"


def task_name(kind: str, layer: str, window: int = -1) -> str:
    """``F(conv1,0)``, ``U(conv1)``."""
    return f"{kind}({layer})" if window < 0 else f"{kind}({layer},{window})"


def byte_count(elements: int, bits: int) -> int:
    """Bytes that hold ``elements`` values of ``bits`` bits, packed."""
    return -(-elements * bits // 8)


def lower(network: Network, setup: TrainingSetup, platform: Platform) -> TaskGraph:
    """The task graph of one iteration, annotated with cycles and bytes.

    Raises
    ------
    InputError
        If the windows do not fit the time steps or the network cannot be lowered.
    """
    steps = setup.window_steps(network.time_steps)
    builder = _Builder(network, setup, platform, steps)
    for site in builder.sites.values():
        builder.forward(site)
    for site in reversed(builder.sites.values()):
        if site.needs_error:
            builder.backward(site)
    graph = builder.finish()

    def inside(source: str, target: str) -> bool:
        return graph.edges[source, target].get("distance") == 0

    intra: TaskGraph = nx.subgraph_view(graph, filter_edge=inside)
    if not nx.is_directed_acyclic_graph(intra):  # a defect of the lowering, never of the input
        loop = [str(edge) for edge in nx.find_cycle(intra)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
        raise SpikepipeError(f"lowering '{network.name}' made a cycle inside an iteration: {', '.join(loop)}")
    return graph


class _Builder:
    """Adds the tasks and edges of one layer at a time."""

    def __init__(self, network: Network, setup: TrainingSetup, platform: Platform, steps: tuple[int, ...]) -> None:
        self.network, self.setup, self.platform, self.steps = network, setup, platform, steps
        self.shapes = network.shapes()
        self.parameters = network.parameters()
        self.sites = find_sites(network)
        self.spikes = spike_counts(network)
        self.graph: TaskGraph = nx.DiGraph(
            name=network.name,
            samples_per_iteration=setup.batch,
            windows=setup.windows,
            cost_terms=("gemm: SCALE-Sim closed form", "vector unit: ceil(operations / lanes)"),
            layers=tuple(self.sites),
        )

    # -- sizes ---------------------------------------------------------------------------------

    def per_step(self, shape: Shape) -> int:
        """Values of ``shape`` in one time step of the batch."""
        return self.setup.batch * math.prod(shape)

    def bits(self, view: str) -> int:
        """Bits of one value of a layer's output, as its consumers read it.

        A spike has ``spike_bits``; a pool or an unweighted sum over c spikes counts up to c of them
        (an average is a sum with a constant factor), which takes fewer bits than a real value.
        """
        real, most = self.setup.activation_bits, self.spikes[view] * (2**self.setup.spike_bits - 1)
        return min(real, most.bit_length()) if most else real

    def gemms(self, site: Site, part: Pass, t: int) -> tuple[Gemm, ...]:
        """The matrix products of F, B or W over ``t`` time steps, recurrent weights aside."""
        layer, batch = site.layer, self.setup.batch
        if not layer.trainable:
            return ()
        source = self.shapes[layer.inputs[0]]
        if layer.kind == "linear":
            m, k, n, groups = batch * t, source[0], layer.out_features, 1
        else:
            pixels, area, groups = math.prod(site.shape[1:]), math.prod(layer.kernel), layer.groups
            m, k, n = batch * t * pixels, source[0] // groups * area, layer.out_channels // groups
            if part == "B" and self.setup.dgrad == "transposed":
                return (Gemm(m=batch * t * math.prod(source[1:]), k=n * area, n=source[0] // groups, count=groups),)
        order = {"F": (m, k, n), "B": (m, n, k), "W": (k, m, n)}[part]
        return (Gemm(m=order[0], k=order[1], n=order[2], count=groups),)

    def recurrent_gemms(self, site: Site, part: Pass, t: int) -> tuple[Gemm, ...]:
        """Step by step in F and E (the chain over time), in one product in W."""
        if not (site.layer.recurrence == "full"):
            return ()
        n, batch = site.layer.out_features, self.setup.batch
        return (Gemm(m=n, k=batch * t, n=n),) if part == "W" else (Gemm(m=batch, k=n, n=n, count=t),)

    # -- graph ---------------------------------------------------------------------------------

    def add(
        self, kind: str, site: Site, window: int, part: Pass, gemms: tuple[Gemm, ...], vector_ops: int, *, weight_bytes: int = 0, stash_bytes: int = 0
    ) -> str:
        name = task_name(kind, site.layer.name, window)
        self.graph.add_node(
            name,
            kind=kind,
            layer=site.layer.name,
            window=window,
            part="",
            cycles={c: task_cycles(gemms, vector_ops, array=array, part=part) for c, array in self.platform.classes.items()},
            macs=sum(g.macs for g in gemms),
            weight_bytes=weight_bytes,
            output_bytes=0,
            stash_bytes=stash_bytes,
        )
        return name

    def connect(self, source: str, target: str, tensors: dict[str, int], *, delay_layer: str | None = None, distance: int = 0) -> None:
        """Add an edge, or more tensors to the one that is there."""
        if self.graph.has_edge(source, target):
            self.graph.edges[source, target]["tensors"].update(tensors)
        elif delay_layer is not None:
            self.graph.add_edge(source, target, tensors=dict(tensors), delay_layer=delay_layer, lag=0)
        else:
            self.graph.add_edge(source, target, tensors=dict(tensors), distance=distance, lag=0)

    def read(self, site: Site, target: str, window: int, view: str) -> None:
        """``target`` reads the output of ``site`` in a window, as seen behind its pools."""
        size = byte_count(self.per_step(self.shapes[view]) * self.steps[window], self.bits(view))
        self.connect(task_name("F", site.layer.name, window), target, {f"{view}.out[{window}]": size})

    def read_weights(self, site: Site, target: str) -> None:
        name = site.layer.name
        self.connect(task_name("U", name), target, {f"{name}.weights": self.weight_bytes(site)}, delay_layer=name)

    def weight_bytes(self, site: Site) -> int:
        return byte_count(self.parameters[site.layer.name], self.setup.weight_bits)

    def forward(self, site: Site) -> None:
        """F(l,w) for every window, and U(l)."""
        layer, setup = site.layer, self.setup
        name, elements = layer.name, self.per_step(site.shape)
        if layer.trainable:
            weights = self.parameters[name]
            update = self.add("U", site, -1, "W", (), weights * setup.optimizer_ops, weight_bytes=self.weight_bytes(site))
            own = {f"{name}.weights": self.weight_bytes(site), f"{name}.optimizer": byte_count(weights * setup.optimizer_state, setup.weight_bits)}
            self.connect(update, update, {t: b for t, b in own.items() if b}, distance=1)
        for window, t in enumerate(self.steps):
            ops = elements * (NEURON_OPS[layer.neuron][0] + (len(layer.inputs) - 1 if layer.kind == "add" else 0))
            ops += sum(self.per_step(before) for _, before, _ in site.pools)
            gemms = self.gemms(site, "F", t) + self.recurrent_gemms(site, "F", t)
            stash = byte_count(elements * t, setup.membrane_bits) if layer.stateful else 0
            # A max pool keeps what it read, to find the maximum again.
            stash += sum(byte_count(self.per_step(before) * t, self.bits(name)) for kind, before, _ in site.pools if kind == "maxpool2d")
            task = self.add("F", site, window, "F", gemms, ops * t, weight_bytes=self.weight_bytes(site) if layer.trainable else 0, stash_bytes=stash)
            for producer, view in site.producers:
                if producer != INPUT:
                    self.read(self.sites[producer], task, window, view)
            if layer.stateful and window:
                state = byte_count(elements, setup.membrane_bits) + (byte_count(elements, setup.spike_bits) if (layer.recurrence == "full") else 0)
                self.connect(task_name("F", name, window - 1), task, {f"{name}.state[{window - 1}]": state})
            if layer.trainable:
                self.read_weights(site, task)

    def rides_on(self, site: Site) -> Site | None:
        """The consumer whose B carries this layer's E: its only one, if it has weights."""
        if len(site.consumers) != 1:
            return None
        consumer = self.sites[site.consumers[0]]
        return consumer if consumer.layer.trainable else None

    def carrier(self, site: Site, window: int) -> str:
        """The task that computes E(l,w)."""
        consumer = self.rides_on(site)
        return task_name("E", site.layer.name, window) if consumer is None else task_name("B", consumer.layer.name, window)

    def error_work(self, site: Site, t: int) -> tuple[tuple[Gemm, ...], int]:
        """Products and vector operations of E over ``t`` steps."""
        elements = self.per_step(site.shape)
        ops = elements * (NEURON_OPS[site.layer.neuron][1] + max(0, len(site.consumers) - 1))
        ops += sum(self.per_step(before) for _, before, _ in site.pools)
        if not site.consumers:
            ops += self.per_step(site.pools[-1][2] if site.pools else site.shape) * self.setup.loss_ops
        return self.recurrent_gemms(site, "B", t), ops * t

    def backward(self, site: Site) -> None:
        """E, B and W of one layer; its consumers have been through here before it."""
        layer, setup = site.layer, self.setup
        name, elements, last = layer.name, self.per_step(site.shape), len(self.steps) - 1
        if self.rides_on(site) is None:
            for window, t in enumerate(self.steps):
                gemms, ops = self.error_work(site, t)
                self.add("E", site, window, "B", gemms, ops)
        if site.has_dgrad and layer.trainable:
            (producer,) = [self.sites[p] for p, _ in site.producers]
            for window, t in enumerate(self.steps):
                gemms, ops = self.error_work(producer, t) if self.rides_on(producer) is site else ((), 0)
                self.add("B", site, window, "B", self.gemms(site, "B", t) + gemms, ops, weight_bytes=self.weight_bytes(site))
        for window, t in enumerate(self.steps):
            error = self.carrier(site, window)
            stash = self.graph.nodes[task_name("F", name, window)]["stash_bytes"]
            if stash:
                self.connect(task_name("F", name, window), error, {f"{name}.stash[{window}]": stash})
            if layer.stateful and window < last:
                self.connect(self.carrier(site, window + 1), error, {f"{name}.state_grad[{window + 1}]": byte_count(elements, setup.gradient_bits)})
            self.gather_gradients(site, error, window)
            if (layer.recurrence == "full"):
                self.read_weights(site, error)
            if layer.trainable:
                self.weight_tasks(site, error, window, t)

    def gather_gradients(self, site: Site, error: str, window: int) -> None:
        """What E reads: the gradients its consumers send back, or the loss."""
        t = self.steps[window]
        for consumer in (self.sites[c] for c in site.consumers):
            if consumer.layer.trainable:
                source = task_name("B", consumer.layer.name, window)
                view = next(v for p, v in consumer.producers if p == site.layer.name)
                tensor, shape = f"{consumer.layer.name}.input_grad[{window}]", self.shapes[view]
            elif consumer.layer.kind == "concat":  # only this producer's channels come back
                source = self.carrier(consumer, window)
                views = [v for p, v in consumer.producers if p == site.layer.name]
                for view in views[1:]:
                    size = byte_count(self.per_step(self.shapes[view]) * t, self.setup.gradient_bits)
                    self.connect(source, error, {f"{consumer.layer.name}.error.{view}[{window}]": size})
                tensor, shape = f"{consumer.layer.name}.error.{views[0]}[{window}]", self.shapes[views[0]]
            else:
                source = self.carrier(consumer, window)
                tensor, shape = f"{consumer.layer.name}.error[{window}]", consumer.shape
            if source != error:
                self.connect(source, error, {tensor: byte_count(self.per_step(shape) * t, self.setup.gradient_bits)})
        if not site.consumers:
            # The loss of a spike-rate code needs the outputs of all windows.
            for other in range(len(self.steps)) if self.setup.loss == "sequence" else (window,):
                self.read(site, error, other, site.layer.name)

    def weight_tasks(self, site: Site, error: str, window: int, t: int) -> None:
        """B's input, W(l,w) and its share of the gradient."""
        layer, name = site.layer, site.layer.name
        delta = {f"{name}.error[{window}]": byte_count(self.per_step(site.shape) * t, self.setup.gradient_bits)}
        if site.has_dgrad:
            dgrad = task_name("B", name, window)
            self.connect(error, dgrad, delta)
            self.read_weights(site, dgrad)
        gemms = self.gemms(site, "W", t) + self.recurrent_gemms(site, "W", t)
        task = self.add("W", site, window, "W", gemms, 0, weight_bytes=self.weight_bytes(site))
        self.connect(error, task, delta)
        for producer, view in site.producers:
            if producer != INPUT:
                self.read(self.sites[producer], task, window, view)
        if (layer.recurrence == "full"):
            self.read(site, task, window, name)
        gradient = byte_count(self.parameters[name], self.setup.gradient_bits)
        self.connect(task, task_name("U", name), {f"{name}.gradient": gradient})

    def finish(self) -> TaskGraph:
        """Sum the bytes of edges and outputs."""
        for _, _, data in self.graph.edges(data=True):
            data["bytes"] = sum(data["tensors"].values())
        for node, data in self.graph.nodes(data=True):
            produced: dict[str, int] = {}
            for _, _, edge in self.graph.out_edges(node, data=True):
                produced.update(edge["tensors"])
            data["output_bytes"] = sum(produced.values())
        return self.graph


callable_module(__name__, lower)
