"""The literature's synchronous pipelines against their formulas, and on problems that no paper has."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Platform, Problem, Result, Status, check, solve
from spikepipe_sched.errors import InputError
from spikepipe_sched.platform import Sharing
from spikepipe_sched.readers.pipeline import Pipeline, Placement
from spikepipe_sched.solver import load_solver
from spikepipe_solvers.pipelines import ZB_H2, pipeline_schedules
from spikepipe_solvers.pipelines.chunks import Shape, chunked
from tests.solvers.instances import arrays, network_problem, own_graph, unlike

STRAIGHT = ("gpipe", "1f1b", "zb-h1", "zb-h2")
THERE_AND_BACK = ("zb-v", "dualpipev")
SOLVERS = (*STRAIGHT, "interleaved", "interleaved-zb", *THERE_AND_BACK)
SIZES = [(1, 1), (2, 4), (3, 7), (4, 8), (6, 13)]
#: Cycles of F, B and W.
COSTS = [(1, 1, 1), (2, 3, 1), (3, 2, 2), (4, 5, 3)]


def equal(stages: int, micro_batches: int, costs: tuple[int, int, int], placement: Placement = "stages", chunks: int = 1) -> Problem:
    """Equal stages, free transfers; with chunks, each of these costs."""
    columns = [(cost,) * stages for cost in costs]
    return Pipeline.of_stages("equal", *columns, micro_batches=micro_batches, placement=placement, chunks=chunks).problem()


def made(problem: Problem, solver: str) -> tuple[int, tuple[int, ...]]:
    """Makespan and peak activations of every processor."""
    found = solve(problem, solver)
    assert found.objective is not None
    assert found.metrics is not None
    return found.objective, found.metrics.peak_memory_bytes


def pauses(found: Result) -> list[int]:
    """Idle cycles of every processor between its first and its last task."""
    schedule = found.schedule
    assert schedule is not None
    cycles = found.problem.instance.duration[np.arange(len(schedule.start)), schedule.processor]
    rows = [schedule.processor == p for p in range(len(found.problem.processors))]
    return [int((schedule.start[row] + cycles[row]).max() - schedule.start[row].min() - cycles[row].sum()) for row in rows]


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("p", "m"), SIZES)
def test_gpipe_has_the_bubble_of_its_paper(p: int, m: int, costs: tuple[int, int, int]) -> None:
    """Idle share (p - 1) / (m + p - 1) (arXiv:1811.06965, section 2.3), all m activations on every stage."""
    makespan, peaks = made(equal(p, m, costs), "gpipe")
    assert (makespan - m * sum(costs)) * (m + p - 1) == (p - 1) * makespan
    assert peaks == (m,) * p


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("p", "m"), SIZES)
def test_1f1b_has_its_length_and_its_memory(p: int, m: int, costs: tuple[int, int, int]) -> None:
    """(m + p - 1)(F + B + W), and p - s activations on stage s (arXiv:2006.09503)."""
    makespan, peaks = made(equal(p, m, costs), "1f1b")
    assert makespan == (m + p - 1) * sum(costs)
    assert peaks == tuple(min(m, p - s) for s in range(p))


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("p", "v", "m"), [(2, 2, 2), (2, 3, 4), (3, 2, 6), (4, 2, 8), (4, 3, 4)])
def test_interleaving_divides_the_bubble_by_the_chunks(p: int, v: int, m: int, costs: tuple[int, int, int]) -> None:
    """Bubble (p - 1)(F + B + W) / v (arXiv:2104.04473, section 2.2), where a chunk has these costs over v."""
    makespan, _ = made(equal(p, m, costs, "interleaved", v), "interleaved")
    assert makespan == (v * m + p - 1) * sum(costs)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("p", "m"), [(2, 4), (3, 7), (4, 8), (6, 13)])
def test_zb_h1_moves_weight_gradients_into_the_bubble(p: int, m: int, costs: tuple[int, int, int]) -> None:
    """Bubble (p - 1)(F + B - W) with at most the p activations of 1F1B (arXiv:2401.10241, table 2)."""
    forward, backward, gradient = costs
    makespan, peaks = made(equal(p, m, costs), "zb-h1")
    assert makespan == m * sum(costs) + (p - 1) * (forward + backward - gradient)
    assert max(peaks) == p


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize(("p", "m"), [(2, 4), (3, 7), (4, 8), (6, 13)])
def test_zb_h2_leaves_the_bubble_of_its_paper(p: int, m: int, costs: tuple[int, int, int]) -> None:
    """(p - 1)(F + B - 2W) within the first stage's work, less for each stage after; 2p - 1 activations (the same table)."""
    forward, backward, gradient = costs
    found = solve(equal(p, m, costs), "zb-h2")
    assert pauses(found) == [(p - 1 - s) * (forward + backward - 2 * gradient) for s in range(p)]
    assert found.metrics is not None
    assert max(found.metrics.peak_memory_bytes) == 2 * p - 1


@pytest.mark.parametrize("cost", [1, 3])
@pytest.mark.parametrize(("p", "m"), [(2, 4), (3, 6), (3, 9), (4, 8), (5, 12)])
def test_zb_v_has_no_bubble_in_the_memory_of_1f1b(p: int, m: int, cost: int) -> None:
    """F = B = W and m >= 2p: no pause anywhere, p activations of two chunks each (arXiv:2405.15362, table 1)."""
    found = solve(equal(p, m, (cost, cost, cost), "v", 2), "zb-v")
    assert pauses(found) == [0] * p
    assert found.metrics is not None
    assert max(found.metrics.peak_memory_bytes) == 2 * p


@pytest.mark.parametrize("costs", [(1, 1, 1), (2, 2, 1), (3, 3, 2)])
@pytest.mark.parametrize(("p", "m"), [(2, 4), (3, 8), (4, 8), (4, 12), (6, 12)])
def test_dualpipev_has_its_bubble_less_what_single_passes_hand_on_earlier(p: int, m: int, costs: tuple[int, int, int]) -> None:
    """Its README has (PP / 2 - 1)(F&B + B' - 3W), B' = B + W, PP / 2 = p, where both passes of a pair F&B end together.

    One after the other each of the p - 1 hops waits for one B less: (p - 1)(F + B - W), with F = B. 2p + 1
    activations of chunks.
    """
    forward, backward, gradient = costs
    makespan, peaks = made(equal(p, m, costs, "v", 2), "dualpipev")
    whole = backward + gradient
    published = (p - 1) * ((forward + whole) + whole - 3 * gradient)
    assert makespan - 2 * m * sum(costs) == published - (p - 1) * backward
    assert max(peaks) == 2 * p + 1


@pytest.mark.parametrize("m", [1, 3, 5])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_single_processor_runs_without_a_pause(solver: str, m: int) -> None:
    """Every formula has no bubble for p = 1."""
    placement, chunks = ("stages", 1) if solver in STRAIGHT else ("free", 2)
    assert made(equal(1, m, (2, 3, 1), placement, chunks), solver)[0] == chunks * m * 6


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Unequal stages, any number of micro-batches, transfers, placements and memories."""
    stages, micro_batches = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    placement: Placement = draw(st.sampled_from(["stages", "interleaved", "v", "free"]))
    chunks = 2 if placement == "v" else draw(st.integers(1, 3))
    columns = [tuple(draw(st.lists(st.integers(0, 9), min_size=stages, max_size=stages))) for _ in range(3)]
    memory = draw(st.none() | st.integers(1, stages + 1))
    drawn = Pipeline.of_stages(
        "drawn",
        *columns,
        micro_batches=micro_batches,
        placement=placement,
        chunks=chunks,
        transfer_cycles=draw(st.integers(0, 3)),
        memory=memory,
        processors=draw(st.integers(1, 6)) if placement == "free" else None,
    )
    return drawn.problem()


@settings(max_examples=40)
@given(problems())
def test_every_pipeline_gets_a_checked_schedule_or_a_reason(problem: Problem) -> None:
    """Unequal stages, few micro-batches, small memories: nobody crashes, and only memory is ever in the way."""
    for name in SOLVERS:
        if load_solver(name).spec.supports(problem) is not None:
            with pytest.raises(InputError, match="cannot take this problem"):
                solve(problem, name)
            continue
        found = solve(problem, name)
        if found.schedule is None:
            assert found.status in (Status.UNKNOWN, Status.INFEASIBLE)
            assert found.infeasibility is not None
            assert "memory" in found.infeasibility.demanded
        else:
            assert check(problem, found.schedule) == ()


@settings(max_examples=25)
@given(problems())
def test_zero_bubble_schedules_hold_what_they_are_named_for(problem: Problem) -> None:
    """No processor holds more than p, 2p - 1 or (chunks) 2p activations, whatever the stages; p counts the processors used."""
    for name, most in (("zb-h1", lambda p: p), ("zb-h2", lambda p: 2 * p - 1), ("zb-v", lambda p: 2 * p)):
        shape: Shape = "v" if name == "zb-v" else "straight"
        chunks = chunked(problem, shape)
        if isinstance(chunks, str) or len(set(chunks.chunk)) < len(problem.layers):
            continue  # a chunk of several layers has several activations
        found = solve(problem, name)
        if found.metrics is not None:
            assert max(found.metrics.peak_memory_bytes) <= most(chunks.ranks)


def test_less_memory_than_its_name_promises_makes_zero_bubble_slower_not_impossible() -> None:
    """From p activations down to one; with one, a micro-batch passes all stages before the next."""
    lengths = list[int]()
    for memory in (4, 3, 2, 1):
        stages = Pipeline.of_stages("stages", (1,) * 4, (1,) * 4, (1,) * 4, micro_batches=6, memory=memory)
        makespan, peaks = made(stages.problem(), "zb-h1")
        assert max(peaks) == memory
        lengths.append(makespan)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 6 * 9
    with_chunks = Pipeline.of_stages("v", (1,) * 4, (1,) * 4, (1,) * 4, micro_batches=6, memory=1, placement="v", chunks=2)
    assert max(made(with_chunks.problem(), "zb-v")[1]) == 2


def test_a_fixed_order_that_overflows_a_memory_says_which() -> None:
    """1F1B holds p activations on its first stage."""
    found = solve(Pipeline.of_stages("stages", (1,) * 4, (1,) * 4, (1,) * 4, micro_batches=6, memory=3).problem(), "1f1b")
    assert found.status is Status.UNKNOWN
    assert found.infeasibility is not None
    assert found.infeasibility.demanded == "the peak memory of p0 in bytes is 4, the limit 3"


@pytest.mark.parametrize(
    ("columns", "memory", "alone", "length"),
    [
        (((2, 2, 1, 2), (2, 4, 3, 3), (4, 3, 1, 4)), None, 36, 35),
        (((2, 3, 1), (4, 1, 2), (1, 3, 3)), 2, 32, 28),
    ],
)
def test_zb_h2_is_zb_h1_where_its_own_orders_are_longer(columns: tuple[tuple[int, ...], ...], memory: int | None, alone: int, length: int) -> None:
    """With room for all activations, and with little."""
    problem = Pipeline.of_stages("unequal", *columns, micro_batches=3, memory=memory).problem()
    assert solve(problem, replace(ZB_H2, also=())).objective == alone
    assert solve(problem, "zb-h1").objective == solve(problem, "zb-h2").objective == length


@settings(max_examples=25)
@given(problems())
def test_more_activations_make_no_longer_schedule(problem: Problem) -> None:
    """ZB-H1 fits in the memory of ZB-H2, with limits and without."""
    if load_solver("zb-h2").spec.supports(problem) is not None:
        return
    fewer, more = solve(problem, "zb-h1").objective, solve(problem, "zb-h2").objective
    assert fewer is None or (more is not None and more <= fewer)


def test_graphs_without_layers_or_kinds_and_periodic_problems_are_refused() -> None:
    """They have no passes to order."""
    with pytest.raises(InputError, match="is of no kind that training has"):
        solve(own_graph(), "gpipe")
    with pytest.raises(InputError, match="finite problems"):
        solve(network_problem(), "1f1b")


@pytest.mark.parametrize("windows", [1, 2, 4])
@pytest.mark.parametrize("platform", [arrays(2), unlike()], ids=["like", "unlike"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_networks_of_several_windows_are_pipelined(solver: str, platform: Platform, windows: int) -> None:
    """Several tasks per layer and pass; nothing but the chunks decides where a task runs."""
    problem = network_problem("vgg9", windows=windows, platform=platform, mode="finite", micro_batches=4)
    schedule = solve(problem, solver).schedule
    assert schedule is not None
    homes = {layer: set(schedule.processor[problem.tasks.layer[problem.instance.task] == layer].tolist()) for layer in range(len(problem.layers))}
    assert all(len(home) == 1 for home in homes.values())


@pytest.mark.parametrize("solver", ["gpipe", "1f1b", "interleaved"])
def test_upstream_waits_for_a_whole_backward(solver: str) -> None:
    """In a block of backward and weight gradients, B leaves last."""
    problem = network_problem("vgg9", windows=2, platform=arrays(2), mode="finite", micro_batches=3)
    schedule = solve(problem, solver).schedule
    assert schedule is not None
    instance, tasks = problem.instance, problem.tasks
    end = schedule.start + instance.duration[np.arange(instance.size), schedule.processor]
    kinds = np.array(tasks.kinds)[instance.task]
    chunk = chunked(problem, "round" if solver == "interleaved" else "straight")
    assert not isinstance(chunk, str)
    of = chunk.chunk[instance.task]
    crossing = np.flatnonzero(
        np.isin(kinds[instance.source], ["E", "B"]) & np.isin(kinds[instance.target], ["E", "B"]) & (of[instance.source] != of[instance.target])
    )
    assert crossing.size
    for u, v in zip(instance.source[crossing], instance.target[crossing], strict=True):
        block = (kinds == "W") & (of == of[u]) & (instance.copy == instance.copy[u])
        assert schedule.start[v] >= end[block].max()


def test_all_pipelines_of_a_problem_come_at_once() -> None:
    """For whoever wants the best of them; those of another shape than the placement's are left out."""
    free = equal(2, 3, (1, 2, 1), "free", 2)
    offered = list(pipeline_schedules(free))
    assert {name for name, _ in offered} == set(SOLVERS)
    for name in SOLVERS:
        assert solve(free, name).schedule in [schedule for by, schedule in offered if by == name]
    assert {name for name, _ in pipeline_schedules(equal(2, 3, (1, 2, 1)))} == set(STRAIGHT)


def test_an_order_that_waits_for_itself_says_so() -> None:
    """A forward that needs the backward of the micro-batch before: nothing for GPipe, one at a time for the greedy ones."""
    chain = Pipeline(name="in turn", forward=(1, 1), backward=(1, 1), gradient=(1, 1), processors=2, micro_batches=2, home=(0, 1))
    graph = chain.graph()
    graph.add_edge("B(l0)", "F(l0)", distance=1)
    problem = Problem.from_graph(graph, chain.platform(), mode="finite", micro_batches=2)
    found = solve(problem, "gpipe")
    assert found.infeasibility is not None
    assert found.infeasibility.demanded == "gpipe runs F of l0 (micro-batch 1) before something that it waits for"
    assert found.infeasibility.loosen == ("order",)
    assert made(problem, "zb-h1")[0] == 2 * 4 + 1


def test_a_forward_may_wait_for_a_gradient_of_a_layer_before_where_the_order_allows_it() -> None:
    """A local error: nothing stands in the way of stages whose orders agree with it."""
    graph: nx.DiGraph[str] = nx.DiGraph(layers=("l0", "l1"))
    for kind in "FB":
        for layer in range(2):
            graph.add_node(f"{kind}(l{layer})", kind=kind, layer=f"l{layer}", cycles={f"p{layer}": 1})
    graph.add_edges_from([("F(l0)", "B(l0)"), ("B(l0)", "F(l1)"), ("F(l1)", "B(l1)")])
    chain = Pipeline(name="local", forward=(1, 1), backward=(1, 1), gradient=(1, 1), processors=2, micro_batches=3, home=(0, 1))
    problem = Problem.from_graph(graph, chain.platform(), mode="finite", micro_batches=3)
    for solver in ("gpipe", "1f1b", "zb-h1"):
        assert solve(problem, solver).schedule is not None, solver


@pytest.mark.parametrize("solver", ["1f1b", "interleaved", "zb-v"])
def test_updates_may_wait_for_each_other_in_any_direction(solver: str) -> None:
    """As those of a gradient norm do: back and forth along the chain, within a processor and across."""
    placement: Placement = "stages" if solver == "1f1b" else "interleaved" if solver == "interleaved" else "v"
    chain = Pipeline.of_stages("norm", (1, 1), (1, 1), (1, 1), micro_batches=3, placement=placement, chunks=1 if solver == "1f1b" else 2)
    graph, count = chain.graph(), len(chain.forward)
    for layer in range(count):
        graph.add_node(f"U(l{layer})", kind="U", layer=f"l{layer}", cycles=graph.nodes[f"F(l{layer})"]["cycles"])
        graph.add_edge(f"W(l{layer})", f"U(l{layer})")
        graph.add_node(f"U2(l{layer})", kind="U", layer=f"l{layer}", cycles=graph.nodes[f"F(l{layer})"]["cycles"])
    graph.add_edges_from((f"U(l{layer})", f"U(l{layer - 1})") for layer in range(1, count))
    graph.add_edges_from((f"U(l{layer})", f"U2(l{count - 1 - layer})") for layer in range(count))
    problem = Problem.from_graph(graph, chain.platform(), mode="finite", micro_batches=3)
    schedule = solve(problem, solver).schedule
    assert schedule is not None
    assert check(problem, schedule) == ()


@pytest.mark.parametrize("sharing", ["ports", "bus"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_shared_links_are_kept(solver: str, sharing: Sharing) -> None:
    """Transfers get their turns after the order is made."""
    machine = arrays(2)
    machine = replace(machine, interconnect=replace(machine.interconnect, sharing=sharing))
    problem = network_problem("vgg9", platform=machine, mode="finite", micro_batches=3)
    found = solve(problem, solver)
    assert found.schedule is not None
    assert found.schedule.transfers is not None
