"""Schedules executed by torch's pipeline runtime, in processes of their own: gradients, order, times, and what goes wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import networkx as nx
import numpy as np
import pytest

from spikepipe_sched import Problem, Result, TrainingSetup, load_network, load_platform, lower, solve
from spikepipe_sched.cli import main
from spikepipe_sched.errors import InputError, SpikepipeError
from spikepipe_sched.execute import execute, execute_many
from spikepipe_sched.export.torch_pipelining import torch_csv
from spikepipe_sched.layer import Layer
from spikepipe_sched.learning import NeuronSettings
from spikepipe_sched.network import Network
from spikepipe_sched.readers.pipeline import Pipeline, Placement

torch = pytest.importorskip("torch", reason="the extra 'validate' is not installed")

from spikepipe_sched.execute.execution import Execution, Gradients  # noqa: E402
from spikepipe_sched.execute.plan import Plan  # noqa: E402
from spikepipe_sched.execute.rank import Done  # noqa: E402
from spikepipe_sched.execute.run import _compared  # noqa: E402
from spikepipe_sched.execute.session import Session, arranged  # noqa: E402


def solved(problem: Problem, solver: str) -> Result:
    return solve(problem, solver=solver, deterministic_limit=0.5, workers=1)


def network_result(network: Network | str, solver: str, *, windows: int, micro_batches: int = 2, processors: int = 2, **options: Any) -> Result:
    found = load_network(network) if isinstance(network, str) else network
    platform = load_platform("array32").with_processors(processors)
    graph = lower(found, TrainingSetup(batch=3, windows=windows, **options), platform)
    return solved(Problem.from_graph(graph, platform, mode="finite", micro_batches=micro_batches), solver)


def pipeline_result(solver: str, stages: int = 2, placement: Placement = "stages", chunks: int = 1) -> Result:
    costs = ((3, 5, 2)[:stages], (4, 6, 3)[:stages], (3, 5, 2)[:stages])
    pipeline = Pipeline.of_stages("unequal", *costs, micro_batches=3, placement=placement, chunks=chunks, transfer_cycles=1)
    return solved(pipeline.problem(), solver)


def many_kinds() -> Network:
    """Normalised convolution and pool, both kinds of recurrence, a leaky read-out."""
    layers = (
        Layer(name="conv", kind="conv2d", inputs=("input",), out_channels=3, kernel=(3, 3), padding=(1, 1), neuron="lif", norm="batch"),
        Layer(name="pool", kind="maxpool2d", inputs=("conv",), kernel=(2, 2), stride=(2, 2)),
        Layer(name="flat", kind="flatten", inputs=("pool",)),
        Layer(name="full", kind="linear", inputs=("flat",), out_features=7, neuron="lif", recurrence="full", bias=True),
        Layer(name="own", kind="linear", inputs=("full",), out_features=6, neuron="if", recurrence="self"),
        Layer(name="out", kind="linear", inputs=("own",), out_features=3, neuron="li"),
    )
    return Network(name="many kinds", input_shape=(2, 4, 4), time_steps=8, layers=layers, coding="direct")


def own_steps(last: int = 3) -> Network:
    """Layers of 6, 2 and 3 time steps, in a network of 6."""
    layers = (
        Layer(name="a", kind="conv2d", inputs=("input",), out_channels=3, kernel=(3, 3), neuron="lif"),
        Layer(name="b", kind="conv2d", inputs=("a",), out_channels=4, kernel=(1, 1), neuron="lif", time_steps=2),
        Layer(name="pool", kind="avgpool2d", inputs=("b",), kernel=(2, 2), stride=(2, 2)),
        Layer(name="flat", kind="flatten", inputs=("pool",)),
        Layer(name="c", kind="linear", inputs=("flat",), out_features=3, neuron="iir", time_steps=last),
    )
    return Network(name="own steps", input_shape=(2, 4, 4), time_steps=6, layers=layers)


CASES: dict[str, Callable[[], Result]] = {
    "1f1b": lambda: network_result("tiny", "1f1b", windows=2, micro_batches=3),
    "gpipe": lambda: network_result("tiny", "gpipe", windows=4),
    "zb-h1": lambda: network_result("tiny", "zb-h1", windows=1, micro_batches=4),
    "zb-h2": lambda: network_result("tiny", "zb-h2", windows=2, micro_batches=3),
    "several layers per process": lambda: network_result("digits_deep", "interleaved", windows=2),
    "there and back": lambda: network_result(many_kinds(), "zb-v", windows=4),
    "layer after layer": lambda: network_result(many_kinds(), "1f1b", windows=2, micro_batches=1),
    "truncated": lambda: network_result(many_kinds(), "zb-h1", windows=4, bptt_steps=4),
    "steps of its own": lambda: network_result(own_steps(), "zb-h1", windows=1),
    "windows of steps of its own": lambda: network_result(own_steps(4), "1f1b", windows=2),
    "list": lambda: pipeline_result("list"),
    "cpsat": lambda: pipeline_result("cpsat"),
    "pipeline there and back": lambda: pipeline_result("zb-v", placement="v", chunks=2),
    "pipeline round after round": lambda: pipeline_result("list:dls", placement="interleaved", chunks=2),
}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {name: make() for name, make in CASES.items()}


@pytest.fixture(scope="module")
def executions(results: dict[str, Result]) -> dict[str, Execution]:
    done = execute_many(list(results.values()), emulate_s=0.5, runs=2, neurons=NeuronSettings(reset="hard"), seed=3)
    return dict(zip(results, done, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_loss_are_those_of_the_network_in_one_piece(name: str, executions: dict[str, Execution]) -> None:
    gradients = executions[name].gradients
    assert gradients.largest > 1e-3
    assert gradients.relative_error <= 1e-10
    assert gradients.loss == pytest.approx(gradients.reference_loss, rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_every_process_works_in_the_order_of_the_schedule(name: str, results: dict[str, Result], executions: dict[str, Execution]) -> None:
    done, rows = executions[name], [line.split(",") for line in torch_csv(results[name]).splitlines()]
    assert done.in_order
    for run in range(2):
        for row, cells in enumerate(rows):
            ran = sorted((action for action in done.actions if action.row == row), key=lambda action: action.starts_s[run])
            assert [action.name for action in ran] == cells
        ended = {action.name: action.ends_s[run] for action in done.actions}
        for action in done.actions:
            kind = next(letter for letter in action.name if letter.isalpha())
            stage, chunk = map(int, action.name.split(kind))
            before = [f"{stage - 1}F{chunk}"] if kind == "F" else [f"{stage}F{chunk}", f"{stage + 1}I{chunk}", f"{stage + 1}B{chunk}"]
            assert all(ended.get(name, 0) <= action.starts_s[run] for name in before if name in ended)


@pytest.mark.parametrize("name", CASES)
def test_emulated_actions_take_their_cycles_and_runs_no_less_than_predicted(name: str, executions: dict[str, Execution]) -> None:
    done = executions[name]
    assert done.predicted_s is not None
    assert min(done.runs_s) >= done.predicted_s - 1e-6
    for action in done.actions:
        least = (action.end_cycles - action.start_cycles) * done.seconds_per_cycle
        assert all(end - start >= least - 1e-6 for start, end in zip(action.starts_s, action.ends_s, strict=True))


def test_a_cycle_lasts_equally_long_in_all_and_the_longest_takes_what_was_asked_for(executions: dict[str, Execution]) -> None:
    assert len({done.seconds_per_cycle for done in executions.values()}) == 1
    assert max(done.predicted_s or 0 for done in executions.values()) == pytest.approx(0.5)


@pytest.mark.parametrize("name", CASES)
def test_the_order_promises_no_more_cycles_than_the_schedule_has(name: str, results: dict[str, Result], executions: dict[str, Execution]) -> None:
    done, metrics = executions[name], results[name].metrics
    assert metrics is not None
    assert done.order_cycles <= done.schedule_cycles <= metrics.length_cycles


def test_a_lag_counts_between_tasks_of_one_processor_too() -> None:
    graph: nx.DiGraph[Any] = nx.DiGraph(layers=("a",))
    for kind in "FBW":
        graph.add_node(kind, kind=kind, layer="a", cycles=10)
    graph.add_edge("F", "B", lag=7)
    graph.add_edge("B", "W", lag=-5)
    (row,) = Plan.of_result(solved(Problem.from_graph(graph, 1), "sequential")).earliest()
    assert row == [(0, 10), (17, 37)]


def test_windows_between_which_nothing_passes_have_stand_ins_without_states() -> None:
    graph: nx.DiGraph[Any] = nx.DiGraph(layers=("a",))
    for w in (0, 1):
        graph.add_nodes_from((f"{kind}{w}", {"kind": kind, "layer": "a", "window": w, "cycles": 1}) for kind in "FBW")
        graph.add_edges_from([(f"F{w}", f"B{w}"), (f"B{w}", f"W{w}")])
    assert Plan.of_result(solved(Problem.from_graph(graph, 1), "sequential")).network.layers[0].neuron == "none"
    graph.add_edge("F0", "F1")
    graph.add_edge("B1", "B0")
    assert Plan.of_result(solved(Problem.from_graph(graph, 1), "sequential")).network.layers[0].neuron == "li"


def test_a_process_that_dies_before_it_listens_is_missed_however_much_there_is_to_send() -> None:
    plan = Plan.of_result(pipeline_result("zb-h1"))
    with Session(2, timeout_s=60) as session:
        next(child for child in multiprocessing.active_children() if child.name == "rank 1").kill()
        with pytest.raises(SpikepipeError, match=r"process 1 of 2 died \(exit code -9\)"):
            session.run(plan, *arranged(plan, np.ones((1, 24, 8 * 10**4)), np.zeros(24, dtype=np.int64)))


def test_the_processes_of_a_killed_parent_end_and_remove_their_folder(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\nfrom spikepipe_sched.execute.session import Session\n"
        "if __name__ == '__main__':\n    with Session(2, timeout_s=60):\n        print('started', flush=True)\n        time.sleep(60)\n"
    )
    folders = tmp_path / "folders"
    folders.mkdir()
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(folders)}) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        (folder,) = folders.glob("spikepipe-run-*")
        assert folder.is_dir()
        parent.kill()
        parent.stdout.read()  # until the last process that has it is gone
    assert not folder.exists()


def test_a_process_that_dies_ends_the_run_and_all_processes() -> None:
    plan = Plan.of_result(pipeline_result("zb-h1", stages=3))
    inputs, labels = np.ones((1, 24, 8)), np.zeros(24, dtype=np.int64)
    with Session(3, timeout_s=120) as session:
        first = session.run(plan, *arranged(plan, inputs, labels))
        assert [each.loss is None for each in first] == [True, True, False]
        children = {child.name: child for child in multiprocessing.active_children()}
        assert set(children) == {"rank 0", "rank 1", "rank 2"}
        killer = Timer(0.5, children["rank 1"].kill)
        killer.start()
        with pytest.raises(SpikepipeError, match=r"process 1 of 3 died \(exit code -9\)"):
            session.run(plan, *arranged(plan, inputs, labels), seconds_per_cycle=10.0)
        killer.join()
    assert not any(child.is_alive() for child in children.values())


def test_what_goes_wrong_in_a_process_is_said() -> None:
    plan = Plan.of_result(solved(Pipeline(name="one", forward=(1,), backward=(1,), gradient=(1,), processors=1, micro_batches=1).problem(), "sequential"))
    with Session(1, timeout_s=120) as session, pytest.raises(SpikepipeError, match=r"process 0 of 1 failed: .*[Tt]arget 9"):
        session.run(plan, *arranged(plan, np.ones((1, 8, 8)), np.full(8, 9)))


def test_a_run_that_does_not_end_is_given_up() -> None:
    plan = Plan.of_result(pipeline_result("1f1b"))
    values = arranged(plan, np.ones((1, 24, 8)), np.zeros(24, dtype=np.int64))
    with Session(2, timeout_s=0.001) as session, pytest.raises(SpikepipeError, match=r"process 0 of 2, process 1 of 2 did not end within 0.001 s"):
        session.run(plan, *values)
    assert not multiprocessing.active_children()
    with Session(2, timeout_s=120) as session:
        session.run(plan, *values)
        session._timeout_s = 0.001
        with pytest.raises(SpikepipeError, match=r"did not end within 0.003 s beside .* more work than that: --timeout"):
            session.run(plan, *values, runs=3)


def test_ctrl_c_ends_all_processes() -> None:
    plan = Plan.of_result(pipeline_result("1f1b"))
    Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), Session(2, timeout_s=120) as session:
        session.run(plan, *arranged(plan, np.ones((1, 24, 8)), np.zeros(24, dtype=np.int64)), seconds_per_cycle=10.0)
    assert not multiprocessing.active_children()


def test_the_command_prints_and_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, trace, output = (tmp_path / name for name in ("schedule.json", "trace.json", "run.json"))
    network_result("digits_mlp", "sequential", windows=2, processors=1).to_json(file)
    assert main(["run-torch", str(file), "--data", "digits", "--trace", str(trace), "-o", str(output)]) == 0
    said = capsys.readouterr().out
    assert "as scheduled, in every process" in said
    assert "equal to those of the network in one piece" in said
    assert "tells nothing of an array's cycles" in said
    found = json.loads(output.read_text())
    assert found["predicted_s"] is None
    assert found["gradients"]["relative_error"] <= 1e-10
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    for process in (1, 2):
        assert [event["name"] for event in events if event["pid"] == process] == [action["name"] for action in found["actions"]]


def test_no_repetition_is_refused_by_the_option_s_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run-torch", str(tmp_path / "schedule.json"), "--repeat", "0"]) == 2
    assert "--repeat must be at least 1, got 0" in capsys.readouterr().err


def test_errors_of_order_or_gradients_are_told_and_counted(executions: dict[str, Execution]) -> None:
    done = executions["1f1b"]
    assert done.faithful
    assert "predicted    " in str(done)
    wrong = replace(done, gradients=replace(done.gradients, relative_error=1e-6))
    assert not wrong.faithful
    assert "NOT those of the network in one piece" in str(wrong)
    assert not replace(done, in_order=False).faithful
    assert "as scheduled, in every process\n" in str(replace(done, moved=0))
    assert "as scheduled, in every process; moved to their B: 2 tasks" in str(replace(done, moved=2))


def compared(found: dict[str, float], wanted: dict[str, float], loss: float = 1.0) -> Gradients:
    """One gradient per layer, and a loss of 1 in one piece."""
    weights = {layer: {"weight": torch.zeros(2, dtype=torch.float64, requires_grad=True)} for layer in wanted}
    for layer, value in wanted.items():
        weights[layer]["weight"].grad = torch.full((2,), value, dtype=torch.float64)
    done = Done(gradients={layer: {"weight": np.full(2, value)} for layer, value in found.items()}, loss=loss, times=np.zeros((1, 1, 2)))
    return _compared([done], 1.0, weights)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_equal(value: float, executions: dict[str, Execution]) -> None:
    good = {"a": 1.0, "b": 2.0, "c": 0.0}
    assert compared(good, good).equal
    for layer in good:
        for pair in ((good | {layer: value}, good), (good, good | {layer: value}), (good | {layer: value}, good | {layer: value})):
            found = compared(*pair)
            assert not found.equal
            assert found.relative_error == np.inf
    assert not compared(good, good, loss=value).equal
    said = json.loads(replace(executions["1f1b"], gradients=compared(good | {"a": value}, good, loss=value)).to_json(), parse_constant=pytest.fail)
    assert [said["gradients"][key] for key in ("loss", "error", "relative_error", "largest")] == [None, None, None, 2.0]


def test_another_loss_is_not_equal() -> None:
    good = {"a": 1.0}
    assert compared(good, good, loss=1 + 1e-12).equal
    assert not compared(good, good, loss=1 + 1e-6).equal


def test_rounding_of_a_gradient_of_nearly_zero_is_no_error(executions: dict[str, Execution]) -> None:
    found = compared({"a": 7.0, "b": 1e-29}, {"a": 7.0, "b": 2e-29})
    assert found.equal
    assert not found.silent
    assert not compared({"a": 7.0, "b": 1e-9}, {"a": 7.0, "b": 2e-9}).equal
    silent = compared({"a": 7.0, "b": 0.0}, {"a": 7.0, "b": 0.0})
    assert silent.silent == ("b",)
    assert "no gradient reaches b: nothing was compared there" in str(replace(executions["1f1b"], gradients=silent))
    assert not compared({"b": 1e-300}, {"b": 0.0}).equal


def test_work_that_outlasts_its_cycles_is_counted(executions: dict[str, Execution]) -> None:
    done = executions["1f1b"]
    first, *others = done.actions
    fast = [replace(ran, ends_s=tuple(start + (ran.end_cycles - ran.start_cycles) * done.seconds_per_cycle for start in ran.starts_s)) for ran in others]
    slow = replace(first, ends_s=tuple(start + 60 for start in first.starts_s))
    assert replace(done, actions=tuple(fast)).late == 0
    found = replace(done, actions=(slow, *fast))
    assert found.late == 1
    assert "in 1 actions work outlasted the cycles" in str(found)
    assert replace(found, seconds_per_cycle=0.0).late == 0


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (lambda: network_result("tiny", "zb-h1", windows=3), {}, "3 windows cut the 4 time steps of 'tiny' unevenly"),
        (lambda: network_result(own_steps(), "zb-h1", windows=2), {}, "2 windows cut the 3 time steps of layer 'c' unevenly.*--windows 1"),
        (lambda: network_result("tiny", "list", windows=1), {}, "runs on two processors"),
        (lambda: pipeline_result("1f1b"), {"emulate_s": 0}, "time to emulate"),
        (lambda: pipeline_result("1f1b"), {"runs": 0}, "runs must be at least 1"),
        (lambda: pipeline_result("1f1b"), {"data_path": Path("spikes")}, "--data-path spikes .* give --data as well"),
        (
            lambda: solved(Pipeline(name="free", forward=(0,), backward=(0,), gradient=(0,), processors=1, micro_batches=1).problem(), "sequential"),
            {"emulate_s": 1.0},
            "all tasks take 0 cycles",
        ),
        (lambda: pipeline_result("1f1b"), {"data": "digits"}, "there is no network to show the data 'digits' to"),
    ],
)
def test_what_cannot_be_executed_is_refused_in_one_line_before_a_process_is_started(
    make: Callable[[], Result], options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikepipe_sched.execute.run.Session", lambda *_, **__: pytest.fail("started"))
    with pytest.raises(InputError, match=said) as error:
        execute(make(), **options)
    assert "\n" not in str(error.value)


def test_schedules_for_unlike_numbers_of_processes_are_not_executed_together() -> None:
    with pytest.raises(InputError, match=r"equally many processes, got \[2, 3\]"):
        execute_many([pipeline_result("1f1b"), pipeline_result("1f1b", stages=3)])
    assert execute_many([]) == []


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikepipe_sched.validate.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install .*\[validate\]'"):
        execute(pipeline_result("1f1b"))


def test_another_version_of_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.14.0+cpu")
    monkeypatch.setitem(sys.modules, "spikepipe_sched.execute.run", None)  # which imports what another one may lack
    with pytest.raises(InputError, match=r"PyTorch 2.14.0\+cpu is installed, .*known as of 2.13"):
        execute(pipeline_result("1f1b"))
