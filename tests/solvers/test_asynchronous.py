"""The asynchronous pipelines: PipeDream's delays, LayerPipe's cut and hops, SpikePipe's balance."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, groupby, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings

from spikepipe_sched import Problem, Split, TrainingSetup, check, list_networks, load_network, lower, solve
from spikepipe_sched.check import durations
from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.solver import load_solver
from spikepipe_sched.training import default_windows
from spikepipe_solvers.balance import largest_load, longest_first
from spikepipe_solvers.decode import Decoder
from spikepipe_solvers.layerpipe import PASSES
from spikepipe_solvers.spikepipe import _fill, place
from tests.helpers import problems, small_graph, training_graph
from tests.solvers.instances import INSTANCES, arrays, loop_problem, network_problem, own_graph, unlike
from tests.solvers.test_heuristics import equal_stages
from tests.test_cut import random_layers, traffic

ASYNCHRONOUS = ("pipedream", "layerpipe", "spikepipe")
NETWORKS = tuple(entry.name for entry in list_networks())
#: Networks of more than a hundred tasks, which are checked without windows.
LARGE = ("resnet19_cifar", "sew_resnet18", "spikformer_cifar")


def library_problem(name: str, windows: int, count: int = 4, **options: object) -> Problem:
    """A library network on small arrays."""
    network, machine = load_network(name), arrays(count)
    graph = lower(network, TrainingSetup(batch=2, windows=default_windows(network, windows)), machine, **options)  # pyright: ignore[reportArgumentType]
    return Problem.from_graph(graph, machine, mode="periodic")


def periodic(cycles: dict[str, int], edges: Sequence[tuple[str, str]] = (), *, count: int = 3) -> Problem:
    """A graph by hand, on like processors with free communication."""
    return Problem.from_graph(small_graph(cycles, edges), count, mode="periodic")


def loaded(cycles: list[int], count: int) -> Problem:
    """Tasks that exchange nothing."""
    return periodic({f"t{i}": c for i, c in enumerate(cycles)}, count=count)


def staleness(problem: Problem, solver: str) -> list[int]:
    """D_l - 1 of every layer, in order."""
    figures = solve(problem, solver).metrics
    assert figures is not None
    return [delay - 1 for _, delay in figures.delays]


@pytest.mark.parametrize(("name", "windows"), [(name, windows) for name in NETWORKS for windows in (1, 4) if windows == 1 or name not in LARGE])
def test_every_library_network_has_an_asynchronous_pipeline(name: str, windows: int) -> None:
    problem = library_problem(name, windows)
    for solver in ASYNCHRONOUS:
        found = solve(problem, solver)
        assert found.schedule is not None, solver
        assert check(problem, found.schedule) == ()


@settings(max_examples=100, deadline=None)
@given(problem=problems().filter(lambda problem: problem.mode == "periodic"))
def test_any_periodic_problem_has_a_pipeline_or_a_reason_for_none(problem: Problem) -> None:
    """Odd kinds and layers, lags, distances, unlike processors, too little memory."""
    for solver in ASYNCHRONOUS:
        if load_solver(solver).spec.supports(problem) is None:
            found = solve(problem, solver)
            assert found.schedule is not None or (found.infeasibility is not None and found.infeasibility.loosen)


@pytest.mark.parametrize("name", ["tiny, windows 4", "tiny, unlike arrays", "tiny, latest weights", "residual", "recurrent", "loop through time", "ring"])
def test_pipedream_is_the_periodic_mode_of_stages(name: str) -> None:
    problem = INSTANCES[name]()
    reason, same = (load_solver(solver).spec.supports(problem) for solver in ("pipedream", "stages"))
    assert reason == same
    if reason is None:
        assert solve(problem, "pipedream").schedule == solve(problem, "stages").schedule


@pytest.mark.parametrize("update", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_the_staleness_of_pipedream_is_the_number_of_stages_behind(count: int, update: int) -> None:
    """Of equal stages, the weight gradient inside B, whether updates are free or part of the period."""
    problem = equal_stages(count, mode="periodic")
    cycles = problem.tasks.cycles.copy()
    cycles[[kind == "U" for kind in problem.tasks.kinds]] = update
    problem = replace(problem, tasks=replace(problem.tasks, cycles=cycles))
    assert solve(problem, "pipedream").objective == 6 + update
    assert staleness(problem, "pipedream") == list(range(count - 1, -1, -1))


def test_layers_of_one_stage_share_its_delay() -> None:
    """Two layers on each of three processors: the stages behind count, not the layers."""
    wide = equal_stages(6, mode="periodic")
    assert staleness(replace(wide, processors=wide.processors[:3]), "pipedream") == [2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize("solver", ["pipedream", "layerpipe"])
def test_a_lag_within_a_block_keeps_its_tasks_apart(solver: str) -> None:
    """The period grows by what the processor waits, and by nothing where a lag is negative."""
    lengths = list[int | None]()
    for lag in (-3, 0, 5):
        graph = training_graph(2)
        for task in graph:
            graph.nodes[task]["cycles"] = 0 if task.startswith("U") else 4
        graph.edges["F(l0)", "F(l1)"]["lag"] = lag
        found = solve(Problem.from_graph(graph, 1 if solver == "pipedream" else 3, mode="periodic"), solver)
        assert found.schedule is not None
        lengths.append(found.objective)
    assert lengths == ([20, 20, 25] if solver == "pipedream" else [8, 8, 13])


def one_layer_per_stage(layers: int, *, with_error: bool) -> Problem:
    """F, B, W of 4 cycles with free transfers and updates, a processor for each; the last error a task of its own, or part of what reads it."""
    graph = training_graph(layers)
    last = f"l{layers - 1}"
    for task, data in graph.nodes(data=True):
        data["cycles"] = 0 if task.startswith("U") else 4
    if with_error:
        graph.add_node(f"E({last})", kind="E", layer=last, cycles=0)
        graph.add_edge(f"F({last})", f"E({last})")
        for reader in [v for v in graph.successors(f"F({last})") if v[0] in "BW"]:
            graph.remove_edge(f"F({last})", reader)
            graph.add_edge(f"E({last})", reader)
    return Problem.from_graph(graph, 3 * layers - 1, mode="periodic")


@pytest.mark.parametrize("with_error", [False, True])
@pytest.mark.parametrize("layers", [2, 3, 6])
def test_the_staleness_of_layerpipe_is_twice_the_number_of_stages_behind_and_one(layers: int, with_error: bool) -> None:
    """A hop forward and a hop back for each stage behind, one to the weight gradient; where the loss has a task, one more to that in the last layer."""
    problem = one_layer_per_stage(layers, with_error=with_error)
    assert solve(problem, "layerpipe").objective == 4
    assert staleness(problem, "layerpipe") == [2 * behind + 1 for behind in range(layers - 1, 0, -1)] + [1 + with_error]


def best_passes(problem: Problem) -> tuple[int, int] | None:
    """(largest load, traffic), the least of all contiguous cuts of the three passes on processors of their own, in any order of the passes."""
    tasks = problem.tasks
    place = [(PASSES[kind], layer if kind == "F" else -layer) for kind, layer in zip(tasks.kinds, tasks.layer.tolist(), strict=True)]
    ways: list[list[dict[tuple[int, int], int]]] = []  # by pass: the stages of its layers, in every way to cut it
    for p in range(3):
        chain = sorted(x for x in set(place) if x[0] == p)
        cuts = [borders for k in range(max(1, len(chain))) for borders in combinations(range(1, len(chain)), k)]
        ways.append([{x: sum(border <= i for border in borders) for i, x in enumerate(chain)} for borders in cuts])
    found: list[tuple[int, int]] = []
    for chosen, order in product(product(*ways), permutations(range(3))):
        used = [max(way.values(), default=-1) + 1 for way in chosen]
        stage = np.array([sum(used[p] for p in order[: order.index(x[0])]) + chosen[x[0]][x] for x in place])
        if stage.max() < len(problem.processors):
            cycles = tasks.cycles[np.arange(len(stage)), [problem.processors[s].kind for s in stage.tolist()]]
            if (cycles >= 0).all():
                found.append((int(np.bincount(stage, weights=cycles).max()), traffic(problem, stage)))
    return min(found, default=None)


@pytest.mark.parametrize("seed", range(40))
def test_layerpipe_shares_the_processors_out_best(seed: int) -> None:
    """The load of the best of all cuts of all passes; on like processors, where no tensor has two producers, its traffic as well."""
    rng = random.Random(seed)
    problem = random_layers(rng)
    while len(problem.processors) < 3 or len(problem.layers) > 4:
        problem = random_layers(rng)
    best, reason = best_passes(problem), load_solver("layerpipe").spec.supports(problem)
    assert (best is None) == (reason is not None)
    if best is None:
        return
    found = solve(problem, "layerpipe")
    assert found.metrics is not None
    assert found.objective == max(1, best[0])
    edges = problem.edges
    made = np.stack([np.repeat(edges.source, np.diff(edges.tensor_ptr)), edges.tensor])
    single = np.unique(made, axis=1).shape[1] == len(np.unique(edges.tensor))
    if single and len({p.kind for p in problem.processors}) == 1:
        assert found.metrics.traffic_bytes == best[1]


@pytest.mark.parametrize("name", ["vgg9", "sew_resnet18", "srnn_shd"])
def test_layerpipe_begins_every_block_a_period_and_a_transfer_after_those_it_reads(name: str) -> None:
    problem = library_problem(name, 1, count=8)
    found = solve(problem, "layerpipe").schedule
    assert found is not None
    assert found.period is not None
    instance, turn = problem.instance, [PASSES[kind] for kind in problem.tasks.kinds]
    begin = {p: int(found.start[found.processor == p].min()) for p in set(found.processor.tolist())}
    length = durations(problem, found)
    for p, first in begin.items():
        mine = np.flatnonzero(found.processor == p)
        assert len({turn[v] for v in mine.tolist()}) == 1
        assert int((found.start + length)[mine].max()) - first == length[mine].sum()
    hops = 0
    for u, v, distance, transfer in zip(*(a.tolist() for a in (instance.source, instance.target, instance.distance, instance.transfer)), strict=True):
        p, q = int(found.processor[u]), int(found.processor[v])
        if distance == 0 and p != q:
            assert begin[q] >= begin[p] + found.period + transfer
            hops += begin[q] == begin[p] + found.period + transfer
    assert hops >= len(begin) - 1  # each but the first waits for nothing else


def test_layerpipe_divides_an_activation_gradient_between_neighbours() -> None:
    """B in two parts: one of them lies on two consecutive processors, and the largest load falls."""
    whole, split = (library_problem("dvs_gesture_plif", 1, count=8, splits=splits) for splits in ((), (Split(kind="B", axis="n", parts=2),)))
    before, after = solve(whole, "layerpipe"), solve(split, "layerpipe")
    assert before.objective is not None
    assert after.objective is not None
    assert after.schedule is not None
    assert after.objective < before.objective
    parts = [v for v, part in enumerate(split.tasks.parts) if split.tasks.kinds[v] == "B" and "/" in part]
    pairs = [[int(after.schedule.processor[v]) for v in some] for _, some in groupby(parts, key=lambda v: split.tasks.layer[v])]
    assert {b - a for a, b in pairs} <= {0, 1}
    assert 1 in {b - a for a, b in pairs}


@pytest.mark.parametrize(
    ("make", "solver", "reason"),
    [
        (lambda: network_problem(platform=arrays(2)), "layerpipe", "needs a processor of its own: 3, and there are 2"),
        (lambda: loaded([1], 3), "layerpipe", "task 't0' has the kind ''"),
        (lambda: network_problem(unroll=2), "layerpipe", "use unroll=1"),
        (lambda: network_problem(unroll=2), "spikepipe", "use unroll=1"),
        (own_graph, "layerpipe", "--mode periodic"),
        (own_graph, "spikepipe", "--mode periodic"),
        (own_graph, "pipedream", "or the solver 'stages'"),
        (lambda: periodic({"W(a)": 1, "F(a)": 1}, [("W(a)", "F(a)")]), "layerpipe", "a later pass of its own iteration"),
        (lambda: periodic({"B(a)": 1, "B(b)": 1, "W(a)": 1}, [("B(a)", "B(b)"), ("B(b)", "W(a)")]), "pipedream", "wait for each other in turn"),
    ],
)
def test_what_a_pipeline_cannot_take_is_said(make: Callable[[], Problem], solver: str, reason: str) -> None:
    assert reason in (load_solver(solver).spec.supports(make()) or "")


@pytest.mark.parametrize("make", [loop_problem, lambda: library_problem("fsnn_mnist", 1)])
def test_a_stage_keeps_a_loop_through_time_whole(make: Callable[[], Problem]) -> None:
    """Layers that wait for each other step by step cannot run in two blocks."""
    problem = make()
    cut = contiguous_cut(problem)
    assert cut is not None
    edges, forward = problem.edges, [kind == "F" for kind in problem.tasks.kinds]
    back = [
        (u, v)
        for u, v, distance in zip(edges.source.tolist(), edges.target.tolist(), edges.distance.tolist(), strict=True)
        if distance == 0 and forward[u] and forward[v] and problem.tasks.layer[u] > problem.tasks.layer[v]
    ]
    assert back
    assert all(cut.stage[u] == cut.stage[v] for u, v in back)
    assert solve(problem, "stages").schedule is not None


@pytest.mark.parametrize("seed", range(20))
def test_spikepipe_balances_as_well_as_longest_processing_time_first(seed: int) -> None:
    """(4 - 1 / P) / 3 times the least largest load (Graham 1969), and a hundredth, at most."""
    rng = random.Random(seed)
    count = rng.choice((2, 3))
    cycles = [rng.randint(1, 500) for _ in range(7)]
    least = min(max(sum(c for c, q in zip(cycles, chosen, strict=True) if q == p) for p in range(count)) for chosen in product(range(count), repeat=7))
    found = solve(loaded(cycles, count), "spikepipe").objective
    assert found is not None
    assert least <= found <= 1.01 * (4 - 1 / count) / 3 * least


def test_spikepipe_moves_fewer_bytes_than_plain_balancing_at_nearly_its_load() -> None:
    """Over the library: loads within a hundredth of longest processing time first, a fifth less traffic."""
    shares: list[float] = []
    for name in NETWORKS:
        problem = library_problem(name, 1)
        near, plain = place(problem), longest_first(problem.instance.duration)
        load = largest_load(problem.instance.duration, plain)
        assert largest_load(problem.instance.duration, near) <= load + load // 100
        shares.append(traffic(problem, near) / traffic(problem, plain))
    assert sum(shares) < 0.8 * len(shares)


@pytest.mark.parametrize("windows", [1, 4])
def test_spikepipe_uses_unlike_processors_by_their_speed(windows: int) -> None:
    """Better than the fast processor alone, though the slow ones need several times as long."""
    problem = network_problem(windows=windows, platform=unlike())
    alone, found = solve(problem, "sequential").objective, solve(problem, "spikepipe").objective
    assert alone is not None
    assert found is not None
    assert found < alone


def test_compiled_and_plain_filling_place_alike() -> None:
    """On random tasks that exchange random amounts."""
    rng = np.random.default_rng(0)
    n, count, degree = 60, 5, 4
    cycles, order = rng.integers(1, 100, n * count), rng.permutation(n)
    graph = (np.arange(n + 1) * degree, rng.integers(0, n, n * degree), rng.integers(0, 9, n * degree))
    outcomes: list[tuple[bool, list[int]]] = []
    for capacity in (300, 700, 2000):
        for fast in (False, True):
            placed = np.zeros(n, dtype=np.int64)
            fits = _fill.pick(fast=fast)(order, cycles, count, capacity, *graph, np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64), placed)
            outcomes.append((bool(fits), placed.tolist()))
    assert outcomes[::2] == outcomes[1::2]
    assert [fits for fits, _ in outcomes[::2]] == [False, True, True]


def test_a_list_schedule_begins_an_empty_processor_when_its_inputs_are_there() -> None:
    """A chain over three processors, whose period leaves no cycle to spare."""
    problem = periodic({"a": 4, "b": 4, "c": 4}, [("a", "b"), ("b", "c")])
    decoder = Decoder(problem)
    assert decoder.fixed(4, [0, 1, 2], decoder.order) == [0, 4, 8]
    assert decoder.fixed(5, [0, 1, 2], decoder.order) == [0, 4, 8]
