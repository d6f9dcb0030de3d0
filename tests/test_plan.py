"""Plans against brute force over all choices, and what is said of choices that were not solved."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, Interconnect, Limits, Platform, Problem, Result, SystolicArray, TrainingSetup, check, lower, solve
from spikepipe_sched.check import metrics
from spikepipe_sched.importers import load_network
from spikepipe_sched.network import Layer, Network
from spikepipe_sched.plan import Plan, plan
from spikepipe_sched.recheck import recheck

TINY = load_network("tiny")
ONCE = TrainingSetup(batch=4)


def platform(sharing: str = "none", *, memory_bytes: int | None = None) -> Platform:
    """8x8 arrays."""
    array = SystolicArray(rows=8, cols=8, lanes=8, memory_bytes=memory_bytes)
    link = Interconnect(latency_cycles=3, bandwidth_bytes_per_cycle=16, sharing=sharing)  # type: ignore[arg-type]
    return Platform(name="arrays", classes={"array": array}, processors=("array",), interconnect=link, clock_hz=10**9)


def quick(network: Network = TINY, *, setup: TrainingSetup = ONCE, machine: Platform | None = None, **question: Any) -> Plan:
    return plan(network, setup, machine or platform(), **{"objective": ("period",), "deterministic_limit": 1.0, "max_processors": 4} | question)


@dataclass(frozen=True)
class Choice:
    """A choice with its least period, known from brute force."""

    period: int
    elements: int
    size: tuple[int, int]
    count: int


def least_period(cycles: list[int], count: int) -> int:
    """Of tasks that nothing but their load holds: the least largest load over all assignments; the largest task first, to one of the processors in use or a new one."""
    best = sum(cycles)
    order = sorted(cycles, reverse=True)

    def place(at: int, loads: list[int]) -> None:
        nonlocal best
        if max(loads, default=0) >= best:
            return
        if at == len(order):
            best = max(loads)
            return
        for i in range(min(len(loads) + 1, count)):
            place(at + 1, [load + order[at] * (i == j) for j, load in enumerate(loads)] + [order[at]] * (i == len(loads)))

    place(0, [])
    return best


def every_choice(network: Network, arrays: list[tuple[int, int]], most: int, setup: TrainingSetup = ONCE) -> list[Choice]:
    """All of them: without limits iterations are coupled by updates of their own layer alone, and any balanced assignment can be scheduled."""
    found: list[Choice] = []
    for rows, cols in arrays:
        graph = lower(network, setup, platform().with_array(rows, cols))
        cycles = [int(next(iter(data["cycles"].values()))) for _, data in graph.nodes(data=True)]
        found += [Choice(least_period(cycles, count), rows * cols * count, (rows, cols), count) for count in range(1, most + 1)]
    return found


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """One or two linear layers: at most seven tasks."""
    widths = draw(st.lists(st.sampled_from((3, 8, 12, 24)), min_size=1, max_size=2))
    layers = tuple(
        Layer(name=f"l{i}", kind="linear", inputs=(f"l{i - 1}" if i else "input",), out_features=width, neuron="lif") for i, width in enumerate(widths)
    )
    return Network(name="drawn", input_shape=(draw(st.sampled_from((4, 16))),), time_steps=2, layers=layers)


sizes = st.lists(st.sampled_from([(2, 2), (4, 4), (2, 8), (8, 8), (8, 2)]), min_size=1, max_size=3, unique=True)


@settings(max_examples=12)
@given(networks(), sizes, st.integers(1, 150))
def test_within_a_budget_no_choice_is_better(network: Network, arrays: list[tuple[int, int]], budget: int):
    fitting = [choice for choice in every_choice(network, arrays, 4) if choice.elements <= budget]
    if not fitting:
        with pytest.raises(InputError, match="is less than one array"):
            quick(network, pe_budget=budget, arrays=arrays)
        return
    best = min((choice.period, choice.elements) for choice in fitting)
    found = quick(network, pe_budget=budget, arrays=arrays)
    assert found.chosen is not None
    assert (found.chosen.length_cycles, found.chosen.processing_elements) == best
    assert (found.length_bound, found.pes_bound) == best
    assert (found.length_gap, found.pes_gap) == (0, 0)


@settings(max_examples=12)
@given(networks(), sizes, st.floats(0.5, 2.5))
def test_no_choice_of_fewer_elements_reaches_the_target(network: Network, arrays: list[tuple[int, int]], factor: float):
    choices = every_choice(network, arrays, 4)
    target = max(1, round(factor * min(choice.period for choice in choices)))
    able = [choice for choice in choices if choice.period <= target]
    found = quick(network, target_cycles=target, arrays=arrays)
    if not able:
        assert (found.chosen, found.result, found.pes_bound) == (None, None, None)
        assert found.length_bound == min(choice.period for choice in choices)
        assert found.outlook.startswith("proven")
        return
    assert found.chosen is not None
    assert (found.chosen.processing_elements, found.chosen.length_cycles) == min((choice.elements, choice.period) for choice in able)
    assert (found.length_gap, found.pes_gap) == (0, 0)


@pytest.mark.parametrize("question", [{"pe_budget": 160}, {"target_cycles": 800}])
@pytest.mark.parametrize("solver", ["stages", "sequential", "auto"])
def test_what_is_said_of_choices_is_true_whatever_the_solver(question: dict[str, Any], solver: str):
    """Bounds are below the truth, lengths above it, and what is excluded cannot be better."""
    network = Network(
        name="two",
        input_shape=(16,),
        time_steps=2,
        layers=tuple(Layer(name=n, kind="linear", inputs=(i,), out_features=12) for n, i in (("a", "input"), ("b", "a"))),
    )
    arrays = [(2, 2), (4, 4), (8, 8)]
    truth = {(choice.size, choice.count): choice for choice in every_choice(network, arrays, 4)}
    found = quick(network, arrays=arrays, solver=solver, **question)
    assert found.chosen is not None
    best = found.chosen
    assert found.length_bound is not None
    assert found.pes_bound is not None
    for each in found.candidates:
        choice = truth[(each.rows, each.cols), each.processors]
        assert each.bound is not None
        assert each.bound <= choice.period <= (each.length_cycles or choice.period)
        key = (choice.period, choice.elements) if "pe_budget" in question else (choice.elements, choice.period)
        own = (best.length_cycles or 0, best.processing_elements)
        if each.verdict == "excluded":
            assert key >= (own if "pe_budget" in question else own[::-1]) or choice.period > question.get("target_cycles", 10**9)
    able = [choice for choice in truth.values() if choice.elements <= question.get("pe_budget", best.processing_elements)]
    assert found.length_bound <= min(choice.period for choice in able)
    limit = question.get("target_cycles", best.length_cycles)
    assert limit is not None
    assert found.pes_bound <= min(choice.elements for choice in truth.values() if choice.period <= limit)


@pytest.mark.parametrize("options", [{"limits": Limits(delay=2)}, {"weights": "latest", "unroll": 2}, {"mode": "finite", "micro_batches": 2}])
@pytest.mark.parametrize("by", ["budget", "target"])
def test_plans_equal_the_best_of_all_choices_solved_to_proof_where_iterations_are_coupled(options: dict[str, Any], by: str):
    network = Network(name="one", input_shape=(8,), time_steps=2, layers=(Layer(name="l", kind="linear", inputs=("input",), out_features=12, neuron="lif"),))
    setup, arrays, objective = TrainingSetup(batch=4, windows=2), [(4, 4), (8, 8)], ("makespan" if "mode" in options else "period",)
    truth: list[tuple[int, int]] = []
    for (rows, cols), count in itertools.product(arrays, (1, 2, 3)):
        machine = platform().with_array(rows, cols).with_processors(count)
        problem = Problem.from_graph(lower(network, setup, machine), machine, **{"mode": "periodic", "objective": objective} | options)
        solved = solve(problem, "cpsat", deterministic_limit=2.0)
        assert solved.status == "optimal"
        truth.append((solved.objective or 0, rows * cols * count))
    if by == "budget":
        best = min(choice for choice in truth if choice[1] <= 128)
        question = {"pe_budget": 128}
    else:
        target = sorted(length for length, _ in truth)[3]
        best = min((choice for choice in truth if choice[0] <= target), key=lambda choice: choice[::-1])
        question = {"target_cycles": target}
    found = quick(network, setup=setup, arrays=arrays, max_processors=3, objective=objective, solver="cpsat", deterministic_limit=10.0, **question, **options)
    assert found.chosen is not None
    assert (found.chosen.length_cycles, found.chosen.processing_elements) == best
    assert (found.length_gap, found.pes_gap) == (0, 0)


def test_small_arrays_win_where_work_divides_and_large_ones_where_a_single_task_is_too_long():
    small = quick(pe_budget=256, arrays=[(8, 8), (16, 16)], max_processors=26)
    large = quick(pe_budget=2**14, arrays=[(8, 8), (16, 16)], max_processors=26)
    assert small.chosen is not None
    assert large.chosen is not None
    assert (small.chosen.rows, small.chosen.processors) == (8, 4)
    assert large.chosen.rows == 16
    assert all(each.bound_source == "longest task" for each in large.candidates if each.rows == 8 and each.processors == 13)


def test_choices_that_a_bound_excludes_are_not_solved():
    found = quick(pe_budget=256, arrays=[(8, 8), (16, 16)])
    excluded = [each for each in found.candidates if each.rows == 16]
    assert [(each.solved, each.verdict, each.length_cycles) for each in excluded] == [(False, "excluded", None)]


def test_idle_arrays_are_not_counted():
    """More arrays than the longest task leaves work for."""
    choices = every_choice(TINY, [(8, 8)], 8)
    fewest = min(choices, key=lambda choice: (choice.period, choice.count)).count
    assert fewest < 8
    found = quick(pe_budget=64 * 8, arrays=[(8, 8)], max_processors=8)
    assert (found.copies, found.pes_gap) == (8, 0)
    assert found.chosen is not None
    assert found.chosen.processors == fewest
    assert found.result is not None
    assert len(found.result.problem.processors) == fewest


@pytest.mark.parametrize("sharing", ["none", "bus", "ports", "pairs"])
@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_a_schedule_is_one_on_more_arrays_with_the_same_figures(sharing: str, mode: str):
    machine = platform(sharing, memory_bytes=10**6)
    graph = lower(TINY, ONCE, machine)
    few, more = (Problem.from_graph(graph, machine.with_processors(count), mode=mode) for count in (2, 5))
    found = solve(few, "auto", deterministic_limit=0.1)
    assert found.schedule is not None
    assert check(more, found.schedule) == ()
    before, after = metrics(few, found.schedule), metrics(more, found.schedule)
    for figure in ("length_cycles", "span_cycles", "delays", "traffic_bytes", "memory_bytes"):
        assert getattr(before, figure) == getattr(after, figure)


def test_the_schedule_of_the_choice_passes_the_check_and_answers_all_objectives():
    found = quick(target_cycles=600, objective=("period", "delay", "traffic"))
    assert found.result is not None
    assert not recheck(found.result)
    assert [level.name for level in found.result.objectives] == ["period", "delay", "traffic"]
    assert found.chosen is not None
    assert found.result.objective == found.chosen.length_cycles
    assert found.result.bound == found.chosen.bound


def test_among_equals_in_length_and_elements_the_further_objectives_decide():
    """Square products on 4x8 and 8x4 arrays."""
    network = Network(name="one", input_shape=(8,), time_steps=1, layers=(Layer(name="l", kind="linear", inputs=("input",), out_features=8),))
    values: list[Any] = []
    for arrays in ([(4, 8)], [(8, 4)], [(4, 8), (8, 4)]):
        found = quick(network, setup=TrainingSetup(batch=8), pe_budget=64, arrays=arrays, objective=("period", "delay", "traffic"), machine=platform())
        assert found.result is not None
        values.append(found.result.key())
    assert values[2] == min(values)


def test_a_finite_plan_is_about_makespans():
    found = quick(mode="finite", micro_batches=2, objective=("makespan",), target_cycles=2000, arrays=[(8, 8), (16, 16)])
    assert found.chosen is not None
    assert found.mode == "finite"
    assert found.result is not None
    assert found.result.problem.micro_batches == 2
    assert (found.chosen.length_cycles or 0) <= 2000


def test_micro_batches_of_a_task_share_an_array_and_are_not_counted():
    found = quick(mode="finite", micro_batches=3, objective=("makespan",), pe_budget=64 * 64, arrays=[(8, 8)], max_processors=64, solver="stages")
    assert found.result is not None
    tasks = len(found.result.problem.tasks.names)
    assert (found.copies, max(each.processors for each in found.candidates)) == (tasks, tasks)
    assert quick(unroll=3, pe_budget=64, arrays=[(8, 8)], solver="sequential").copies == 3 * tasks


@pytest.mark.parametrize("objective", [("period",), ("period", "delay")])
def test_a_result_says_what_the_plan_spent(objective: tuple[str, ...]):
    found = quick(pe_budget=64, objective=objective, seed=3).result
    assert found is not None
    about = found.provenance
    assert (about.seed, about.time_limit_s, about.deterministic_limit, about.workers, about.interrupted) == (3, None, 1.0, 1, False)
    assert about.runtime_s > 0
    timed = quick(pe_budget=64, objective=objective, solver="stages", deterministic_limit=None, time_limit_s=30.0, workers=2).result
    assert timed is not None
    assert (timed.provenance.time_limit_s, timed.provenance.deterministic_limit, timed.provenance.workers) == (30.0, None, 2)


def test_the_same_work_limit_gives_the_same_plan():
    first, second = (quick(pe_budget=256, objective=("period", "delay")) for _ in range(2))
    assert first.candidates == second.candidates
    assert first.result is not None
    assert second.result is not None
    assert first.result.schedule == second.result.schedule


def test_limits_that_nothing_can_respect_are_proven():
    found = quick(pe_budget=256, limits=Limits(period_cycles=50))
    assert (found.chosen, found.result, found.length_bound, found.pes_bound) == (None, None, None, None)
    assert {(each.bound, each.verdict) for each in found.candidates} == {(None, "excluded")}


def test_what_it_would_take_is_said_where_the_target_is_not_reached():
    more = quick(target_cycles=200, arrays=[(8, 8)], max_processors=2)
    assert more.outlook == "proven: that takes 3 of 8x8 at least, more arrays than are allowed"
    never = quick(target_cycles=30, arrays=[(8, 8)], max_processors=2)
    assert never.outlook.startswith("proven: no number of such arrays can")
    assert max(each.length_cycles or 0 for each in never.candidates) > 30
    found = quick(target_cycles=never.length_bound, arrays=[(8, 8)], max_processors=2, solver="sequential")
    assert found.outlook == "not excluded is 2 of 8x8, or more: more time may find it"
    assert [each.verdict for each in found.candidates] == ["open"]


def test_documents_hold_the_choices_and_the_schedule():
    found = quick(pe_budget=256, arrays=[(8, 8), (16, 16), (32, 32)])
    document = json.loads(found.to_json())
    assert document["schema"] == "spikepipe-sched/plan/1"
    assert [(each["rows"], each["processors"], each["verdict"]) for each in document["candidates"]] == [
        (each.rows, each.processors, each.verdict) for each in found.candidates
    ]
    assert document["chosen"]["processing_elements"] == 256
    assert (document["length_gap"], document["pes_gap"]) == (0, 0)
    assert found.result is not None
    assert Result.from_json(json.dumps(document["result"])).key() == found.result.key()
    assert json.loads(quick(target_cycles=1).to_json())["result"] is None


def test_the_texts_say_what_is_chosen_and_proven():
    found = quick(pe_budget=256, arrays=[(8, 8), (16, 16), (32, 32)])
    text = str(found)
    assert "chosen  4 arrays of 8x8: 256 elements, a period of" in text
    assert "within the budget no period is shorter; no fewer elements can be as short" in text
    assert "one array of 32x32 is more than the budget" in text
    assert "excluded, not solved" in text
    page = found._repr_html_()
    assert page.count("<table>") == 3
    assert "4 arrays of 8x8" in page


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({}, "either a budget"),
        ({"pe_budget": 1, "target_cycles": 1}, "either a budget"),
        ({"pe_budget": 0}, "pe_budget must be at least 1"),
        ({"target_cycles": 2.5}, "target_cycles must be a whole number"),
        ({"pe_budget": 3, "arrays": [(2, 2)]}, "a budget of 3 processing elements is less than one array of 2x2"),
        ({"pe_budget": 3, "arrays": []}, "at least one size"),
        ({"pe_budget": 64, "arrays": [(0, 2)]}, "rows must be at least 1"),
        ({"pe_budget": 64, "arrays": ["8x8"]}, "arrays must be pairs of rows and columns, got '8x8'"),
        ({"pe_budget": 64, "arrays": (8, 8)}, "arrays must be pairs of rows and columns, got 8"),
        ({"pe_budget": 64, "max_processors": 5000}, "at most 4096"),
        ({"pe_budget": 64, "time_limit_s": 0}, "time limit must be positive"),
        ({"pe_budget": 64, "objective": ("delay", "period")}, "the first objective must be the period"),
        ({"pe_budget": 64, "solver": "nosuch"}, "there is no solver 'nosuch'"),
        ({"pe_budget": 64, "solver": "list"}, "cannot take this problem"),
    ],
)
def test_questions_that_make_no_sense_are_refused(question: dict[str, Any], says: str):
    with pytest.raises(InputError, match=says):
        quick(**question)


def test_other_arrays_keep_all_but_size_and_lanes():
    unlike = replace(platform(memory_bytes=77), processors=("array", "array"))
    other = unlike.with_array(4, 16)
    (array,) = other.classes.values()
    assert (array.rows, array.cols, array.lanes, array.memory_bytes, len(other.processors)) == (4, 16, 16, 77, 2)
    assert unlike.with_array(1, 1).classes["1x1"].lanes == 1
