"""Opens the cycles of a NIR graph: which edges bring the value of the step before.

NIR says nothing of the order within a step; its programs take an edge that closes a cycle as one
step late. Here a depth-first search from the input finds these edges: those that lead back to
where the search still is. They end at a sum, because the search came in over another edge. A loop
that the input does not reach begins at linear weights instead, which alone tell its shape.
"""

from __future__ import annotations

from spikepipe_sched.errors import require
from spikepipe_sched.importers.nir_graph import Operation, Operations


def open_loops(operations: Operations) -> tuple[list[str], dict[str, set[str]]]:
    """Names of the operations, producers first, and of those with feedback the inputs one step late.

    The answer depends on the graph and its names alone, not on the order of its edges.

    Raises
    ------
    InputError
        If operations are reached neither by the input nor by a loop with a neuron and linear weights.
    """
    nodes, consumers = operations.by_name, operations.consumers()
    finished, feedback = list[str](), dict[str, set[str]]()
    seen = set[str]()
    _search(operations.entry, consumers, seen, finished, feedback)
    if len(seen) < len(nodes):
        for root in _roots(nodes, [name for name in nodes if name not in seen]):
            _search(root, consumers, seen, finished, feedback)
    return finished[::-1], feedback


def _search(root: str, consumers: dict[str, list[str]], seen: set[str], finished: list[str], feedback: dict[str, set[str]]) -> None:
    """Depth first from one operation; what is finished later comes earlier in topological order."""
    seen.add(root)
    path = [(root, iter(sorted(consumers[root], reverse=True)))]
    open_ = {root}
    while path:
        name, following = path[-1]
        target = next(following, None)
        if target is None:
            finished.append(name)
            open_.discard(name)
            path.pop()
        elif target in open_:
            feedback.setdefault(target, set()).add(name)
        elif target not in seen:
            seen.add(target)
            open_.add(target)
            path.append((target, iter(sorted(consumers[target], reverse=True))))


def _roots(nodes: dict[str, Operation], unreached: list[str]) -> list[str]:
    """Where each loop begins that nothing feeds: linear weights behind a neuron, the first by name."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((source, name) for name in unreached for source in nodes[name].inputs)
    roots = list[str]()
    for component in nx.strongly_connected_components(graph):
        if any(source not in component for name in component for source in nodes[name].inputs):
            continue  # another loop feeds it
        loop = sorted(component)
        where = f"nodes {', '.join(repr(name) for name in loop[:5])} form a loop that the input does not reach"
        require(any(nodes[name].neuron for name in loop), f"{where}, and no neuron stands in it: nothing feeds it")
        linear = [name for name in loop if nodes[name].role == "linear"]
        require(linear, f"{where}, and no linear weights stand in it that tell its shape")
        roots.append(min(linear, key=lambda name: (nodes[nodes[name].inputs[0]].neuron is None, name)))
    return sorted(roots)
