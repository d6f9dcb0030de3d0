"""Modulo-scheduling problems with published least periods, built from the reference data.

Units are pipelined: a task holds its unit for ``blocking`` cycles (its duration), and its result is
there ``latency`` cycles after its start (the edge's lag is the difference).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import networkx as nx

from spikepipe_sched import Interconnect, Limits, Platform, Problem, SystolicArray

#: File of the reference data.
FILE = "modulo_goldens.toml"


def units(counts: Mapping[str, int]) -> Platform:
    """One processor class per kind of unit; communication is free."""
    return Platform(
        name="units",
        classes={name: SystolicArray(rows=1, cols=1) for name in counts},
        processors=tuple(name for name, count in counts.items() for _ in range(count)),
        interconnect=Interconnect(),
        clock_hz=1,
    )


def moovac(data: Mapping[str, Any], span: int) -> Problem:
    """The example of Oppermann et al. under a limit on the span of an iteration."""
    graph: nx.DiGraph[str] = nx.DiGraph(name="moovac")
    for task, (unit, _) in data["tasks"].items():
        graph.add_node(task, cycles={unit: data["blocking"]})
    for u, v, distance in data["edges"]:
        graph.add_edge(u, v, distance=distance, lag=data["tasks"][u][1] - data["blocking"])
    return Problem.from_graph(graph, units(data["units"]), mode="periodic", limits=Limits(span_cycles=span))


def van_dongen(data: Mapping[str, Any], unroll: int) -> Problem:
    """Ten tasks whose recurrences allow 16/3 cycles per iteration.

    Between two tasks only the edge of least distance counts: the others follow from it.
    """
    graph: nx.DiGraph[str] = nx.DiGraph(name="van Dongen")
    for u, v, distance in sorted(data["edges"], key=lambda edge: -edge[2]):
        for task in (u, v):
            graph.add_node(task, cycles=dict.fromkeys(data["units"], data["blocking"]))
        graph.add_edge(u, v, distance=distance, lag=data["latency"] - data["blocking"])
    return Problem.from_graph(graph, units(data["units"]), mode="periodic", unroll=unroll)


def tessel(data: Mapping[str, Any], in_flight: int) -> Problem:
    """Forward through all devices and back; at most ``in_flight`` iterations between F and B of a device (B frees its slot as it starts)."""
    count = data["devices"]
    graph: nx.DiGraph[str] = nx.DiGraph(name="V shape")
    for device in range(count):
        graph.add_node(f"F{device}", kind="F", cycles={f"d{device}": data["F"]})
        graph.add_node(f"B{device}", kind="B", cycles={f"d{device}": data["B"]})
        graph.add_edge(f"B{device}", f"F{device}", distance=in_flight, lag=-data["B"])
    chain = [*(f"F{i}" for i in range(count)), *(f"B{i}" for i in reversed(range(count)))]
    nx.add_path(graph, chain)
    return Problem.from_graph(graph, units({f"d{i}": 1 for i in range(count)}), mode="periodic")


def golden_problems(path: Path) -> dict[str, tuple[Problem, Fraction]]:
    """By name: the problem, and its least period per iteration (the problem's own period over its unroll).

    Parameters
    ----------
    path
        ``modulo_goldens.toml`` of the reference data.
    """
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    oppermann, dongen, v_shape = data["moovac_example"], data["van_dongen"], data["tessel_v_shape"]
    found = {f"moovac, span {span}": (moovac(oppermann, int(span)), Fraction(period)) for span, period in oppermann["answers"].items()}
    found["van Dongen"] = (van_dongen(dongen, 1), Fraction(dongen["answers"]["integer_II"]))
    least = Fraction(dongen["answers"]["rational_II"])
    found["van Dongen, unrolled"] = (van_dongen(dongen, least.denominator), least)
    for limit, period in v_shape["periods"].items():
        found[f"V shape, {limit} in flight"] = (tessel(v_shape, int(limit)), Fraction(period))
    return found
