"""List scheduling against its papers, a slow twin, the checker, and graphs with a known optimum."""

from __future__ import annotations

import random
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Interconnect, Platform, Problem, Schedule, SystolicArray, check, solve
from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.check import durations
from spikepipe_sched.errors import InputError
from spikepipe_sched.solver import Budget, Solver
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists import SOLVER, ListScheduling, ahead, dynamic, list_schedule, ranks, solver, upward_rank
from spikepipe_solvers.lists.gaps import find_gap, gap_start, no_gaps, take_gap
from spikepipe_solvers.lists.graph import Graph, Links, graph_of
from spikepipe_solvers.lists.improve import MakespanSearch, improve_makespan
from spikepipe_solvers.lists.ranks import downward, optimistic, upward
from spikepipe_solvers.lists.solver import schedule_of
from tests.known_optimum import known_optimum
from tests.solvers.worked_examples import heft_example, peft_example
from tests.structures import like_platform, structured_graph


def odd_problem(seed: int, *, most: int = 12) -> Problem:
    """Random: unlike and like processors, classes that cannot run a task, lags of both signs, transfers, micro-batches, a last update."""
    rng = random.Random(seed)
    n, classes = rng.randint(1, most), "ab"[: rng.randint(1, 2)]
    graph: nx.DiGraph[int] = nx.DiGraph()
    for v in range(n):
        able = [c for c in classes if rng.random() < 0.8] or [rng.choice(classes)]
        graph.add_node(v, cycles={c: rng.randint(0, 9) for c in able}, kind="U" if v == n - 1 and rng.random() < 0.5 else "")
        for u in range(v):
            if rng.random() < 2 / n:
                graph.add_edge(u, v, bytes=rng.choice([0, rng.randint(1, 9)]), lag=rng.choice([0, 0, rng.randint(-4, 4)]))
    processors = tuple(classes) + tuple(rng.choice(classes) for _ in range(rng.randint(0, 3)))
    platform = Platform(
        name="odd",
        classes={c: SystolicArray(rows=1, cols=1) for c in classes},
        processors=processors,
        interconnect=Interconnect(latency_cycles=rng.randint(0, 3), bandwidth_bytes_per_cycle=rng.randint(1, 2)),
        clock_hz=1,
    )
    return Problem.from_graph(graph, platform, mode="finite", micro_batches=rng.randint(1, 3))


seeds = st.integers(0, 100_000)


# -- the papers -------------------------------------------------------------------------------------


def test_heft_reproduces_its_paper() -> None:
    """Both ranks of table 3 and the makespan 80 of figure 3."""
    problem = heft_example()
    assert upward_rank(problem) == pytest.approx([108.000, 77.000, 80.000, 80.000, 69.000, 63.333, 42.667, 35.667, 44.333, 14.667], abs=5e-4)
    assert downward(graph_of(problem)) == pytest.approx([0, 31, 25, 22, 24, 27, 62.333, 66.667, 63.667, 93.333], abs=5e-4)
    assert solve(problem, "list").objective == 80


@pytest.mark.parametrize(("preset", "makespan"), [("heft", 80), ("cpop", 86), ("dls", 91)])
def test_presets_reproduce_the_makespans_of_the_heft_paper(preset: str, makespan: int) -> None:
    """Figure 3, and section 4.2 for DLS."""
    assert solve(heft_example(), SOLVER.preset(preset)).objective == makespan


def test_peft_reproduces_its_paper() -> None:
    """The optimistic cost table and ranks of table 5, and every step of table 6."""
    problem = peft_example()
    rank, table = optimistic(graph_of(problem))
    first = [[64, 68, 86], [42, 39, 42], [27, 41, 43], [42, 39, 50], [28, 37, 28], [42, 39, 44], [13, 16, 22], [13, 16, 33], [13, 16, 20], [0, 0, 0]]
    assert table.tolist() == first
    assert rank == pytest.approx([72.7, 41, 37, 43.7, 31, 41.7, 17, 20.7, 16.3, 0], abs=0.05)
    found = solve(problem, SOLVER.preset("peft"))
    assert found.schedule is not None
    assert found.schedule.processor.tolist() == [0, 0, 0, 0, 2, 1, 0, 1, 2, 1]
    assert found.schedule.start.tolist() == [0, 29, 51, 22, 35, 29, 83, 54, 81, 106]


@pytest.mark.parametrize(("preset", "makespan"), [("peft", 122), ("lookahead", 127), ("heft", 133)])
def test_presets_reproduce_the_makespans_of_the_peft_paper(preset: str, makespan: int) -> None:
    """Figure 2."""
    assert solve(peft_example(), SOLVER.preset(preset)).objective == makespan


# -- presets ------------------------------------------------------------------------------------------


def test_the_default_is_heft() -> None:
    """``list`` and ``list:heft`` give the same schedule."""
    problem = odd_problem(3)
    assert solve(problem, "list").schedule == solve(problem, SOLVER.preset("heft")).schedule


@pytest.mark.parametrize("name", SOLVER.presets)
def test_every_preset_is_a_solver_with_its_name(name: str) -> None:
    """Named after the solver, with a source unless it is the house's own."""
    preset = SOLVER.preset(name)
    assert isinstance(preset, Solver)
    assert preset.spec.name == f"list:{name}"
    assert preset.spec.source.startswith("doi:") or name in ("random", "early")


@pytest.mark.parametrize("name", SOLVER.presets)
@given(seed=seeds)
@settings(max_examples=30)
def test_presets_are_feasible(name: str, seed: int) -> None:
    """Whatever the lags, transfers, eligibility and micro-batches."""
    problem = odd_problem(seed)
    found = SOLVER.preset(name).run(graph_of(problem), seed)
    schedule = schedule_of(found)
    assert check(problem, schedule) == ()
    assert found[0] == int((schedule.start + durations(problem, schedule)).max()) >= makespan_bound(problem).value


@pytest.mark.parametrize("seed", range(5))
def test_a_backward_rule_schedules_the_mirrored_graph(seed: int) -> None:
    """An in-tree is to it what the out-tree with all edges turned round is to the rule itself."""
    graph = structured_graph("in-tree", 20, 2, seed)
    backward = solve(Problem.from_graph(graph, like_platform(3)), SOLVER.preset("backward-etf"))
    turned = Problem.from_graph(nx.DiGraph(graph.reverse()), like_platform(3))
    order = graph_of(Problem.from_graph(graph, like_platform(3))).mirrored()
    assert backward.objective == SOLVER.preset("etf").run(order)[0]
    assert backward.schedule is not None
    assert check(turned, mirrored(backward.schedule, graph_of(turned))) == ()


def mirrored(schedule: Schedule, graph: Graph) -> Schedule:
    """With time running the other way."""
    end = schedule.start + graph.cycles[graph.task, graph.kind[schedule.processor]]
    return Schedule(processor=schedule.processor, start=end.max() - end)


def test_an_unknown_preset_is_refused() -> None:
    """The message names all that exist."""
    with pytest.raises(InputError, match=r"no preset 'hefty'; choose from heft, peft, cpop"):
        SOLVER.preset("hefty")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priority": "up"}, "priority must be one of upward"),
        ({"priority": "start"}, "needs choice 'finish' and placement 'append'"),
        ({"choice": "ahead", "placement": "append"}, "needs placement 'insertion'"),
    ],
)
def test_rules_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    """With what would."""
    with pytest.raises(InputError, match=message):
        ListScheduling(**options)


def test_a_random_order_follows_its_seed() -> None:
    """The same seed, the same schedule; other seeds, others."""
    problem, _ = known_optimum(60, 3, density=1, transfers=False)
    preset = SOLVER.preset("random")
    found = [solve(problem, preset, seed=seed).schedule for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


# -- the rules, against slow twins --------------------------------------------------------------------


def slow_list_schedule(problem: Problem, priority: list[float]) -> Schedule:
    """Earliest finish with insertion, as its definition reads: all starts at which something ends are tried."""
    instance = problem.instance
    edges = list(zip(*(a.tolist() for a in (instance.source, instance.target, instance.lag, instance.transfer)), strict=True))
    position = {v: i for i, v in enumerate(instance.order.tolist())}
    placed: dict[int, tuple[int, int, int]] = {}  # copy -> processor, start, end
    home: dict[int, int] = {}
    while len(placed) < instance.size:
        ready = [v for v in range(instance.size) if v not in placed and all(u in placed for u, w, *_ in edges if w == v)]
        v = min(ready, key=lambda w: (-priority[w], position[w]))
        options: list[tuple[int, int, int]] = []
        task = int(instance.task[v])
        for p in [home[task]] if task in home else range(len(problem.processors)):
            cycles = int(instance.duration[v, p])
            if cycles < 0:
                continue
            arrival = max([0, *(placed[u][2] + lag + (transfer if placed[u][0] != p else 0) for u, w, lag, transfer in edges if w == v)])
            busy = [(begin, end) for q, begin, end in placed.values() if q == p and end > begin]
            starts = sorted({arrival, *(end for _, end in busy if end > arrival)})
            begin = next(s for s in starts if cycles == 0 or all(s + cycles <= b or s >= e for b, e in busy))
            options.append((begin + cycles, p, begin))
        end, p, begin = min(options)
        placed[v], home[task] = (p, begin, end), p
    return Schedule(processor=np.array([placed[v][0] for v in range(instance.size)]), start=np.array([placed[v][1] for v in range(instance.size)]))


@given(seeds)
@settings(max_examples=60)
def test_placement_equals_its_definition(seed: int) -> None:
    """Gaps, the two arrivals and the heap change nothing."""
    problem = odd_problem(seed)
    priority = np.random.default_rng(seed).integers(0, 5, size=problem.instance.size).tolist()
    assert list_schedule(problem, priority) == slow_list_schedule(problem, priority)


@given(seeds)
@settings(max_examples=30)
def test_ranks_are_the_longest_paths(seed: int) -> None:
    """Against all paths, one by one, without memory."""
    problem = odd_problem(seed, most=7)
    graph, instance = graph_of(problem), problem.instance
    mean, up = graph.mean_cycles().tolist(), upward(graph)
    cost = {(u, v): c for u, v, c in zip(instance.source.tolist(), instance.target.tolist(), (instance.lag + instance.transfer).tolist(), strict=True)}

    def longest(v: int) -> float:
        return mean[v] + max([0, *(c + longest(w) for (u, w), c in cost.items() if u == v)])

    assert up.tolist() == pytest.approx([longest(v) for v in range(instance.size)])
    mirrored = graph.mirrored()
    assert downward(graph) + mean == pytest.approx(upward(mirrored))


def test_gaps_are_filled_first_fit() -> None:
    """Idle time is used as soon as it is long enough, and what is left of it stays."""
    gaps = no_gaps(8, 2)
    for start, stop in ((2, 4), (6, 9), (10, 12)):
        gap = find_gap(gaps, 1, start, stop - start)
        take_gap(gaps, 1, gap, start, stop, 1)
    assert [gap_start(gaps, 1, find_gap(gaps, 1, ready, 2), ready) for ready in (0, 1, 3, 7, 11)] == [0, 4, 4, 12, 12]
    take_gap(gaps, 1, find_gap(gaps, 1, 0, 2), 0, 2, 1)
    take_gap(gaps, 1, find_gap(gaps, 1, 4, 1), 4, 5, 1)
    assert [gap_start(gaps, 1, find_gap(gaps, 1, 0, length), 0) for length in (1, 2)] == [5, 12]
    assert gaps.held.tolist() == [0, 2]


# -- compiled kernels ---------------------------------------------------------------------------------


def forced(fast: bool) -> Any:
    """A `Kernel.pick` that always picks the same."""
    return lambda kernel, **_: kernel.compiled if fast else kernel.function


@pytest.mark.parametrize("name", SOLVER.presets)
def test_compiled_rules_equal_plain_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit."""
    graphs = [graph_of(odd_problem(seed, most=40)) for seed in range(15)]
    found: list[list[Any]] = []
    for fast in (False, True):
        monkeypatch.setattr(Kernel, "pick", forced(fast))
        found.append([(m, p.tolist(), s.tolist()) for m, p, s in (SOLVER.preset(name).run(graph, 7) for graph in graphs)])
    assert found[0] == found[1]


def test_the_compiled_search_equals_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same schedules from the same random numbers."""
    problem, optimum = known_optimum(60, 3, density=4, transfers=True, seed=2)
    found: list[Any] = []
    for fast in (False, True):
        monkeypatch.setattr(Kernel, "pick", forced(fast))
        incumbent = Incumbent(problem, "test")
        improve_makespan(incumbent, Clock(Budget(deterministic_limit=0.005)), 3, bound=optimum - 1)
        found.append((incumbent.key, incumbent.winner, incumbent.schedule))
    assert found[0] == found[1]


def test_large_problems_choose_compiled_kernels() -> None:
    """By the work of a pass."""
    assert not ranks.compiles(graph_of(odd_problem(1)))
    assert ranks.compiles(graph_of(known_optimum(2000, 8, density=2, transfers=False)[0]))
    assert solver.compiles is ranks.compiles is dynamic.compiles is ahead.compiles


# -- improvement ------------------------------------------------------------------------------------------


def improved(problem: Problem, *, limit: float, bound: int = 0, hint: Schedule | None = None, seed: int = 1) -> Incumbent:
    """What the improvement leaves under a deterministic limit."""
    incumbent = Incumbent(problem, "test")
    if hint is not None:
        incumbent.offer(hint, "hint")
    improve_makespan(incumbent, Clock(Budget(deterministic_limit=limit)), seed, bound=bound)
    return incumbent


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_improvement_is_feasible_and_never_worse_than_a_preset(seed: int) -> None:
    """Every offer passes the check; the incumbent never gets worse."""
    problem = odd_problem(seed)
    graph, worst = graph_of(problem), SOLVER.preset("random").run(graph_of(problem), seed)
    incumbent = improved(problem, limit=0.001, hint=schedule_of(worst))
    assert incumbent.schedule is not None
    assert incumbent.value("makespan") <= min(worst[0], *(SOLVER.preset(name).run(graph)[0] for name in ("heft", "mcp", "hlfet")))
    assert incumbent.value("makespan") >= makespan_bound(problem).value


def test_improvement_follows_its_seed() -> None:
    """The same seed and limit, the same schedule."""
    problem, _ = known_optimum(80, 4, density=4, transfers=True)
    first, second = (improved(problem, limit=0.01) for _ in range(2))
    assert first.schedule == second.schedule
    assert first.winner == second.winner


def test_improvement_ends_at_the_bound() -> None:
    """A clock that has all the time in the world is hardly touched."""
    problem, optimum = known_optimum(200, 2, density=0.5, transfers=False)
    incumbent = Incumbent(problem, "test")
    clock = Clock(Budget(deterministic_limit=1e9))
    improve_makespan(incumbent, clock, 0, bound=optimum)
    assert incumbent.value("makespan") == optimum
    assert clock.work_left > 1e9 - 100


@pytest.mark.parametrize("unlike", [False, True])
def test_search_closes_most_of_the_gap_that_rules_leave(unlike: bool) -> None:
    """On a graph with a known optimum, transfers and five drawn edges a task."""
    problem, optimum = known_optimum(300, 4, density=5, transfers=True, unlike=unlike)
    assert makespan_bound(problem).value == optimum
    rules = improved(problem, limit=1e-6).value("makespan")
    searched = improved(problem, limit=0.5).value("makespan")
    assert optimum <= searched < optimum + (rules - optimum) / 2


def test_a_mirrored_schedule_belongs_to_the_mirrored_graph() -> None:
    """Turning twice gives the schedule back; turned once it satisfies all edges backwards."""
    graph = graph_of(odd_problem(11, most=30))
    search = MakespanSearch(graph, Clock(Budget(deterministic_limit=1.0)), 0, 0, Incumbent(heft_example(), "test"))
    search.enter(SOLVER.run(graph), 0, "test")
    start = search.start.copy()
    search.turn()
    end = search.start + graph.cycles[graph.task, graph.kind[search.processor]]
    links: Links = search.graphs[1].before
    for v in range(graph.size):
        for e in range(links.ptr[v], links.ptr[v + 1]):
            u = links.other[e]
            apart = search.processor[u] != search.processor[v]
            assert search.start[v] >= end[u] + links.lag[e] + apart * links.transfer[e]
    search.turn()
    assert search.start.tolist() == start.tolist()


def test_arrays_have_one_type_whatever_the_problem() -> None:
    """So that each kernel is compiled once: int32 indices, int64 times, contiguous and writable."""
    for problem in (heft_example(), odd_problem(5), known_optimum(50, 2, density=1, transfers=False)[0]):
        graph: Graph = graph_of(problem)
        for side in (graph, graph.mirrored()):
            for links in (side.before, side.after):
                assert links.ptr.dtype == links.other.dtype == side.task.dtype == side.order.dtype == side.position.dtype == side.kind.dtype == np.int32
                assert links.lag.dtype == links.transfer.dtype == side.cycles.dtype == np.int64
                arrays = (links.ptr, links.other, links.lag, links.transfer, side.task, side.order, side.position, side.kind, side.cycles)
                assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
