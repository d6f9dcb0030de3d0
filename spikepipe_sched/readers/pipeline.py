"""Synchronous pipelines as their own literature states them: a chain of layers with cycles for F, B and W.

Narayanan et al. (doi:10.1145/3341301.3359646), Qi et al. (Zero Bubble, arXiv:2401.10241) and their
successors measure schedules on a chain of L layers and M micro-batches. Layer l takes F_l, B_l and
W_l cycles for each micro-batch; F(l) waits for F(l - 1), B(l) for B(l + 1) and F(l), W(l) for B(l).
What crosses between processors takes a fixed latency, overlapped with computation, whatever its
size. Memory is counted in activations: each is kept from the start of its F to the end of its W.
There is no update: the makespan is the end of the last W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spikepipe_sched.errors import require, require_one_of, require_whole
from spikepipe_sched.platform import Interconnect, Platform, SystolicArray
from spikepipe_sched.problem import Problem

if TYPE_CHECKING:
    import networkx as nx

Placement = Literal["stages", "interleaved", "v", "free"]
PLACEMENTS: tuple[Placement, ...] = ("stages", "interleaved", "v", "free")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A chain of layers, the processors that run it, and how many micro-batches.

    Parameters
    ----------
    forward, backward, gradient
        (L,) Cycles of F, B and W of every layer, for one micro-batch.
    processors
        Number P of processors.
    micro_batches
        Number M >= 1 of micro-batches.
    home
        (L,) The processor of every layer; None: every task may run anywhere.
    transfer_cycles
        Latency of whatever crosses between processors.
    memory
        Activations that each processor can hold, (P,); None: unlimited.
    activations
        (L,) What the stash of a layer counts for; None: 1 each.

    Raises
    ------
    InputError
        If the parts do not fit together.
    """

    name: str
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    gradient: tuple[int, ...]
    processors: int
    micro_batches: int
    home: tuple[int, ...] | None = None
    transfer_cycles: int = 0
    memory: tuple[int | None, ...] | None = None
    activations: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        where = f"pipeline '{self.name}'"
        layers = len(self.forward)
        require(layers >= 1, f"{where}: it has no layers")
        for name in ("backward", "gradient", "home", "activations"):
            column = getattr(self, name)
            require(column is None or len(column) == layers, f"{where}: {name} has {len(column or ())} entries for {layers} layers")
        for name, low in (("processors", 1), ("micro_batches", 1), ("transfer_cycles", 0)):
            require_whole(where, name, getattr(self, name), low)
        require(self.memory is None or len(self.memory) == self.processors, f"{where}: memory needs one entry for each of the {self.processors} processors")
        require(self.home is None or all(0 <= p < self.processors for p in self.home), f"{where}: a layer's home is no processor of 0..{self.processors - 1}")

    @staticmethod
    def of_stages(
        name: str,
        forward: tuple[int, ...],
        backward: tuple[int, ...],
        gradient: tuple[int, ...],
        *,
        micro_batches: int,
        placement: Placement = "stages",
        chunks: int = 1,
        transfer_cycles: int = 0,
        memory: int | tuple[int, ...] | None = None,
        processors: int | None = None,
    ) -> Pipeline:
        """A pipeline stated by its stages, each cut into equal chunks, which become the layers.

        With c chunks a stage's cycles are shared out by c: one cycle here is 1 / c of the unit of
        ``forward``, and every time, ``transfer_cycles`` too, is multiplied by c. An activation of a
        whole stage counts c (each chunk 1), and so ``memory``, in activations of whole stages, is
        multiplied as well.

        Parameters
        ----------
        forward, backward, gradient
            (S,) Cycles of every stage.
        placement
            ``stages``: the chain runs through stage 0's chunks, then stage 1's, ..., stage s on
            processor s. ``interleaved``: chunk i of the chain on processor i mod S. ``v``: there and
            back, chunk i on processor i, then 2S - 1 - i (two chunks). In these two a chunk has
            the cycles of its processor's stage, so that the loads are those of whole stages.
            ``free``: the chain of ``stages``, every task on any processor.
        memory
            Activations of whole stages that each processor can hold, one number for all or (P,); None: unlimited.
        processors
            Number of processors, with ``free`` only; S if None.

        Raises
        ------
        InputError
            If they do not go together.
        """
        where, stages = f"pipeline '{name}'", len(forward)
        require(len(backward) == len(gradient) == stages, f"{where}: B and W must have as many entries as F: {stages}, got {len(backward)} and {len(gradient)}")
        require_one_of(where, "placement", placement, PLACEMENTS)
        require_whole(where, "chunks", chunks, 1)
        require(placement != "v" or chunks == 2, f"{where}: placement 'v' goes there and back once: it needs 2 chunks, got {chunks}")
        require(placement == "free" or processors in (None, stages), f"{where}: {stages} stages run on {stages} processors; placement 'free' takes any number")
        count = stages if processors is None else processors
        order = [s for s in range(stages) for _ in range(chunks)]
        if placement == "interleaved":
            order = [*range(stages)] * chunks
        elif placement == "v":
            order = [*range(stages), *reversed(range(stages))]
        return Pipeline(
            name=name,
            forward=tuple(forward[s] for s in order),
            backward=tuple(backward[s] for s in order),
            gradient=tuple(gradient[s] for s in order),
            processors=count,
            micro_batches=micro_batches,
            home=None if placement == "free" else tuple(order),
            transfer_cycles=transfer_cycles * chunks,
            memory=None if memory is None else tuple(size * chunks for size in ((memory,) * count if isinstance(memory, int) else memory)),
        )

    def graph(self) -> nx.DiGraph[Any]:
        """The tasks of one micro-batch."""
        import networkx as nx

        graph: nx.DiGraph[Any] = nx.DiGraph(name=self.name)
        layers = range(len(self.forward))
        graph.graph["layers"] = tuple(f"l{layer}" for layer in layers)
        for kind, cycles in (("F", self.forward), ("B", self.backward), ("W", self.gradient)):
            for layer in layers:
                able = cycles[layer] if self.home is None else {f"p{self.home[layer]}": cycles[layer]}
                graph.add_node(f"{kind}(l{layer})", kind=kind, layer=f"l{layer}", cycles=able)
        for layer in layers:
            stash = {f"a(l{layer})": 1 if self.activations is None else self.activations[layer]}
            graph.add_edge(f"F(l{layer})", f"B(l{layer})", tensors=stash)
            graph.add_edge(f"F(l{layer})", f"W(l{layer})", tensors=stash)
            graph.add_edge(f"B(l{layer})", f"W(l{layer})")
            if layer:
                graph.add_edge(f"F(l{layer - 1})", f"F(l{layer})")
                graph.add_edge(f"B(l{layer})", f"B(l{layer - 1})")
        return graph

    def platform(self) -> Platform:
        """The processors: all alike, or each of a class of its own where layers have a home or memories differ."""
        memory = (None,) * self.processors if self.memory is None else self.memory
        alike = self.home is None and len(set(memory)) == 1
        classes = ("processor",) * self.processors if alike else tuple(f"p{p}" for p in range(self.processors))
        latency = self.transfer_cycles
        return Platform(
            name=f"{self.processors} stages",
            classes={name: SystolicArray(rows=1, cols=1, memory_bytes=size) for name, size in zip(classes, memory, strict=True)},
            processors=classes,
            interconnect=Interconnect(latency_cycles=latency, bandwidth_bytes_per_cycle=None, signal_latency_cycles=latency),
            clock_hz=1,
        )

    def problem(self, **options: Any) -> Problem:
        """The finite problem; ``options`` as in `Problem.from_graph`."""
        return Problem.from_graph(self.graph(), self.platform(), **({"mode": "finite", "micro_batches": self.micro_batches, "name": self.name} | options))
