"""Modulo-scheduling problems of high-level synthesis: HatScheT's graphs (``.graphml``) and resources (``.xml``).

HatScheT (University of Kassel, TU Darmstadt) schedules them; formats, what they mean, and
benchmarks: https://github.com/SpeedyBK/hatschet. The graph names the resource of every node
(``uses_resource``) and the ``distance`` (iterations) and ``delay`` (cycles) of every edge; an
operation starts no earlier than start + latency + delay of the one it waits for, less distance
initiation intervals. The resource file gives each ``Resource`` a ``limit`` (units; -1 or inf: as
many as needed), a ``latency``, and a ``blockingTime``: the cycles for which an operation holds its
unit. The initiation interval is the period here.

A limited resource becomes a class of so many processors, an operation a task of blockingTime cycles
whose edges have the lag latency - blockingTime + delay. An operation of an unlimited resource
holds nothing: it is a task of no cycles, on a processor ``unlimited`` of its own. Transfers are
free. The span of an iteration ends with the latest result, also with one that nobody waits for: it
is kept by an edge to the task itself, so many iterations later that it is never in the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import networkx as nx

from spikepipe_sched.errors import InputError, shown
from spikepipe_sched.platform import MAX_PROCESSORS, Interconnect, Platform, SystolicArray
from spikepipe_sched.problem import MAX_DISTANCE
from spikepipe_sched.readers.graph_file import GraphFile
from spikepipe_sched.readers.text import Line
from spikepipe_sched.readers.xml_tree import Element, read_xml

UNLIMITED: Final = "unlimited"
#: Most nodes x kinds of units: what is written out in memory.
MAX_CELLS: Final = 10**7
#: The node in which some files keep notes on the graph; it is no operation.
NOTES: Final = "modsched_info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of unit: how many there are (None: as many as needed), and what an operation takes."""

    limit: int | None
    latency: int
    blocking: int

    @property
    def lag(self) -> int:
        """Cycles from the end of an operation's task to its result."""
        return self.latency - (0 if self.limit is None else self.blocking)


def read_modulo(path: Path, resources: Path | None) -> GraphFile:
    """Read a graph and its resources.

    Raises
    ------
    InputError
        With the line of the defect.
    """
    if resources is None:
        beside = [f"'{other.name}'" for other in sorted(path.parent.glob("*.xml")) if path.name.startswith(other.stem.removesuffix("RM").rstrip("_"))]
        hint = f"; is it {' or '.join(beside[:3])}?" if beside else ""
        raise InputError(f"{path}: a modulo graph needs the file of its resources (--resources FILE.xml){hint}")
    known = _resources(resources)
    root = read_xml(path, "graphml")
    keys = _keys(root)
    found = root.all("graph")
    if len(found) != 1:
        raise root.line.error(f"expected one <graph>, got {len(found)}")
    if found[0].attributes.get("edgedefault") == "undirected":
        raise found[0].line.error("an undirected graph; operations need directed edges")
    graph: nx.DiGraph[str] = nx.DiGraph()
    nodes = [(node, _data(node, keys)) for node in found[0].all("node") if node.attribute("id") != NOTES]
    if not nodes:
        raise found[0].line.error("there are no nodes in it")
    if len(nodes) * len(known) > MAX_CELLS:
        raise found[0].line.error(f"{len(nodes)} nodes x {len(known)} resources are more than {MAX_CELLS}")
    names = _names(nodes)
    uses: dict[str, Resource] = {}
    for node, data in nodes:
        task, kind = names[node.attribute("id")], data.get("uses_resource")
        if kind is None:
            raise node.line.error(f"the node '{task}' names no resource (uses_resource)")
        if kind not in known:
            raise node.line.error(f"there is no resource {shown(kind)} in {resources}")
        uses[task] = known[kind]
        limited = uses[task].limit is not None
        graph.add_node(task, cycles={kind if limited else UNLIMITED: uses[task].blocking if limited else 0})
    edges = _edges(found[0], keys, names, uses)
    _keep_results(edges, uses)
    for (source, target), lags in edges.items():
        _connect(graph, source, target, lags)
    return GraphFile(path=path, name=path.stem, graph=graph, platform=_platform(resources, known, graph), processors="fixed", mode="periodic")


def _resources(path: Path) -> dict[str, Resource]:
    """The resources of a file by name."""
    root = read_xml(path, "modelinformation")
    sections = [root, *root.all("resources")]
    tables = [table for section in sections for table in section.all("rt")]
    if tables:
        raise tables[0].line.error("reservation tables (<rt>) are not read, only units that an operation holds from its start on")
    found: dict[str, Resource] = {}
    for element in (element for section in sections for element in section.all("resource")):
        line, name = element.line, element.line.name(element.attribute("name"), "a resource's name")
        if name in found or name == UNLIMITED:
            raise line.error(
                f"the resource '{name}' stands twice" if name in found else f"'{UNLIMITED}' is kept for the processor of unlimited resources; rename it"
            )
        count = element.attribute("limit")
        limit = None if count in ("-1", "inf") else line.whole(count, f"limit of '{name}' (-1: unlimited)", 1)
        blocking = line.whole(element.attribute("blockingTime"), f"blockingTime of '{name}'", 0 if limit is None else 1)
        latency = line.whole(element.attribute("latency"), f"latency of '{name}'")
        if latency > MAX_DISTANCE:
            raise line.error(f"latency of '{name}' must be at most {MAX_DISTANCE} cycles, got {latency}")
        found[name] = Resource(limit=limit, latency=latency, blocking=blocking)
    if sum(resource.limit or 0 for resource in found.values()) >= MAX_PROCESSORS:
        raise root.line.error(f"more than {MAX_PROCESSORS} units in all")
    return found


def _keys(root: Element) -> dict[str, str]:
    """What the keys of data stand for, where the file declares it; HatScheT's own stand for themselves."""
    for key in root.all("key"):
        if key.all("default"):  # silently passed over, it would be another problem
            raise key.line.error(f"the default of the key {shown(key.attribute('id'))} is not read; give every node and edge its own value")
    return {key.attribute("id"): key.attributes.get("attr.name", key.attribute("id")) for key in root.all("key")}


def _data(element: Element, keys: dict[str, str]) -> dict[str, str]:
    """The data of a node or an edge."""
    return {keys.get(key, key): child.text for child in element.all("data") for key in (child.attribute("key"),)}


def _names(nodes: list[tuple[Element, dict[str, str]]]) -> dict[str, str]:
    """By id, what each node is called: its name where all have one and no two the same, else its id."""
    ids: dict[str, str] = {}
    for node, data in nodes:
        own = node.line.name(node.attribute("id"), "a node's id")
        if own in ids:
            raise node.line.error(f"the node '{own}' stands twice")
        ids[own] = node.line.name(data["name"], "a node's name") if data.get("name") else ""
    distinct = "" not in ids.values() and len(set(ids.values())) == len(ids)
    return ids if distinct else {own: own for own in ids}


def _edges(graph: Element, keys: dict[str, str], names: dict[str, str], uses: dict[str, Resource]) -> dict[tuple[str, str], dict[int, int]]:
    """For each pair of tasks with edges: the largest lag of each distance."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for edge in graph.all("edge"):
        line, data = edge.line, _data(edge, keys)
        if edge.attributes.get("directed") == "false":
            raise line.error("an undirected edge; operations need directed ones")
        ends = edge.attribute("source"), edge.attribute("target")
        for end in ends:
            if end not in names:
                raise line.error(f"the edge joins {shown(end)}, which is no node")
        source, target = names[ends[0]], names[ends[1]]
        distance = line.whole(data.get("distance", "0"), f"distance of the edge '{source}' -> '{target}'")
        if distance > MAX_DISTANCE:
            raise line.error(f"distance of the edge '{source}' -> '{target}' must be at most {MAX_DISTANCE}, got {distance}")
        if source == target and distance == 0:
            raise line.error(f"the node '{source}' waits for itself in the same iteration (distance 0)")
        delay = _delay(line, data, f"the edge '{source}' -> '{target}'")
        used = uses[source]
        lag = used.lag + delay
        lags = found.setdefault((source, target), {})
        lags[distance] = max(lag, lags.get(distance, lag))
    return found


def _keep_results(edges: dict[tuple[str, str], dict[int, int]], uses: dict[str, Resource]) -> None:
    """Add an edge from each task to itself whose result would come after the end of the span, for no edge waits for it so long."""
    longest = dict.fromkeys(uses, 0)
    for (source, _), lags in edges.items():
        longest[source] = max(longest[source], *lags.values())
    for task, used in uses.items():
        if used.lag > longest[task]:
            edges.setdefault((task, task), {})[used.latency] = used.lag


def _delay(line: Line, data: dict[str, str], what: str) -> int:
    """The delay of an edge, which older files call latency; it may be negative."""
    given = [data[key] for key in ("delay", "latency") if key in data]
    if len(given) > 1:
        raise line.error(f"{what} has a delay and a latency; leave one of them")
    return line.whole(given[0], f"delay of {what}", low=-(2**42)) if given else 0


def _connect(graph: nx.DiGraph[str], source: str, target: str, lags: dict[int, int]) -> None:
    """Join two tasks by all their edges, given as {distance: lag}.

    An edge says nothing new beside one of less distance and no smaller lag. Of those that are left
    the first is an edge, and each other one goes through a task of no cycles, which starts whenever it suits.
    """
    longest: int | None = None
    for distance in sorted(lags):
        lag = lags[distance]
        if longest is None:
            graph.add_edge(source, target, distance=distance, lag=lag)
        elif lag > longest:
            relay = f"{source} -> {target}, {distance}"
            while relay in graph:
                relay += "'"
            graph.add_node(relay, cycles={UNLIMITED: 0})
            graph.add_edge(source, relay, lag=lag)
            graph.add_edge(relay, target, distance=distance)
        longest = lag if longest is None else max(longest, lag)


def _platform(path: Path, known: dict[str, Resource], graph: nx.DiGraph[str]) -> Platform:
    """The units of the resources that are used; free communication."""
    used = {kind for _, cycles in graph.nodes(data="cycles") for kind in cycles}
    units = tuple(name for name, resource in known.items() if name in used for _ in range(resource.limit or 0))
    processors = (*units, *(UNLIMITED,) * (UNLIMITED in used))
    return Platform(
        name=path.stem,
        classes={name: SystolicArray(rows=1, cols=1) for name in processors},
        processors=processors,
        interconnect=Interconnect(bandwidth_bytes_per_cycle=None),
        clock_hz=1,
    )
