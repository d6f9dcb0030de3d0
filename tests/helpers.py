"""Small problems and hand-made schedules that several tests share."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from spikepipe_sched.check import copy_name
from spikepipe_sched.platform import Interconnect, Platform, SystolicArray
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Provenance, Result, conclude
from spikepipe_sched.schedule import Schedule

HAND = Provenance(solver="hand", version="0", runtime_s=0.25, time_limit_s=30)


def platform(processors: int = 2) -> Platform:
    """Equal 2x2 arrays at 1 GHz; 1 cycle of latency, 4 bytes a cycle."""
    return Platform(
        name="test",
        classes={"array": SystolicArray(rows=2, cols=2)},
        processors=("array",) * processors,
        interconnect=Interconnect(latency_cycles=1, bandwidth_bytes_per_cycle=4),
        clock_hz=10**9,
    )


def unlike_platform() -> Platform:
    """A large and a small array with limited memory."""
    classes = {"big": SystolicArray(rows=4, cols=4, memory_bytes=4096), "small": SystolicArray(rows=2, cols=2, memory_bytes=1024)}
    return replace(platform(), classes=classes, processors=("big", "small"))


def training_graph(layers: int = 2, *, names: tuple[str, ...] | None = None) -> nx.DiGraph[str]:
    """A chain of layers with F, B, W and U, as `lower` would hand it out; F, B, W take 4 cycles, U 1."""
    called = names or tuple(f"l{i}" for i in range(layers))
    graph: nx.DiGraph[str] = nx.DiGraph(name="chain", layers=called, samples_per_iteration=16, cost_terms={"gemm": 1.25, "sparsity": -0.25})
    for layer in called:
        for kind in "FBWU":
            if kind == "B" and layer == called[0]:
                continue
            cycles = 1 if kind == "U" else 4
            graph.add_node(f"{kind}({layer})", kind=kind, layer=layer, window=-1 if kind == "U" else 0, cycles=cycles, macs=0 if kind == "U" else 8)
        for kind in ("F", "B"):
            if (reader := f"{kind}({layer})") in graph:
                graph.add_edge(f"U({layer})", reader, delay_layer=layer, tensors={f"{layer}.weights": 16})
        graph.add_edge(f"W({layer})", f"U({layer})", tensors={f"{layer}.gradient": 16})
        graph.add_edge(f"U({layer})", f"U({layer})", distance=1, tensors={f"{layer}.state": 16})
    for first, second in pairwise(called):
        graph.add_edge(f"F({first})", f"F({second})", tensors={f"{first}.out": 8})
        graph.add_edge(f"F({first})", f"W({second})", tensors={f"{first}.out": 8})
        graph.add_edge(f"B({second})", f"W({first})", tensors={f"{first}.error": 8})
        if f"B({first})" in graph:
            graph.add_edge(f"B({second})", f"B({first})", tensors={f"{first}.error": 8})
    graph.add_edge(f"F({called[-1]})", f"W({called[-1]})", tensors={"loss": 0})
    if f"B({called[-1]})" in graph:
        graph.add_edge(f"F({called[-1]})", f"B({called[-1]})", tensors={"loss": 0})
    return graph


def training_problem(layers: int = 2, processors: int = 2, **options: Any) -> Problem:
    """`training_graph` on `platform`, periodic unless told otherwise."""
    return Problem.from_graph(training_graph(layers), platform(processors), **{"mode": "periodic"} | options)


def in_turn(problem: Problem, placement: list[int] | None = None, *, processor: np.ndarray | None = None) -> Schedule:
    """All copies one after the other, with time for every transfer; each on the first processor that can.

    A ``placement`` names the processor of every task instead, ``processor`` that of every copy.
    """
    instance = problem.instance
    if placement is not None:
        processor = np.array(placement)[instance.task]
    elif processor is None:
        processor = np.array([int(np.flatnonzero(row >= 0)[0]) for row in instance.duration])
    start, clock = np.zeros(instance.size, dtype=np.int64), 0
    pause = int(np.maximum(instance.lag, 0).max(initial=0) + instance.transfer.max(initial=0))
    for v in instance.order.tolist():
        start[v] = clock
        clock += int(instance.duration[v, processor[v]]) + pause
    return Schedule(processor=processor, start=start, period=max(clock, 1) if problem.mode == "periodic" else None)


def hand_result(problem: Problem | None = None, schedule: Schedule | None = None) -> Result:
    """A checked result of `in_turn`, or of the schedule given."""
    problem = problem or training_problem()
    return conclude(problem, schedule or in_turn(problem), provenance=HAND)


def pipelined_result() -> Result:
    """Two layers, one per processor, at the least period of 13 cycles for l1; worth 3 delays in all."""
    problem = training_problem()
    start = {"F(l0)": 0, "F(l1)": 7, "B(l1)": 11, "W(l1)": 15, "U(l1)": 19, "W(l0)": 18, "U(l0)": 22}
    placed = [0 if name.endswith("(l0)") else 1 for name in problem.tasks.names]
    return hand_result(problem, Schedule(processor=np.array(placed), start=np.array([start[name] for name in problem.tasks.names]), period=13))


NAMES = st.text(min_size=1, max_size=6)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Any valid problem: users' own graphs with odd names, lags, distances, classes, both modes."""
    names = draw(st.lists(NAMES.filter(lambda s: s.isprintable()), min_size=1, max_size=6, unique=True))
    mode = draw(st.sampled_from(("periodic", "finite")))
    machine = draw(st.sampled_from((2, platform(3), unlike_platform())))
    classes = ("processor",) if isinstance(machine, int) else tuple(sorted(set(machine.processors)))
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in names:
        some = draw(st.lists(st.sampled_from(classes), min_size=1, unique=True))
        attributes: dict[str, Any] = {"cycles": {c: draw(st.integers(0, 9)) for c in some}}
        if draw(st.booleans()):
            attributes |= {"layer": draw(st.sampled_from("ab")), "kind": draw(st.sampled_from("FBWU")), "window": draw(st.integers(-1, 3)), "macs": 5}
        graph.add_node(name, **attributes)
    for i, u in enumerate(names):
        last = graph.nodes[u].get("kind") == "U"  # in finite mode nothing follows an update
        for v in names[i:]:
            if draw(st.booleans()):
                if graph.nodes[u].get("kind") == "U" and draw(st.booleans()):
                    graph.add_edge(u, v, delay_layer=graph.nodes[u]["layer"], lag=draw(st.integers(-2, 3)), bytes=draw(st.integers(0, 20)))
                else:
                    graph.add_edge(
                        u,
                        v,
                        distance=draw(st.integers(int(u == v or (last and mode == "finite")), 2)),
                        lag=draw(st.integers(-2, 3)),
                        bytes=draw(st.integers(0, 20)),
                    )
    copies = {"unroll": draw(st.integers(1, 3))} if mode == "periodic" else {"micro_batches": draw(st.integers(1, 3))}
    return Problem.from_graph(graph, machine, mode=mode, weights=draw(st.sampled_from(("stash", "latest"))), **copies)


def small_graph(cycles: Mapping[str, Any], edges: Mapping[tuple[str, str], Mapping[str, Any]] | Sequence[tuple[str, str]] = ()) -> nx.DiGraph[str]:
    """A task graph by hand; a task called ``F(a)`` or ``F(a,0)`` is of kind F and of layer a."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, value in cycles.items():
        kind, _, rest = name.partition("(")
        labels = {"kind": kind, "layer": rest.rstrip(")").partition(",")[0]} if rest else {}
        graph.add_node(name, cycles=value, **labels)
    for u, v in edges:
        graph.add_edge(u, v, **(edges[u, v] if isinstance(edges, Mapping) else {}))
    return graph


def by_hand(problem: Problem, tasks: Mapping[str, tuple[int, int]], period: int | None = None) -> Schedule:
    """A schedule from {name: (processor, start)}; copies are called as in `copy_name`."""
    placed = [tasks[copy_name(problem, v)] for v in range(problem.instance.size)]
    return Schedule(processor=np.array([p for p, _ in placed]), start=np.array([s for _, s in placed]), period=period)


@st.composite
def scheduled(draw: st.DrawFn, mode: str | None = None) -> tuple[Problem, Schedule]:
    """Any problem and a schedule of the right shape: any placement, all in turn, at a period that several iterations share.

    Dependences hold inside an iteration; those between iterations and the processors' capacity need not.
    """
    problem = draw(problems().filter(lambda p: mode in (None, p.mode)))
    able = [np.flatnonzero(row >= 0).tolist() for row in problem.tasks.cycles[:, [p.kind for p in problem.processors]]]
    once = problem.mode == "finite"  # there placement belongs to the task
    chosen = [draw(st.sampled_from(options)) for options in able] if once else []
    instance = problem.instance
    processor = np.array([chosen[t] if once else draw(st.sampled_from(able[t])) for t in instance.task.tolist()])
    schedule = in_turn(problem, processor=processor)
    if schedule.period is None:
        return problem, schedule
    return problem, replace(schedule, period=max(1, schedule.period // draw(st.integers(1, 4))))


def hear_interrupts() -> None:
    """For ``preexec_fn``: a child of a shell's background job would ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
