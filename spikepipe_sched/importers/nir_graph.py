"""Simplifies a NIR graph to operations: one for every layer of the network to come.

A neuron joins the weights in front of it that feed nothing else; behind anything else it is an
operation of its own. Several edges into a node are a sum. A cycle means a value of the step
before: linear weights (or a Scale) from a neuron back to itself are the recurrence of its layer;
all other cycles stay, for `spikepipe_sched.importers.nir_loops`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

from spikepipe_sched.errors import require
from spikepipe_sched.importers.nir_file import MAX_EDGES, NirGraph, NirNode
from spikepipe_sched.layer import INPUT, NeuronKind, Recurrence

Repair = Callable[[str], None]
Names = dict[str, None]  # a set that keeps its order
Role = Literal["input", "linear", "conv", "pool", "flatten", "neuron", "sum"]

NEURONS: Final[dict[str, NeuronKind]] = {"IF": "if", "LIF": "lif", "LI": "li", "I": "li", "CubaLIF": "lif", "CubaLI": "li"}
LINEAR: Final = ("Affine", "Linear")
CONVOLUTIONS: Final = ("Conv1d", "Conv2d")
ROLES: Final[dict[str, Role]] = {
    "Input": "input",
    **dict.fromkeys(LINEAR, "linear"),
    **dict.fromkeys(CONVOLUTIONS, "conv"),
    "SumPool2d": "pool",
    "AvgPool2d": "pool",
    "Flatten": "flatten",
    **dict.fromkeys(NEURONS, "neuron"),
}
SUPPORTED: Final = (*ROLES, "Output", "Scale", "Threshold", "Delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What becomes one layer: a node, or the sum in front of one.

    ``inputs`` stand in the order of the file's edges. ``neuron`` and ``recurrence`` are the nodes
    that belong to the operation; a neuron without weights of its own is its own.
    """

    node: NirNode
    role: Role
    inputs: tuple[str, ...]
    neuron: NirNode | None = None
    neuron_kind: NeuronKind = "none"
    recurrence: NirNode | None = None
    recurrence_kind: Recurrence = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Operations by name, their input (an operation as well), and the Output nodes with what feeds each."""

    by_name: dict[str, Operation]
    entry: str
    outputs: list[tuple[NirNode, str]]

    def consumers(self) -> dict[str, list[str]]:
        """What every operation feeds."""
        feeds: dict[str, list[str]] = {name: [] for name in self.by_name}
        for name, operation in self.by_name.items():
            for source in operation.inputs:
                feeds[source].append(name)
        return feeds


def simplify(graph: NirGraph, repair: Repair) -> Operations:
    """The operations of a graph; every deviation from the file goes to ``repair``.

    Raises
    ------
    InputError
        If the graph holds what is not supported; the message names the node.
    """
    simplifier = _Simplifier(graph, repair)
    simplifier.drop_ports()
    entry = simplifier.entry()
    simplifier.drop_delays()
    simplifier.fold_thresholds()
    simplifier.drop_scales()
    simplifier.refuse_orphans(entry)
    simplifier.find_recurrence(LINEAR, "full")
    simplifier.fold_neurons()
    return simplifier.operations(entry)


class _Simplifier:
    """The graph as it becomes simpler step by step."""

    def __init__(self, graph: NirGraph, repair: Repair) -> None:
        self.repair = repair
        self.kinds = {name: self.kind_of(node) for name, node in graph.nodes.items()}
        self.nodes = {name: msgspec.structs.replace(node, kind=self.kinds[name]) for name, node in graph.nodes.items()}
        self.producers: dict[str, Names] = {name: {} for name in self.nodes}
        self.consumers: dict[str, Names] = {name: {} for name in self.nodes}
        self.edge_count = 0
        for source, target in graph.edges:
            self.connect(source, target)
        self.neuron_of: dict[str, tuple[NirNode, NeuronKind]] = {}  # by the node it belongs to, which may be itself
        self.recurrence_of: dict[str, tuple[NirNode, Recurrence]] = {}  # by the weights in front of the neuron

    def kind_of(self, node: NirNode) -> str:
        """The node's type, which its fields tell where the file does not."""
        kind = node.kind
        if not kind:
            rank = len(node.shapes.get("weight", ()))
            by_field = {"tau_mem": "CubaLI", "tau": "LI", "scale": "Scale", "delay": "Delay", "threshold": "Threshold", "start_dim": "Flatten", "r": "I"}
            kind = {2: "Affine" if "bias" in node.shapes else "Linear", 3: "Conv1d", 4: "Conv2d"}.get(rank) or next(
                (guess for key, guess in by_field.items() if key in node.shapes), ""
            )
            # An integrator that fires: I -> IF, LI -> LIF, CubaLI -> CubaLIF.
            kind += "F" if kind in ("CubaLI", "LI", "I") and "v_threshold" in node.shapes else ""
            require(kind, f"node '{node.name}': it has no type, and its fields do not tell it")
            self.repair(f"node '{node.name}': has no type; its fields are those of {kind}")
        require(kind in SUPPORTED, f"node '{node.name}': NIR type '{kind}' is not supported; known: {', '.join(SUPPORTED)}")
        return kind

    def entry(self) -> str:
        """The network's input."""
        inputs = self.named("Input")
        require(inputs, "the graph has no Input node")
        fed = [name for name in inputs if self.consumers[name]] if len(inputs) > 1 else inputs
        quoted = ", ".join(f"'{name}'" for name in (fed or inputs)[:5])
        require(len(fed) == 1, f"the graph has {len(inputs)} Input nodes, of which {quoted} feed{' nothing' if not fed else ''}; a network has one input")
        for name in inputs:
            if name != fed[0]:
                self.repair(f"node '{name}': this Input feeds nothing; it is left out")
                self.bypass(name)
        return fed[0]

    def refuse_orphans(self, entry: str) -> None:
        orphan = next((name for name in self.nodes if name != entry and not self.producers[name]), None)
        require(orphan is None, f"node '{orphan}': nothing feeds it")

    def connect(self, source: str, target: str) -> None:
        """An edge; twice the same is once, as in a file of a set of edges."""
        if source in self.producers[target]:
            self.repair(f"node '{target}': the output of '{source}' reaches it on two edges; one is kept")
            return
        self.edge_count += 1
        require(self.edge_count <= MAX_EDGES, f"node '{target}': with what passes through other nodes the graph has more than {MAX_EDGES} edges")
        self.consumers[source][target] = None
        self.producers[target][source] = None

    # -- nodes that only pass on what they get -------------------------------------------------

    def bypass(self, name: str) -> None:
        """Take a node out; its producers feed its consumers."""
        require(name not in self.producers[name], f"node '{name}': feeds itself, and is neither a neuron nor weights")
        before, after = self.producers.pop(name), self.consumers.pop(name)
        del self.nodes[name], self.kinds[name]
        self.edge_count -= len(before) + len(after)
        for source in before:
            del self.consumers[source][name]
        for target in after:
            del self.producers[target][name]
            for source in before:
                self.connect(source, target)

    def named(self, *kinds: str) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def drop_ports(self) -> None:
        """Inputs and outputs of inner graphs only pass on what they get."""
        inputs = self.named("Input")
        if inputs and all(self.producers[name] for name in inputs):
            # A loop leads back to the network's own input: what comes in is added to what comes back.
            entry = min(inputs, key=lambda name: (name.count("."), inputs.index(name)))
            back, self.producers[entry] = self.producers[entry], {}
            for source in back:
                del self.consumers[source][entry]
                for target in list(self.consumers[entry]):
                    self.connect(source, target)
        for name in self.named("Input", "Output"):
            if self.producers[name] if self.kinds[name] == "Input" else self.consumers[name]:
                self.bypass(name)

    def drop_delays(self) -> None:
        for name in self.named("Delay"):
            self.repair(f"node '{name}': a Delay is in seconds and the file has no time step; it is taken as none")
            self.bypass(name)

    def drop_scales(self) -> None:
        """A Scale is a factor per value: it can be multiplied into the weights next to it."""
        for name in self.named("Scale"):
            if self.loop_of(name) is None:
                self.drop_scale(name)
        self.find_recurrence(("Scale",), "self")
        for name in self.named("Scale"):
            self.drop_scale(name)

    def drop_scale(self, name: str) -> None:
        self.repair(f"node '{name}': a Scale costs nothing here; it is taken as part of the weights next to it")
        self.bypass(name)

    def fold_thresholds(self) -> None:
        """A Threshold behind an integrator of its own makes it a neuron without reset (``iir``).

        Behind anything else it makes spikes without a state, which no neuron kind here does: the
        nearest that spikes is ``if``, whose membrane costs more than the file asks for.
        """
        for name in self.named("Threshold"):
            source = only(self.producers[name])
            if source is not None and NEURONS.get(self.kinds[source]) == "li" and only(self.consumers[source]) == name:
                self.kinds[source] = "IIR"
                self.bypass(name)
                continue
            self.repair(f"node '{name}': a Threshold without an integrator of its own has no state; it is taken as an IF neuron, which has one")
            self.kinds[name] = "IF"

    # -- neurons -------------------------------------------------------------------------------

    def neuron_kind(self, name: str) -> NeuronKind | None:
        return "iir" if self.kinds[name] == "IIR" else NEURONS.get(self.kinds[name])

    def owner(self, neuron: str, besides: str | None = None) -> str | None:
        """The weights in front of a neuron, if they alone feed it, ``besides`` apart, and feed nothing else."""
        source = only({source: None for source in self.producers[neuron] if source != besides})
        alone = source is not None and only(self.consumers[source]) == neuron and self.kinds[source] in (*LINEAR, *CONVOLUTIONS)
        return source if alone else None

    def loop_of(self, name: str) -> str | None:
        """The neuron that a node gets all from and gives all to."""
        neuron = only(self.producers[name])
        return neuron if neuron is not None and only(self.consumers[name]) == neuron and self.neuron_kind(neuron) is not None else None

    def find_recurrence(self, kinds: tuple[str, ...], form: Recurrence) -> None:
        """Weights from a neuron back to itself alone; where no layer can own them they stay a loop."""
        for name in self.named(*kinds):
            neuron = self.loop_of(name)
            owner = self.owner(neuron, name) if neuron is not None else None
            if neuron is None or owner is None or owner in self.recurrence_of:
                continue
            if only(self.producers[owner]) == neuron or (form == "full" and self.kinds[owner] not in LINEAR):
                continue
            self.recurrence_of[owner] = (self.nodes[name], form)
            del self.consumers[neuron][name], self.producers[neuron][name]
            del self.nodes[name], self.kinds[name], self.producers[name], self.consumers[name]

    def fold_neurons(self) -> None:
        """Give each neuron to the weights in front of it that feed it alone, or to itself."""
        for name in list(self.nodes):
            kind = self.neuron_kind(name)
            if kind is None:
                continue
            owner = self.owner(name)
            self.neuron_of[owner or name] = (self.nodes[name], kind)
            if owner is not None:
                self.bypass(name)

    def operations(self, entry: str) -> Operations:
        """What is left, with sums in front of nodes that several others feed."""
        found, outputs, known_as = dict[str, Operation](), list[tuple[NirNode, str]](), dict[str, str]()
        taken = {INPUT, *self.nodes}
        for name, node in self.nodes.items():
            role, sources = "neuron" if self.neuron_kind(name) is not None else ROLES.get(self.kinds[name], "sum"), tuple(self.producers[name])
            known_as[name] = name if name == entry or name != INPUT else self.unused(name, taken)
            neuron, neuron_kind = self.neuron_of.get(name, (None, "none"))
            source, *others = sources or (entry,)
            if others:
                total = self.unused(f"{name}.sum", taken)
                if role == "neuron":
                    role, known_as[name] = "sum", total
                else:
                    found[total] = Operation(node=node, role="sum", inputs=sources)
                    source, sources = total, (total,)
            if self.kinds[name] == "Output":
                outputs.append((node, source))
                continue
            recurrence, recurrence_kind = self.recurrence_of.get(name, (None, "none"))
            found[known_as[name]] = Operation(
                node=node, role=role, inputs=sources, neuron=neuron, neuron_kind=neuron_kind, recurrence=recurrence, recurrence_kind=recurrence_kind
            )
        named = {name: replace(operation, inputs=tuple(known_as.get(source, source) for source in operation.inputs)) for name, operation in found.items()}
        return Operations(by_name=named, entry=entry, outputs=[(node, known_as.get(source, source)) for node, source in outputs])

    def unused(self, name: str, taken: set[str]) -> str:
        """A name nobody has; it is taken from then on."""
        unique = name
        while unique in taken:
            unique += "_"
        if unique != name:
            self.repair(f"node '{name}': is called '{unique}' here, the name is taken")
        taken.add(unique)
        return unique


def only(names: Names) -> str | None:
    """The one name there is, if there is one."""
    return next(iter(names)) if len(names) == 1 else None
