"""The best contiguous cut, against all of them."""

import random
from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np
import pytest

from spikepipe_sched import Interconnect, Platform, Problem, Schedule, SystolicArray, TrainingSetup, load_network, lower
from spikepipe_sched.check import metrics
from spikepipe_sched.cut import MAX_UNITS, Cut, contiguous_cut, joined, units
from tests.helpers import platform, small_graph, training_graph, training_problem

LINK = Interconnect(latency_cycles=1, bandwidth_bytes_per_cycle=4)


def machine(classes: str) -> Platform:
    """One processor per letter, which is its class."""
    array = SystolicArray(rows=1, cols=1)
    return Platform(name="cut", classes=dict.fromkeys(sorted(set(classes)), array), processors=tuple(classes), interconnect=LINK, clock_hz=1)


def traffic(problem: Problem, stage: np.ndarray) -> int:
    """What the checker says crosses, with stage i on processor i, per iteration or in the whole run."""
    placed = stage[problem.instance.task]
    period = 10**6 if problem.mode == "periodic" else None
    total = metrics(problem, Schedule(processor=placed, start=np.zeros(len(placed), dtype=np.int64), period=period)).traffic_bytes
    return total // problem.unroll


def largest_load(problem: Problem, stage: np.ndarray) -> int | None:
    """None if a stage has a task that its processor cannot run."""
    loads: dict[int, int] = {}
    for task, s in enumerate(stage.tolist()):
        cycles = int(problem.tasks.cycles[task, problem.processors[s].kind])
        if cycles < 0:
            return None
        loads[s] = loads.get(s, 0) + cycles * (1 if problem.tasks.kinds[task] == "U" else problem.micro_batches)
    return max(loads.values())


def best_of_all(problem: Problem) -> tuple[int, int, tuple[int, ...]] | None:
    """(load, traffic, borders), the least of all contiguous cuts into nonempty stages."""
    count, unit = units(problem)
    found: list[tuple[int, int, tuple[int, ...]]] = []
    for stages in range(1, min(len(problem.processors), count) + 1):
        for borders in combinations(range(1, count), stages - 1):
            stage = np.searchsorted(np.array(borders, dtype=np.int64), unit, side="right")
            load = largest_load(problem, stage)
            if load is not None:
                found.append((load, traffic(problem, stage), (*borders, count)))
    return min(found, default=None)


def borders(problem: Problem, cut: Cut) -> tuple[int, ...]:
    """Where the stages of a cut end, in units."""
    _, unit = units(problem)
    return tuple(int(unit[cut.stage == s].max()) + 1 for s in range(cut.stages))


def random_layers(rng: random.Random, **options: Any) -> Problem:
    """Layers with F, B, W and U, skips, shared tensors, and now and then a class that cannot run a task."""
    kinds = rng.choice(["p", "pp", "ppp", "pppp", "pq", "pqp", "qqp"])
    count, missing = rng.randint(1, 6), rng.random() < 0.4
    graph = training_graph(count)
    for name in list(graph.nodes):
        row = {c: rng.randint(0, 5) for c in sorted(set(kinds))}
        if missing and len(row) > 1 and rng.random() < 0.2:
            del row[rng.choice(sorted(row))]
        graph.nodes[name]["cycles"] = row
    for _ in range(rng.randint(0, 3)):
        i, j = sorted(rng.sample(range(count), 2)) if count > 1 else (0, 0)
        if i < j:
            graph.add_edge(f"F(l{i})", f"F(l{j})", tensors={f"l{i}.out": 8} if j == i + 1 or rng.random() < 0.5 else {f"skip{i}": rng.randint(1, 9)})
            graph.add_edge(f"B(l{j})", f"W(l{i})", tensors={f"l{j - 1}.error": 8})
    return Problem.from_graph(graph, machine(kinds), **options)


@pytest.mark.parametrize("options", [{"mode": "periodic"}, {"mode": "periodic", "unroll": 2}, {"mode": "finite", "micro_batches": 3}])
@pytest.mark.parametrize("batch", range(5))
def test_the_cut_is_the_first_of_the_best(options: dict[str, Any], batch: int) -> None:
    """Least load, then least traffic, then shortest first stage, second, ..."""
    solved = 0
    for seed in range(batch * 12, batch * 12 + 12):
        problem = random_layers(random.Random(seed), **options)
        best, cut = best_of_all(problem), contiguous_cut(problem)
        if best is None:
            assert cut is None, seed
            continue
        assert cut is not None, seed
        assert (cut.load_cycles, cut.traffic_bytes, borders(problem, cut)) == best, seed
        solved += 1
    assert solved >= 6


@pytest.mark.parametrize("seed", range(25))
def test_without_layers_the_tasks_are_cut(seed: int) -> None:
    """A user's own graph, in both modes, with distances between micro-batches."""
    rng = random.Random(seed)
    n = rng.randint(1, 6)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for i in range(n):
        graph.add_node(f"t{i}", cycles=rng.randint(0, 6))
    for i in range(n):
        for j in range(i + 1, n):
            if rng.random() < 0.5:
                graph.add_edge(f"t{i}", f"t{j}", tensors={f"x{i}": 1 + i}, distance=rng.choice([0, 0, 1, 2]))
    for options in ({"mode": "periodic"}, {"mode": "finite", "micro_batches": 3}):
        problem = Problem.from_graph(graph, machine("p" * rng.randint(1, 4)), **options)
        cut, best = contiguous_cut(problem), best_of_all(problem)
        assert cut is not None
        assert (cut.load_cycles, cut.traffic_bytes, borders(problem, cut)) == best


def test_a_sum_of_micro_batches_crosses_once() -> None:
    graph = small_graph({"F(a)": 5, "U(a)": 5}, {("F(a)", "U(a)"): {"tensors": {"gradient": 8}}})
    del graph.nodes["F(a)"]["layer"], graph.nodes["U(a)"]["layer"]
    cut = contiguous_cut(Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=4))
    assert cut is not None
    assert (cut.load_cycles, cut.traffic_bytes) == (20, 8)


def test_the_traffic_of_sums_over_units_is_exact() -> None:
    """Two producers on one stage send one sum."""
    graph = small_graph({"a": 1, "b": 1, "c": 2}, {(x, "c"): {"tensors": {"sum": 8}} for x in "ab"})
    problem = Problem.from_graph(graph, machine("pp"), mode="periodic")
    cut = contiguous_cut(problem)
    assert cut is not None
    assert (cut.load_cycles, cut.stage.tolist(), cut.traffic_bytes) == (2, [0, 0, 1], 8)
    assert cut.traffic_bytes == traffic(problem, cut.stage)


def test_no_processor_is_skipped() -> None:
    """Stage 0 runs on processor 0, however slow it is."""
    graph = small_graph({"a": {"p": 10, "q": 1}, "b": {"p": 10, "q": 1}}, [("a", "b")])
    cut = contiguous_cut(Problem.from_graph(graph, machine("pq")))
    assert cut is not None
    assert (cut.load_cycles, cut.stages, cut.stage.tolist()) == (10, 2, [0, 1])


def test_not_even_one_that_can_run_nothing() -> None:
    """The third processor could take the last layer, but stage 1 would be on the second."""
    graph = small_graph({"a": {"p": 5}, "b": {"p": 5}, "c": {"p": 5, "r": 1}}, [("a", "b"), ("b", "c")])
    cut = contiguous_cut(Problem.from_graph(graph, machine("pqr")))
    assert cut is not None
    assert (cut.load_cycles, cut.stages) == (15, 1)


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        ([], [0, 1, 2, 3, 4, 5, 6]),
        ([(3, 1)], [0, 1, 1, 1, 2, 3, 4]),
        ([(1, 0), (5, 4)], [0, 0, 1, 2, 3, 3, 4]),
        ([(5, 1), (3, 2)], [0, 1, 1, 1, 1, 1, 2]),
        ([(3, 1), (5, 3)], [0, 1, 1, 1, 1, 1, 2]),
        ([(6, 0), (0, 6), (2, 2)], [0, 0, 0, 0, 0, 0, 0]),
    ],
    ids=["none", "over three", "two", "nested", "overlapping", "all"],
)
def test_units_on_a_loop_are_one(back: list[tuple[int, int]], expected: list[int]) -> None:
    """And all that lie between them."""
    source, target = np.array([*range(6), *(u for u, _ in back)]), np.array([*range(1, 7), *(v for _, v in back)])
    assert joined(np.arange(7), source, target).tolist() == expected


def test_a_stage_never_has_a_task_that_its_processor_cannot_run() -> None:
    """One such task among many, in few layers."""
    graph = training_graph(3)
    for name in graph.nodes:
        graph.nodes[name]["cycles"] = {"p": 4, "q": 4}
    for i in range(100):
        graph.add_node(f"x{i}", cycles=1, kind="F", layer="l1")
    graph.nodes["x7"]["cycles"] = {"q": 1}
    cut = contiguous_cut(Problem.from_graph(graph, machine("pq")))
    assert cut is not None
    assert cut.stages == 2
    assert cut.load_cycles < 1000
    graph.nodes["F(l0)"]["cycles"] = {"q": 1}  # nothing can be on processor 0 any more
    assert contiguous_cut(Problem.from_graph(graph, machine("pq"))) is None


def test_layers_are_cut_in_topological_order_whatever_order_they_come_in() -> None:
    """A graph that lists no layers and names the last one first."""
    graph = training_graph(4)
    turned: nx.DiGraph[str] = nx.DiGraph()
    turned.add_nodes_from(reversed(list(graph.nodes(data=True))))
    turned.add_edges_from(graph.edges(data=True))
    problem = Problem.from_graph(turned, platform(3))
    assert problem.layers == ("l0", "l1", "l2", "l3")
    cut, usual = contiguous_cut(problem), contiguous_cut(Problem.from_graph(graph, platform(3)))
    assert cut is not None
    assert usual is not None
    assert (cut.load_cycles, cut.traffic_bytes, cut.stages) == (usual.load_cycles, usual.traffic_bytes, usual.stages)


def test_more_processors_than_layers_are_left_idle() -> None:
    cut = contiguous_cut(training_problem(2, 8))
    assert cut is not None
    assert cut.stages == 2
    one = contiguous_cut(training_problem(2, 1))
    assert one is not None
    assert (one.stages, one.traffic_bytes) == (1, 0)


def test_too_many_units_are_not_cut() -> None:
    graph = small_graph({f"t{i}": 1 for i in range(MAX_UNITS + 1)})
    assert contiguous_cut(Problem.from_graph(graph, 2)) is None


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_a_library_network_is_cut_as_the_checker_counts(micro_batches: int) -> None:
    machine = platform(3)
    graph = lower(load_network("tiny"), TrainingSetup(batch=4, windows=2), machine)
    options: dict[str, Any] = {"mode": "finite", "micro_batches": micro_batches} if micro_batches > 1 else {"mode": "periodic"}
    problem = Problem.from_graph(graph, machine, **options)
    cut, best = contiguous_cut(problem), best_of_all(problem)
    assert cut is not None
    assert (cut.load_cycles, cut.traffic_bytes, borders(problem, cut)) == best
