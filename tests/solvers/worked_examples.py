"""The worked examples of the list-scheduling papers: ten tasks on three unlike processors each."""

from __future__ import annotations

import networkx as nx

from spikepipe_sched import Interconnect, Platform, Problem, SystolicArray


def _example(cycles: list[tuple[int, int, int]], sent: dict[tuple[int, int], int]) -> Problem:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for i, row in enumerate(cycles, start=1):
        graph.add_node(f"n{i}", cycles=dict(zip("abc", row, strict=True)))
    for (u, v), size in sent.items():
        graph.add_edge(f"n{u}", f"n{v}", bytes=size)
    classes = {name: SystolicArray(rows=1, cols=1) for name in "abc"}
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=1)
    return Problem.from_graph(graph, Platform(name="example", classes=classes, processors=("a", "b", "c"), interconnect=link, clock_hz=1))


def heft_example() -> Problem:
    """Figure 2 of Topcuoglu, Hariri and Wu, doi:10.1109/71.993206."""
    cycles = [(14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10), (13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16)]
    sent = {(1, 2): 18, (1, 3): 12, (1, 4): 9, (1, 5): 11, (1, 6): 14, (2, 8): 19, (2, 9): 16, (3, 7): 23, (4, 8): 27, (4, 9): 23, (5, 9): 13}
    return _example(cycles, sent | {(6, 8): 15, (7, 10): 17, (8, 10): 11, (9, 10): 13})


def peft_example() -> Problem:
    """Figure 1 of Arabnejad and Barbosa, doi:10.1109/TPDS.2013.57."""
    cycles = [(22, 21, 36), (22, 18, 18), (32, 27, 43), (7, 10, 4), (29, 27, 35), (26, 17, 24), (14, 25, 30), (29, 23, 36), (15, 21, 8), (13, 16, 33)]
    sent = {(1, 2): 17, (1, 3): 31, (1, 4): 29, (1, 5): 13, (1, 6): 7, (2, 8): 3, (2, 9): 30, (3, 7): 16, (4, 8): 11, (4, 9): 7, (5, 9): 57}
    return _example(cycles, sent | {(6, 8): 5, (7, 10): 9, (8, 10): 42, (9, 10): 7})
