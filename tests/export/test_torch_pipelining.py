"""The CSV for torch's pipeline runtime: against the schedule, against torch's own loader, and what must be refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import networkx as nx
import numpy as np
import pytest

from spikepipe_sched import Problem, Result, Schedule, TrainingSetup, check, load_network, load_platform, lower, solve
from spikepipe_sched.errors import InputError
from spikepipe_sched.export.torch_pipelining import torch_csv, torch_rows
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower import Split
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Interconnect
from spikepipe_sched.readers.pipeline import Pipeline
from spikepipe_sched.result import Provenance, conclude

UNEQUAL = ((3, 5, 2, 7), (4, 6, 3, 8), (3, 5, 2, 6))


def pipeline(placement: str = "stages", micro_batches: int = 3, chunks: int = 1) -> Problem:
    return Pipeline.of_stages("unequal", *UNEQUAL, micro_batches=micro_batches, placement=placement, chunks=chunks, transfer_cycles=1).problem()  # pyright: ignore[reportArgumentType]


def lowered(network: Network | str = "tiny", windows: int = 2, micro_batches: int = 2, **options: Any) -> Problem:
    found = load_network(network) if isinstance(network, str) else network
    platform = load_platform("array32").with_processors(2)
    graph = lower(found, TrainingSetup(batch=2, windows=windows, **options), platform)
    return Problem.from_graph(graph, platform, mode="finite", micro_batches=micro_batches)


def solved(problem: Problem, solver: str) -> Result:
    return solve(problem, solver=solver, deterministic_limit=0.5, workers=1)


def by_hand(problem: Problem, order: Sequence[str], homes: dict[str, int] | None = None) -> Result:
    """A schedule that runs ``TASK#MICRO_BATCH`` one after the other, the rest after them; layer i on processor i unless ``homes`` says otherwise of a task."""
    instance, tasks = problem.instance, problem.tasks
    names = [f"{tasks.names[task]}#{copy}" for task, copy in zip(instance.task.tolist(), instance.copy.tolist(), strict=True)]
    rest = [names[v] for v in instance.order.tolist() if names[v] not in set(order)]
    processor = [(homes or {}).get(name.partition("#")[0], int(tasks.layer[int(instance.task[v])]) % len(problem.processors)) for v, name in enumerate(names)]
    start, now = np.zeros(len(names), dtype=np.int64), 0
    for name in (*order, *rest):
        v = names.index(name)
        start[v] = now
        now += int(instance.duration[v, processor[v]]) + 10**6  # a transfer of anything fits between
    return conclude(problem, Schedule(processor=np.array(processor), start=start), provenance=Provenance(solver="by hand", version="1"))


SOLVED = [
    *((pipeline, ("stages",), solver) for solver in ("1f1b", "gpipe", "zb-h1", "zb-h2", "list", "cpsat")),
    (pipeline, ("free",), "sequential"),
    *((pipeline, ("v", 3, 2), solver) for solver in ("zb-v", "dualpipev", "list")),
    *((pipeline, ("interleaved", 3, 2), solver) for solver in ("interleaved", "interleaved-zb", "list:dls")),
    *((lowered, ("tiny",), solver) for solver in ("1f1b", "gpipe", "zb-h1", "zb-h2", "stages", "sequential")),
    *((lowered, ("digits_deep", 4), solver) for solver in ("1f1b", "zb-h2", "zb-v", "interleaved", "interleaved-zb")),
]


@pytest.fixture(scope="module", params=SOLVED, ids=lambda case: f"{case[0].__name__}-{'-'.join(map(str, case[1]))}-{case[2]}")
def result(request: pytest.FixtureRequest) -> Result:
    make, how, solver = request.param
    return solved(make(*how), solver)


def cells(csv: str) -> list[list[tuple[int, str, int]]]:
    """Stage, kind and chunk of every cell."""
    found: list[list[tuple[int, str, int]]] = []
    for line in csv.splitlines():
        row: list[tuple[int, str, int]] = []
        for cell in line.split(","):
            kind = next(letter for letter in cell if letter.isalpha())
            stage, chunk = cell.split(kind)
            row.append((int(stage), kind, int(chunk)))
        found.append(row)
    return found


def test_every_pass_has_a_cell_in_the_order_of_the_schedule(result: Result) -> None:
    problem, schedule = result.problem, result.schedule
    assert schedule is not None
    instance, tasks = problem.instance, problem.tasks
    windows = 1 + max(0, int(tasks.window.max()))
    start: dict[tuple[int, str, int], int] = {}
    home: dict[int, int] = {}
    for v, task in enumerate(instance.task.tolist()):
        if tasks.kinds[task] in "FBW":
            stage = int(tasks.layer[task])
            start[stage, tasks.kinds[task], int(instance.copy[v]) * windows + max(0, int(tasks.window[task]))] = int(schedule.start[v])
            home[stage] = int(schedule.processor[v])
    passes: list[tuple[int, str, int]] = []
    rows = cells(torch_csv(result))
    assert len(rows) == len(set(home.values()))
    for row, processor in zip(rows, sorted(set(home.values())), strict=True):
        assert {stage for stage, _, _ in row} == {stage for stage, p in home.items() if p == processor}
        both = [cell for cell in row if cell[1] == "B"]
        placed = [(stage, "B" if kind == "I" or (kind == "B" and (stage, "B", chunk) in start) else kind, chunk) for stage, kind, chunk in row]
        placed = [(stage, "W", chunk) if (stage, kind, chunk) not in start else (stage, kind, chunk) for stage, kind, chunk in placed]
        starts = [start[cell] for cell in placed]
        assert starts == sorted(starts)
        joined = {(stage, "W", chunk) for stage, _, chunk in both} - set(placed)
        assert all(abs(placed.index((w[0], "B", w[2])) - np.searchsorted(starts, start[w])) <= len(joined) for w in joined)
        passes += [*placed, *joined]
    assert sorted(passes) == sorted(start)


def lowered_by_torch(csv: Path, ranks: int, stages: int, chunks: int) -> dict[int, list[Any]]:
    """What the runtime makes of a file."""
    schedules: Any = pytest.importorskip("torch.distributed.pipelining.schedules", reason="the extra 'validate' is not installed")
    stage = Mock(group_rank=0, group_size=ranks, num_stages=stages, submod=None)
    runtime = schedules._PipelineScheduleRuntime([stage], chunks)
    runtime._load_csv(str(csv), "compute_only")
    return runtime.pipeline_order_with_comms


def test_torch_loads_the_file_and_its_rows_never_wait_for_each_other(result: Result, tmp_path: Path) -> None:
    rows = torch_rows(result)
    file = tmp_path / "schedule.csv"
    file.write_text(rows.to_csv())
    actions = lowered_by_torch(file, len(rows.rows), len(rows.layers), rows.chunks)
    waiting: list[Iterator[Any]] = [iter(actions[rank]) for rank in sorted(actions)]
    sent: defaultdict[tuple[int, str, int], int] = defaultdict(int)
    head = [next(row, None) for row in waiting]
    moved = True
    while moved:
        moved = False
        for rank, row in enumerate(waiting):
            while (action := head[rank]) is not None:
                kind = action.computation_type.name
                if kind.startswith("SEND"):
                    sent[action.stage_index + (1 if kind == "SEND_F" else -1), kind[-1], action.microbatch_index] += 1
                elif kind.startswith("RECV"):
                    if not sent[action.stage_index, kind[-1], action.microbatch_index]:
                        break
                    sent[action.stage_index, kind[-1], action.microbatch_index] -= 1
                head[rank], moved = next(row, None), True
    assert head == [None] * len(waiting)
    assert not any(sent.values())


def test_b_and_w_are_one_where_the_schedule_has_them_so() -> None:
    problem = lowered("tiny", windows=1, micro_batches=1)
    first = ["F(fc1,0)#0", "F(fc2,0)#0", "E(fc2,0)#0"]
    together, apart = "0F0,0B0\n1F0,1B0\n", "0F0,0B0\n1F0,1I0,1W0\n"
    assert torch_csv(by_hand(problem, [*first, "B(fc2,0)#0", "W(fc2,0)#0", "W(fc1,0)#0"])) == together
    assert torch_csv(by_hand(problem, [*first, "W(fc2,0)#0", "B(fc2,0)#0", "W(fc1,0)#0"])) == together
    assert torch_csv(by_hand(problem, [*first, "B(fc2,0)#0", "W(fc1,0)#0", "W(fc2,0)#0"])) == apart  # what B made is read before W has run


def test_1f1b_runs_a_backward_as_one_and_zero_bubble_does_not() -> None:
    kinds = {solver: [{kind for _, kind, _ in row} for row in cells(torch_csv(solved(pipeline(), solver)))] for solver in ("1f1b", "zb-h1")}
    assert kinds["1f1b"] == [{"F", "B"}] * 4
    assert kinds["zb-h1"][1:] == [{"F", "I", "W"}] * 3


def test_processors_without_a_layer_have_no_row() -> None:
    rows = torch_rows(solved(pipeline("free"), "sequential"))
    assert len(rows.rows) == len(rows.processors) == 1
    assert {action.stage for action in rows.rows[0]} == {0, 1, 2, 3}


def test_windows_that_no_gradient_joins_may_run_in_any_order() -> None:
    order = [f"{kind}(fc{layer},{w})#0" for w in (0, 1) for kind, layer in (("F", 1), ("F", 2))]
    order += [f"{kind}(fc2,{w})#0" for w in (0, 1) for kind in ("E", "B", "W")]
    cut = by_hand(lowered("tiny", micro_batches=1, bptt_steps=2), order)
    assert torch_csv(cut).splitlines()[1] == "1F0,1F1,1B0,1B1"


def chained(layers: str = "ab", windows: Sequence[int] = (0,), *, without: Sequence[tuple[str, str]] = ()) -> nx.DiGraph[Any]:
    """Layers with all passes, ``F(a,0)`` and so on; forward passes wait for the window before."""
    graph: nx.DiGraph[Any] = nx.DiGraph(layers=tuple(layers))
    for layer in layers:
        for w in windows:
            for kind in "FBW":
                graph.add_node(f"{kind}({layer},{w})", kind=kind, layer=layer, window=w, cycles=1)
            graph.add_edges_from([(f"F({layer},{w})", f"B({layer},{w})"), (f"B({layer},{w})", f"W({layer},{w})")])
        graph.add_edges_from((f"F({layer},{v})", f"F({layer},{w})") for v, w in pairwise(windows))
    for u, v in pairwise(layers):
        graph.add_edges_from(edge for w in windows for edge in ((f"F({u},{w})", f"F({v},{w})"), (f"B({v},{w})", f"B({u},{w})")))
    graph.remove_edges_from(without)
    return graph


@pytest.mark.parametrize(("lag", "read", "together"), [(0, 15, False), (0, 16, True), (3, 18, False), (3, 19, True)])
def test_b_and_w_stay_apart_where_a_reader_elsewhere_starts_before_both_and_the_transfer_have_ended(lag: int, read: int, together: bool) -> None:
    """B(b) ends at 9 and W(b) at 10, what is sent arrives 6 cycles (and the lag) later."""
    graph = chained()
    graph.edges["B(b,0)", "B(a,0)"]["lag"] = lag
    platform = load_platform("array32").with_processors(2)
    problem = Problem.from_graph(graph, replace(platform, interconnect=Interconnect(signal_latency_cycles=6)), mode="finite")
    starts = {"F(a,0)": 0, "F(b,0)": 7, "B(b,0)": 8, "W(b,0)": 9, "B(a,0)": read, "W(a,0)": read + 1}
    schedule = Schedule(processor=problem.tasks.layer, start=np.array([starts[name] for name in problem.tasks.names]))
    assert not check(problem, schedule)
    found = conclude(problem, schedule, provenance=Provenance(solver="by hand", version="1"))
    assert torch_csv(found) == ("0F0,0B0\n1F0,1B0\n" if together else "0F0,0B0\n1F0,1I0,1W0\n")


def test_b_and_w_stay_apart_in_all_chunks_of_a_layer_if_they_are_in_one() -> None:
    order = ["F(a,0)#0", "F(a,0)#1", "F(b,0)#0", "B(b,0)#0", "F(b,0)#1", "W(b,0)#0", "B(b,0)#1", "W(b,0)#1"]
    rows = torch_rows(by_hand(Problem.from_graph(chained(), 2, mode="finite", micro_batches=2), order))
    assert rows.to_csv().splitlines()[1] == "1F0,1I0,1F1,1W0,1I1,1W1"
    assert rows.moved == 0


def first_layer(inputs: Sequence[int], weights: Sequence[int]) -> Result:
    """The first layer's B and W in such orders of windows."""
    order = [f"{kind}({layer},{w})#0" for kind, layer, windows in (("F", "a", (0, 1)), ("F", "b", (0, 1)), ("B", "b", (1, 0))) for w in windows]
    order += [f"{kind}(a,{w})#0" for kind, windows in (("B", inputs), ("W", weights)) for w in windows]
    return by_hand(Problem.from_graph(chained(windows=(0, 1)), 2, mode="finite"), order)


def test_the_first_layer_hands_its_states_back_in_w_as_its_inputs_need_no_gradient() -> None:
    assert torch_csv(first_layer((0, 1), (1, 0))).splitlines()[0] == "0F0,0F1,0I0,0I1,0W1,0W0"
    with pytest.raises(InputError, match="layer 'a' runs micro-batch 0, window 0 before window 1 in its backward pass"):
        torch_csv(first_layer((1, 0), (0, 1)))


def test_w_before_its_b_is_computed_with_it_and_counted() -> None:
    order = [f"F(fc{layer},0)#0" for layer in (1, 2)]
    rows = torch_rows(by_hand(lowered(windows=1), [*order, "E(fc2,0)#0", "W(fc2,0)#0", "F(fc1,0)#1", "F(fc2,0)#1", "B(fc2,0)#0"]))
    assert rows.to_csv().splitlines()[1] == "1F0,1F1,1B0,1B1"
    assert rows.moved == 2
    late = torch_rows(by_hand(lowered(windows=1), [*order, "E(fc2,0)#0", "F(fc1,0)#1", "F(fc2,0)#1", "W(fc2,0)#0", "B(fc2,0)#0"]))
    assert late.to_csv() == rows.to_csv()
    assert late.moved == 1


@pytest.mark.parametrize("solver", ["1f1b", "gpipe", "zb-h1", "stages"])
def test_windows_of_layers_without_states_may_run_in_any_order(solver: str) -> None:
    rows = torch_rows(solved(lowered(plain("relu"), windows=4), solver))
    assert not rows.carrying
    assert sorted(action.chunk for action in rows.rows[0] if action.kind == "F") == list(range(8))
    assert torch_rows(solved(lowered(plain("lif"), windows=4), solver)).carrying == {0}


def test_the_advice_names_other_solvers_than_the_one_that_was_used() -> None:
    made = windows_interleaved()
    assert torch_error(replace(made, provenance=Provenance(solver="1f1b", version="1"))).endswith(
        "solve with --solver zb-h1 or gpipe, or lower with --windows 1"
    )
    assert torch_error(last_layer_out_of_order()).endswith("solve with --solver 1f1b or zb-h1 or gpipe")


def torch_error(result: Result) -> str:
    with pytest.raises(InputError) as error:
        torch_csv(result)
    return str(error.value)


def plain(neuron: str) -> Network:
    return Network(name="plain", input_shape=(4,), time_steps=4, layers=(Layer(name="a", kind="linear", inputs=("input",), out_features=3, neuron=neuron),))  # pyright: ignore[reportArgumentType]


def own_steps() -> Network:
    layers = [Layer(name=name, kind="linear", inputs=(before,), out_features=4, time_steps=steps) for name, before, steps in (("a", "input", 6), ("b", "a", 3))]
    return Network(name="own steps", input_shape=(4,), time_steps=6, layers=tuple(layers))


def windows_that_cross() -> Problem:
    graph = chained(windows=(0, 1))
    graph.add_edge("F(a,0)", "F(b,1)")
    return Problem.from_graph(graph, 2, mode="finite")


def without(edge: tuple[str, str], order: Sequence[str], micro_batches: int = 1) -> Result:
    return by_hand(Problem.from_graph(chained(without=[edge]), 1, mode="finite", micro_batches=micro_batches), order)


def skipping() -> Network:
    layers = [Layer(name=name, kind="linear", inputs=(before,), out_features=4, neuron="lif") for name, before in (("a", "input"), ("b", "a"))]
    layers += [Layer(name="sum", kind="add", inputs=("a", "b")), Layer(name="c", kind="linear", inputs=("sum",), out_features=4)]
    return Network(name="skip", input_shape=(4,), time_steps=2, layers=tuple(layers))


def branching() -> Problem:
    """Three layers with all passes, the last of which reads the first as well."""
    graph: nx.DiGraph[Any] = nx.DiGraph(layers=("a", "b", "c"))
    for layer in "abc":
        for kind in "FBW":
            graph.add_node(f"{kind}({layer})", kind=kind, layer=layer, cycles=1)
        graph.add_edge(f"F({layer})", f"B({layer})")
        graph.add_edge(f"B({layer})", f"W({layer})")
    for u, v in (("a", "b"), ("b", "c"), ("a", "c")):
        graph.add_edge(f"F({u})", f"F({v})")
        graph.add_edge(f"B({v})", f"B({u})")
    return Problem.from_graph(graph, 3)


def last_layer_out_of_order() -> Result:
    order = [f"F(l{layer})#{m}" for layer in range(3) for m in range(2)]
    return by_hand(pipeline(micro_batches=2), [*order, "F(l3)#1", "F(l3)#0"])


def windows_interleaved() -> Result:
    """Legal, and the last layer takes a window of the second micro-batch between two of the first."""
    order = [f"F(fc1,{w})#{m}" for m in range(2) for w in range(2)]
    return by_hand(lowered(), [*order, "F(fc2,0)#0", "F(fc2,0)#1", "F(fc2,1)#0", "F(fc2,1)#1"])


def first_layer_backward_in_ascending_order() -> Result:
    order = [f"{task}#0" for task in ("F(fc1,0)", "F(fc1,1)", "F(fc2,0)", "F(fc2,1)", "E(fc2,1)", "B(fc2,1)", "E(fc2,0)", "B(fc2,0)", "W(fc1,0)", "W(fc1,1)")]
    return by_hand(lowered(micro_batches=1), order)


def split_layer() -> Result:
    platform = load_platform("array32").with_processors(2)
    graph = lower(load_network("tiny"), TrainingSetup(batch=2, windows=1), platform, splits=(Split(kind="W", axis="k", parts=2, layer="fc1"),))
    return solved(Problem.from_graph(graph, platform, mode="finite"), "list")


def periodic() -> Result:
    platform = load_platform("array32").with_processors(2)
    return solved(Problem.from_graph(lower(load_network("tiny"), TrainingSetup(batch=2), platform), platform, mode="periodic"), "sequential")


def plain_tasks() -> Result:
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_node("a", cycles=1)
    return solved(Problem.from_graph(graph, 1), "sequential")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (periodic, "solve with --mode finite"),
        (lambda: by_hand(pipeline("free"), [], {"W(l2)": 0}), r"layer 'l2' runs on two processors .*W\(l2\).* on p0.*--placement stages"),
        (last_layer_out_of_order, "last layer 'l3' runs micro-batch 1 where micro-batch 0 is due: .*wrong gradients"),
        (windows_interleaved, "last layer 'fc2' runs micro-batch 1, window 0 where micro-batch 0, window 1 is due"),
        (first_layer_backward_in_ascending_order, "layer 'fc1' runs micro-batch 0, window 0 before window 1 in its backward pass"),
        (lambda: solved(lowered(windows=3), "1f1b"), "3 windows cut the 4 time steps of 'tiny' unevenly.*--windows that divide 4"),
        (lambda: solved(lowered(own_steps()), "gpipe"), "2 windows cut the 3 time steps of layer 'b' unevenly.*--windows that divide 3"),
        (lambda: solved(windows_that_cross(), "sequential"), r"task 'F\(b,1\)' reads another window, 'F\(a,0\)'"),
        (lambda: by_hand(Problem.from_graph(chained(windows=(0, 2)), 2, mode="finite"), []), r"tasks for the windows \[0, 2\]"),
        (lambda: without(("F(b,0)", "B(b,0)"), ["F(a,0)#0", "B(b,0)#0"]), r"B\(b,0\) of micro-batch 0 would wait for F\(b,0\) of micro-batch 0 for ever"),
        (lambda: without(("B(b,0)", "B(a,0)"), ["F(a,0)#0", "B(a,0)#0"]), r"B\(a,0\) of micro-batch 0 would wait for B\(b,0\) of micro-batch 0 for ever"),
        (lambda: solved(lowered("csnn_mnist", windows=1), "gpipe"), "layer 'lif1' has no B tasks; neurons alone are no stage"),
        (lambda: solved(lowered(skipping(), windows=1), "sequential"), "layer 'sum' has no"),
        (lambda: solved(branching(), "sequential"), "layer 'c' reads layer 'a': torch runs chains alone"),
        (split_layer, r"is a part of a pass .*leave out --split"),
        (lambda: solved(lowered("psn_cifar", windows=1), "sequential"), "parallel neurons"),
        (plain_tasks, "task 'a' is no pass of a layer"),
        (lambda: replace(periodic(), schedule=None), "no schedule"),
    ],
)
def test_what_torch_cannot_run_or_runs_wrongly_is_refused(make: Callable[[], Result], said: str) -> None:
    result = make()
    with pytest.raises(InputError, match=said) as error:
        torch_csv(result)
    assert "\n" not in str(error.value)
