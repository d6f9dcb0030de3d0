"""Task graphs in DOT (``.dot``, ``.gv``): cycles on the nodes, transfers on the edges.

The format of the task graphs that O. Sinnen's group at the University of Auckland publishes with
optimal schedules (in GXL and DOT): a node's ``Weight`` is its cycles, an edge's ``Weight`` the
cycles that its data takes between two different processors (0 on the same one), links do not wait
for each other, and the graph's ``TargetSystem="Homogeneous-4"`` names equal processors. The model
is that of Sinnen, Task Scheduling for Parallel Systems (2007), doi:10.1002/0470121173.

DOT of other tools is read as well. Nodes need one of ``weight``, ``cost``, ``cycles``, ``duration``;
edges may have one of these, or of ``comm``, ``bytes``, ``latency`` (0 if they have none), in any case.
An edge of w moves w bytes over links of 1 byte per cycle.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Final

import networkx as nx

from spikepipe_sched.compile import equal_processors
from spikepipe_sched.errors import shown
from spikepipe_sched.importers.toml_errors import printable
from spikepipe_sched.importers.warning import RepairWarning
from spikepipe_sched.platform import MAX_PROCESSORS, Interconnect
from spikepipe_sched.readers.dot_graph import Attributes, Element, read_dot_graph
from spikepipe_sched.readers.graph_file import GraphFile
from spikepipe_sched.readers.text import Line

CYCLES: Final = ("weight", "cost", "cycles", "duration")
TRANSFER: Final = (*CYCLES, "comm", "bytes", "latency")
#: Numbers on edges that say how these are drawn (https://graphviz.org/doc/info/attrs.html), or which they are.
DRAWING: Final = frozenset(("id", "key", "arrowsize", "fontsize", "labelangle", "labeldistance", "labelfontsize", "len", "minlen", "penwidth"))
#: What looks like a number.
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})")
#: A byte takes a cycle.
LINKS: Final = Interconnect(bandwidth_bytes_per_cycle=1)


def read_dot(path: Path) -> GraphFile:
    """Read a task graph.

    Raises
    ------
    InputError
        With the line of the defect.

    Warns
    -----
    RepairWarning
        If edges have numbers, but none that is known to be a transfer.
    """
    found = read_dot_graph(path)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, node in found.nodes.items():
        what = f"the task {node.line.name(name, 'a task')!r}"
        cycles = _number(node, CYCLES, what)
        if cycles is None:
            raise node.line.error(f"{what} has no cycles; give it one of {', '.join(CYCLES)}")
        graph.add_node(name, cycles=cycles)
    for (source, target), edge in found.edges.items():
        if source == target:
            raise edge.line.error(f"the task {source!r} waits for itself")
        graph.add_edge(source, target, bytes=_number(edge, TRANSFER, f"the edge {source!r} -> {target!r}") or 0)
    _warn_of_unknown(found.edges)
    count = _processors(found.attributes)
    return GraphFile(
        path=path, name=path.stem, graph=graph, platform=replace(equal_processors(count or 1), interconnect=LINKS), processors="default" if count else "needed"
    )


def _number(element: Element, names: tuple[str, ...], what: str) -> int | None:
    """The attribute that has one of these names, in any case; None if there is none."""
    given = {value: (name, line) for name, (value, line) in element.attributes.items() if name.lower() in names}
    if len(given) > 1:
        raise element.line.error(f"{what} has {' and '.join(f'{name}={shown(value)}' for value, (name, _) in given.items())}; leave one of them")
    for value, (name, line) in given.items():
        return line.whole(value, f"{name} of {what}")
    return None


def _warn_of_unknown(edges: dict[tuple[str, str], Element]) -> None:
    """One warning for all edges whose transfer may stand under a name that is not known, with the line of the first."""
    passed: list[tuple[str, str, Line]] = []
    for (source, target), edge in edges.items():
        if not any(name.lower() in TRANSFER for name in edge.attributes):
            numbers = [(name, value, line) for name, (value, line) in edge.attributes.items() if name.lower() not in DRAWING and NUMBER.fullmatch(value)]
            passed += [(f"the edge {shown(source)} -> {shown(target)}", f"{shown(name)} = {value}", line) for name, value, line in numbers[:1]]
    if passed:
        what, number, line = passed[0]
        others = f", and {len(passed) - 1} more like it" if len(passed) > 1 else ""
        message = line.error(f"{what} moves nothing{others}: {number} is passed over, only {', '.join(TRANSFER)} are read")
        warnings.warn(printable(str(message)), RepairWarning, stacklevel=3)


def _processors(attributes: Attributes) -> int | None:
    """The number of processors that the file names."""
    if "TargetSystem" not in attributes:
        return None
    value, line = attributes["TargetSystem"]
    named = re.fullmatch(r"Homogeneous-([0-9]{1,4})", value)
    count = int(named[1]) if named else 0
    if not 1 <= count <= MAX_PROCESSORS:
        raise line.error(f"TargetSystem must be Homogeneous-P for 1 to {MAX_PROCESSORS} equal processors, got {shown(value)}")
    return count
