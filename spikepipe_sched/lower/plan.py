"""What the passes of the lowering look up: sites, shapes, sizes in bytes, windows, names of tasks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

from spikepipe_sched.cost import Work
from spikepipe_sched.errors import require
from spikepipe_sched.layer import SPIKING, Shape
from spikepipe_sched.lower.loops import check_loop, is_loop, parts
from spikepipe_sched.lower.sites import Producer, Site, find_sites, spike_counts, spike_rates
from spikepipe_sched.lower.windows import Window, cut_time, meeting, segments
from spikepipe_sched.network import Network, temporal_parameters
from spikepipe_sched.training import TrainingSetup


def task_name(kind: str, layer: str, window: int = -1, part: str = "") -> str:
    """``F(conv1,0)``, ``F(conv1,0,synapse)``, ``U(conv1)``."""
    return f"{kind}({layer})" if window < 0 else f"{kind}({layer},{window},{part})" if part else f"{kind}({layer},{window})"


def byte_count(elements: int, bits: int) -> int:
    """Bytes that hold ``elements`` values of ``bits`` bits, packed."""
    return -(-elements * bits // 8)


class Plan:
    """Look-up tables of one lowering."""

    def __init__(self, network: Network, setup: TrainingSetup) -> None:
        self.network, self.setup = network, setup
        _ = setup.window_steps(network.time_steps)  # refuses more windows than steps
        self.shapes = network.shapes()
        self.sites = find_sites(network)
        self.counts = spike_counts(network)
        self.windows = {name: cut_time(network.steps(site.layer), setup.windows) for name, site in self.sites.items()}
        self.segments = {name: segments(network, setup, site.layer, self.windows[name]) for name, site in self.sites.items()}
        self.parameters = network.parameters()
        self.weight_counts = {name: self._weight_counts(site) for name, site in self.sites.items()}
        bits = setup.weight_bits
        self.weight_bytes = {name: {part: byte_count(n, bits) for part, n in counts.items()} for name, counts in self.weight_counts.items()}
        self.hosts = {name: self._host(site) for name, site in self.sites.items()}
        self._met: dict[tuple[int, int, int], dict[int, tuple[Window, ...]]] = {}
        self._made: dict[tuple[object, ...], tuple[Work, ...]] = {}
        self._equal: dict[tuple[Work, ...], tuple[Work, ...]] = {}
        if any(layer.feedback for layer in network.layers):
            for loop in filter(is_loop, parts(network)):
                where = check_loop(network, loop)
                require(setup.windows == network.time_steps, f"{where}, which needs windows of one step: choose windows={network.time_steps}")

    @cached_property
    def rates(self) -> dict[str, float]:
        """Share of nonzero values by view."""
        return spike_rates(self.network, self.setup)

    # -- sizes ---------------------------------------------------------------------------------

    def per_step(self, shape: Shape) -> int:
        """Values of ``shape`` in one time step of the batch."""
        return self.setup.batch * math.prod(shape)

    def bits(self, view: str) -> int:
        """Bits of one value of a layer's output, as its consumers read it.

        A spike has ``spike_bits``; a pool or an unweighted sum over c spikes counts up to c of them
        (an average is a sum with a constant factor), which takes fewer bits than a real value.
        """
        real, most = self.setup.activation_bits, self.counts[view] * (2**self.setup.spike_bits - 1)
        return min(real, most.bit_length()) if most else real

    def _weight_counts(self, site: Site) -> dict[str, int]:
        """Trained values of a layer, by the tasks that read them.

        ``weights`` (F and B), ``recurrent`` and ``norm`` (F and E), ``temporal`` (the T x T weights of a
        parallel neuron); none of them zero.
        """
        layer = site.layer
        temporal = temporal_parameters(layer, self.network.steps(layer))
        recurrent = {"none": 0, "full": layer.out_features**2, "self": math.prod(site.shape)}[layer.recurrence]
        norm = 2 * site.shape[-1 if layer.kind == "linear" else 0] if layer.norm == "batch" else 0
        counts = {"weights": self.parameters.get(site.name, 0) - temporal - recurrent - norm, "recurrent": recurrent, "norm": norm, "temporal": temporal}
        return {part: count for part, count in counts.items() if count}

    def stash_bytes(self, site: Site, steps: int) -> int:
        """What F keeps for E of the same window, the states of parallel neurons aside."""
        layer, setup, elements = site.layer, self.setup, self.per_step(site.shape) * steps
        if self.recomputes(site):
            return 0
        # A leaky integrator is linear: its error needs no membrane.
        stash = byte_count(elements, setup.membrane_bits) if self.keeps_membrane(site) else byte_count(elements, 1) if layer.neuron == "relu" else 0
        if layer.norm == "batch" and not layer.parallel:
            stash += byte_count(elements, setup.activation_bits)
        # A max pool keeps what it read, to find the maximum again.
        return stash + sum(byte_count(self.per_step(p.shape) * steps, self.bits(p.view)) for p in site.pools if p.kind == "maxpool2d")

    def written_bits(self, site: Site) -> int:
        """Bits that F writes for every value: the output, and what is kept for the backward pass.

        A parallel neuron's synapses write their currents.
        """
        layer, setup = site.layer, self.setup
        kept = setup.activation_bits if layer.norm == "batch" and not self.recomputes(site) else 0
        if layer.parallel:
            return setup.activation_bits + kept
        return self.bits(site.name) + kept + (setup.membrane_bits if self.keeps_membrane(site) and not self.recomputes(site) else 0)

    def keeps_membrane(self, site: Site) -> bool:
        """Whether the backward pass needs the membrane: the surrogate gradient is taken there."""
        return site.layer.stateful and site.layer.neuron in SPIKING

    def recomputes(self, site: Site) -> bool:
        """Whether the backward pass computes the membranes of this layer again."""
        return self.keeps_membrane(site) and self.setup.membrane == "recompute"

    # -- time ----------------------------------------------------------------------------------

    def read_windows(self, site: Site, producer: Producer, window: Window) -> tuple[Window, ...]:
        """The producer's windows that F(site, window) reads; of feedback those of one step of the site before."""
        return self._meeting(site.name, producer.site, -self.windows[producer.site][-1].last if producer.feedback else 0)[window.index]

    def reading_windows(self, site: Site, producer: Producer, window: Window) -> tuple[Window, ...]:
        """The windows of ``site`` whose gradients come back to ``window`` of its producer.

        A gradient does not pass through feedback from one segment of truncated back-propagation to
        the one before.
        """
        if not producer.feedback:
            return self._meeting(producer.site, site.name, 0)[window.index]
        later = self._meeting(producer.site, site.name, self.windows[producer.site][-1].last)[window.index]
        return tuple(w for w in later if self.segments[site.name][w.index] == self.segments[producer.site][window.index])

    def _meeting(self, ours: str, theirs: str, shift: int) -> dict[int, tuple[Window, ...]]:
        """`meeting` of the windows of two layers: it depends on their numbers of steps alone."""
        mine, other = self.windows[ours], self.windows[theirs]
        key = (mine[-1].last, other[-1].last, shift)
        if key not in self._met:
            self._met[key] = meeting(mine, other, shift)
        return self._met[key]

    def next_in_segment(self, site: Site, place: int) -> Window | None:
        """The window after the ``place``-th, if the gradient of the state comes back from it."""
        windows, segment = self.windows[site.name], self.segments[site.name]
        if place + 1 == len(windows) or segment[windows[place].index] != segment[windows[place + 1].index]:
            return None
        return windows[place + 1]

    # -- tasks ---------------------------------------------------------------------------------

    def output_task(self, site: Site, window: Window) -> str:
        """The task whose result is the layer's output."""
        return task_name("F", site.name, window.index, "neuron" if site.layer.parallel else "")

    def _host(self, site: Site) -> tuple[str, str] | None:
        """The consumer, and the part of it, whose B carries this layer's E: the only one, of the same windows."""
        if len(site.consumers) != 1 or site.outputs:
            return None
        consumer = self.sites[site.consumers[0]]
        readings = [(i, p) for i, p in enumerate(consumer.producers) if p.site == site.name]
        same_windows = self.windows[consumer.name][-1].last == self.windows[site.name][-1].last
        if len(readings) != 1 or readings[0][1].feedback or not same_windows:
            return None
        if consumer.layer.kind == "matmul":
            return consumer.name, OPERANDS[readings[0][0]]
        return (consumer.name, "") if consumer.layer.trainable else None

    def carrier(self, site: Site, window: Window) -> str:
        """The task that computes the error at the neurons: E(l,w), or the B that it rides on."""
        host = self.hosts[site.name]
        if host is None:
            return task_name("E", site.name, window.index, "neuron" if site.layer.parallel else "")
        return task_name("B", host[0], window.index, host[1])

    def synapse_error(self, site: Site, window: Window) -> str:
        """The task that has the error at the synapses."""
        return task_name("E", site.name, window.index, "synapse") if site.layer.parallel else self.carrier(site, window)

    def once(self, make: Callable[..., Work | tuple[Work, ...]], site: Site, *arguments: int | str) -> tuple[Work, ...]:
        """``make(self, site, *arguments)`` as a tuple, the same one for equal work: most windows are alike, and many layers."""
        key = (make, site.name, *arguments)
        known = self._made.get(key)
        if known is None:
            made = make(self, site, *arguments)
            works = made if isinstance(made, tuple) else (made,)
            known = self._made[key] = self._equal.setdefault(works, works)
        return known


#: Parts of B of a product of two activations.
OPERANDS = ("left", "right")
