"""``validate --sweep-delays`` measures, ``--max-staleness`` of solve, compare and pareto limits; and what does not go together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched import Result, load_network
from spikepipe_sched.check import violations
from tests.cli.conftest import Run
from tests.sweeps import measured

CPSAT = ("--solver", "cpsat", "--deterministic-limit", 0.2)
#: Of the network tiny: layers fc1 and fc2; uniform 2 and joint (4, 1) keep the accuracy within a point.
LOWS = {(1, 1): -0.3, (2, 2): -0.8, (4, 4): -2.9, (4, 0): -0.5, (0, 1): -0.2, (0, 2): -0.6, (4, 1): -0.9}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sweep over the network tiny."""
    path = tmp_path / "staleness.json"
    measured(LOWS, network=load_network("tiny")).to_json(path)
    return path


def limits(out: str) -> dict[str, int]:
    """Of every layer, in a schedule that keeps them."""
    result = Result.from_json(out)
    assert result.schedule is not None
    assert result.metrics is not None
    assert violations(result.problem, result.schedule) == ()
    allowed = dict(zip(result.problem.layers, result.problem.delay_limits.tolist(), strict=True))
    assert all(delay <= allowed[layer] for layer, delay in result.metrics.delays)
    return allowed


@pytest.mark.parametrize("staleness", [0, 3])
def test_a_number_limits_the_delay_of_every_layer_to_one_more(run: Run, staleness: int) -> None:
    done = run("solve", "tiny", "-P", 2, "--windows", 1, *CPSAT, "--max-staleness", staleness, "--json")
    assert (done.code, done.err) == (0, "")
    assert limits(done.out) == {"fc1": staleness + 1, "fc2": staleness + 1}


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        (("--profile", "uniform"), {"fc1": 3, "fc2": 3}),
        (("--profile", "joint"), {"fc1": 5, "fc2": 2}),
        (("--tolerance", 0.7), {"fc1": 2, "fc2": 2}),
        (("--tolerance", 3), {"fc1": 5, "fc2": 5}),
        (("--tolerance", 0.1), {"fc1": 1, "fc2": 1}),
    ],
)
def test_a_measurement_limits_delays_to_what_it_has_shown(run: Run, file: Path, options: tuple[Any, ...], allowed: dict[str, int]) -> None:
    done = run("solve", "tiny", "-P", 2, "--windows", 1, *CPSAT, "--max-staleness", file, *options, "--json")
    assert done.code == 0
    assert limits(done.out) == allowed


def test_the_note_says_what_the_limits_rest_on(run: Run, file: Path) -> None:
    done = run("solve", "tiny", "-P", 2, "--solver", "stages", "--max-staleness", file, "--profile", "joint")
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert done.err.startswith("note: staleness of at most fc1 4, fc2 1, measured: -0.40 points of accuracy, 95 % interval -0.90 to +0.10, ")
    assert "tiny on made up, adam at rate 0.002 (cosine), policy stash, loss rate, 3 epochs (60 updates of 16 samples), 2 seeds" in done.err


def test_the_note_says_that_nothing_may_be_stale(run: Run, file: Path) -> None:
    done = run("solve", "tiny", "-P", 1, "--solver", "sequential", "--max-staleness", file, "--tolerance", 0.01)
    assert done.err.startswith(
        "note: no measured staleness excludes a loss of 0.01 points or more: nothing may be stale; more seeds, or a larger --tolerance, may allow some; tiny on made up"
    )


def test_profiles_that_are_not_comparable_are_named(run: Run, file: Path) -> None:
    done = run("solve", "tiny", "--max-staleness", file)
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, "")
    assert "uniform (2) and joint (fc1 4, fc2 1); choose with --profile uniform or --profile joint" in done.err


def test_all_limits_on_delays_hold_together(run: Run, file: Path) -> None:
    common = ("solve", "tiny", "-P", 2, "--windows", 1, *CPSAT, "--json")
    assert limits(run(*common, "--max-staleness", 3, "--max-delay", 2).out) == {"fc1": 2, "fc2": 2}
    assert limits(run(*common, "--max-staleness", 1, "--max-delay", 5, "--max-layer-delay", "fc1=9,fc2=1").out) == {"fc1": 2, "fc2": 1}


def test_compare_and_pareto_keep_the_limits_and_give_the_note_once(run: Run, file: Path) -> None:
    options = ("--max-staleness", file, "--profile", "uniform", "--windows", 1, "--json")
    done = run("compare", "tiny", "-P", "1,2", "--solvers", "sequential", *options)
    assert (done.code, done.err.count("note: ")) == (0, 1)
    done = run("pareto", "tiny", "-P", 2, "--solver", "stages", "--points", 2, *options)
    assert (done.code, done.err.count("note: ")) == (0, 1)
    for point in json.loads(done.out)["points"]:
        assert limits(json.dumps(point["result"])) == {"fc1": 3, "fc2": 3}


@pytest.mark.parametrize(("staleness", "limits"), [(0, "fc1=7,fc2=9"), (8, "fc1=1,fc2=1")])
def test_a_limit_that_cannot_be_kept_names_the_option(run: Run, staleness: int, limits: str) -> None:
    done = run("solve", "tiny", "-P", 4, "--windows", 1, "--max-staleness", staleness, "--max-period", 650, "--max-layer-delay", limits)
    assert done.code == 1
    assert "delay of layer 'fc1' (--max-layer-delay or --max-staleness)" in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--max-staleness", "nowhere.json"),
            "--max-staleness takes a whole number, or a file that validate --sweep-delays wrote; there is no file 'nowhere.json'",
        ),
        (("--max-staleness", "-1"), "there is no file '-1'"),
        (("--max-staleness", 2, "--tolerance", 1), "--tolerance can only go with --max-staleness FILE"),
        (("--profile", "joint", "--tolerance", 1), "--tolerance and --profile can only go with --max-staleness FILE"),
        (("--max-staleness", "FILE", "--tolerance", 0), "the tolerance must be a positive number of points, got 0"),
        (("--max-staleness", "FILE", "--batch", 8), "measured with batch 16, not 8; measure again, or give limits with --max-staleness NUMBER"),
        (("--max-staleness", "FILE", "--time-steps", 5), "measured with time_steps 4, not 5"),
        (("--max-staleness", "FILE", "--weights", "latest"), "measured with weights stash, not latest"),
    ],
)
def test_what_does_not_go_together_is_one_line(run: Run, file: Path, options: tuple[Any, ...], says: str) -> None:
    done = run("solve", "tiny", "--solver", "stages", *(file if option == "FILE" else option for option in options))
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, "")
    assert says in done.err


def test_a_measurement_of_another_network_names_the_difference(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    measured(LOWS).to_json(file)
    done = run("solve", "tiny", "--max-staleness", file)
    assert done.code == 2
    assert done.err.startswith(f"error: {file}: measured with layers a, b, not fc1, fc2; ")


def test_a_task_graph_has_nothing_stale(run: Run, tmp_path: Path) -> None:
    graph = tmp_path / "a.dot"
    graph.write_text("digraph { a [cycles=3]; b [cycles=2]; a -> b }")
    done = run("solve", graph, "--max-staleness", 2)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--max-staleness could apply" in done.err


@pytest.fixture
def small(run: Run, tmp_path: Path) -> Path:
    """A schedule of a small network for digits."""
    network, path = tmp_path / "small.toml", tmp_path / "schedule.json"
    layers = "".join(
        f'[[layers]]\nname = "{name}"\nkind = "linear"\nout_features = {width}\nneuron = "lif"\nbias = true\n' for name, width in (("one", 16), ("two", 10))
    )
    network.write_text(f'name = "small"\ninput_shape = [64]\ntime_steps = 2\ncoding = "direct"\n{layers}')
    assert run("solve", network, "-P", 2, "--solver", "stages", "-o", path).code == 0
    return path


SHORT = ("--data", "digits", "--epochs", 1, "--seeds", 2, "--sweep-delays", "--staleness", 1)


def test_from_a_measurement_to_the_schedule_that_keeps_its_limits(run: Run, small: Path, tmp_path: Path) -> None:
    """Sweep, solve within what it allows, check: with so few runs only a large loss can be excluded."""
    file, page = tmp_path / "staleness.json", tmp_path / "staleness.html"
    done = run("validate", small, *SHORT, "-o", file, "--html", page)
    assert (done.code, done.err) == (0, "")
    assert "small on digits, adam at rate 0.002 (cosine), policy stash, loss rate, 1 epoch (89 updates of 16 samples), 2 seeds" in done.out
    assert "a loss of 1 point or more is" in done.out
    assert page.read_text().startswith("<!DOCTYPE html>")
    network = tmp_path / "small.toml"
    done = run("solve", network, "-P", 2, "--windows", 1, *CPSAT, "--max-staleness", file, "--tolerance", 99, "--json")
    assert done.code == 0
    assert limits(done.out) == {"one": 2, "two": 2}
    assert done.err.startswith("note: staleness of at most 1, measured: ")
    again = run("validate", small, *SHORT, "-o", file, "--resume", "--json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(file.read_text()))


@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupted_sweep_is_code_130_and_says_how_to_go_on(run: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spikepipe_sched.validate.sweep.sweep_delays", stopped)
    done = run("validate", small, *SHORT, *(("-o", tmp_path / "s.json") if kept else ()))
    assert (done.code, done.out) == (130, "")
    assert done.err == (f"interrupted; --resume goes on from {tmp_path / 's.checkpoints'}\n" if kept else "interrupted\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--staleness", "2"), "--staleness and --sweep-layers can only go with --sweep-delays"),
        (("--sweep-layers",), "--staleness and --sweep-layers can only go with --sweep-delays"),
        (("--sweep-delays", "--staleness", "2,x"), "--staleness takes whole numbers of at least 1, separated by commas, not '2,x'"),
        (("--sweep-delays", "--staleness", ""), "--staleness takes whole numbers of at least 1, separated by commas, not ''"),
        (("--sweep-delays", "--seeds", 1), "an interval needs at least 2 seeds"),
        (("--sweep-delays", "--fail-on-degraded"), "--fail-on-degraded needs a verdict on one schedule"),
    ],
)
def test_sweeps_that_cannot_be_made_are_one_line(run: Run, small: Path, options: tuple[Any, ...], says: str) -> None:
    done = run("validate", small, "--data", "digits", *options)
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, "")
    assert says in done.err
