"""The task graph under construction: tasks with cycles, edges with tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias

import networkx as nx

from spikepipe_sched.cost import CostModel, TaskCost, Work, cost_shares, task_cost
from spikepipe_sched.platform import Platform

TaskGraph: TypeAlias = "nx.DiGraph[str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priced:
    """Pieces of work with their cycles and the terms these are made of, by class of processor."""

    works: tuple[Work, ...]
    macs: int
    cycles: dict[str, int]
    terms: dict[str, tuple[dict[str, int], ...]]


class GraphBuilder:
    """Adds tasks and edges; equal work is costed once."""

    def __init__(self, platform: Platform, model: CostModel) -> None:
        self.platform, self.model = platform, model
        self.graph: TaskGraph = nx.DiGraph()
        self.works: dict[str, tuple[Work, ...]] = {}
        self._costs: dict[tuple[str, Work], TaskCost] = {}
        self._priced: dict[int, _Priced] = {}  # by identity: hashing the works of every task costs seconds

    def cost(self, class_name: str, work: Work) -> TaskCost:
        """Cost of one piece of work on a class of processor."""
        known = self._costs.get((class_name, work))
        if known is None:
            known = self._costs[class_name, work] = task_cost(work, self.platform.classes[class_name], self.model, traffic=False)
        return known

    def price(self, works: tuple[Work, ...]) -> _Priced:
        """Costs of the works of a task, on every class."""
        known = self._priced.get(id(works))
        if known is None:
            costs = {c: [self.cost(c, work) for work in works] for c in self.platform.classes}
            known = self._priced[id(works)] = _Priced(
                works=works,
                macs=sum(gemm.macs for work in works for gemm in work.gemms),
                cycles={c: sum(cost.cycles for cost in found) for c, found in costs.items()},
                terms={c: tuple(cost.terms for cost in found) for c, found in costs.items()},
            )
        return known

    def add(
        self, name: str, *, kind: str, layer: str, window: int = -1, part: str = "", works: tuple[Work, ...], weight_bytes: int = 0, stash_bytes: int = 0
    ) -> None:
        """Add a task whose pieces of work run one after the other; ``weight_bytes`` beside what its edges will bring."""
        self.works[name] = works
        priced = self.price(works)
        self.graph.add_node(
            name,
            kind=kind,
            layer=layer,
            window=window,
            part=part,
            cycles=dict(priced.cycles),
            macs=priced.macs,
            weight_bytes=weight_bytes,
            output_bytes=0,
            stash_bytes=stash_bytes,
        )

    def connect(self, source: str, target: str, tensors: dict[str, int], *, delay_layer: str | None = None, distance: int = 0) -> None:
        """Add an edge, or more tensors to the one that is there."""
        if self.graph.has_edge(source, target):
            self.graph.edges[source, target]["tensors"].update(tensors)
        elif delay_layer is not None:
            self.graph.add_edge(source, target, tensors=dict(tensors), delay_layer=delay_layer, lag=0)
        else:
            self.graph.add_edge(source, target, tensors=dict(tensors), distance=distance, lag=0)

    def finish(self, **attributes: object) -> TaskGraph:
        """Sum the bytes of edges and outputs; the graph gets ``attributes`` and the shares of the cost terms."""
        for task, edges in self.graph.adjacency():
            produced: dict[str, int] = {}
            for other, data in edges.items():
                data["bytes"] = sum(data["tensors"].values())
                produced.update(data["tensors"])
                if "delay_layer" in data:
                    self.graph.nodes[other]["weight_bytes"] += data["bytes"]
            self.graph.nodes[task]["output_bytes"] = sum(produced.values())
        self.graph.graph.update(attributes, cost_terms=self.shares())
        return self.graph

    def shares(self) -> dict[str, float]:
        """Share of every cost term in the cycles of all tasks, over all processors."""
        processors, times = Counter(self.platform.processors), Counter(map(id, self.works.values()))
        return cost_shares((terms, many * count) for key, count in times.items() for c, many in processors.items() for terms in self._priced[key].terms[c])

    def remove(self, task: str) -> None:
        """Take a task out, with its edges."""
        self.graph.remove_node(task)
        del self.works[task]
