"""``validate``: what it prints and writes, its exit codes, progress, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from spikepipe_sched import Result
from spikepipe_sched.cli import main
from spikepipe_sched.cli.training_progress import TrainingLine, clock_text, live_training
from spikepipe_sched.validation import TrainingProgress, Validation, Verdict
from tests.helpers import hear_interrupts
from tests.validations import made

NETWORK = """
name = "small"
input_shape = [64]
time_steps = 2
coding = "direct"

[[layers]]
name = "hidden"
kind = "linear"
out_features = 16
neuron = "lif"
bias = true

[[layers]]
name = "out"
kind = "linear"
out_features = 10
neuron = "li"
bias = true
"""
QUICK = ("--data", "digits", "--epochs", "2", "--seeds", "2", "--batch", "128", "--rate", "0.02")


@pytest.fixture(scope="module")
def schedule(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("validate")
    (folder / "small.toml").write_text(NETWORK, encoding="utf-8")
    path = folder / "schedule.json"
    assert main(["solve", str(folder / "small.toml"), "--solver", "stages", "-P", "2", "--windows", "1", "-o", str(path)]) == 0
    return path


@pytest.fixture
def canned(monkeypatch):
    """The answer of the training, in its place."""
    pytest.importorskip("torch")

    def install(validation: Validation) -> None:
        monkeypatch.setattr("spikepipe_sched.validate.experiment.run_validation", lambda *_args, **_options: validation)

    return install


def test_a_schedule_is_validated_and_written(run, schedule, tmp_path):
    done = run("validate", schedule, *QUICK, "-o", tmp_path / "v.json", "--html", tmp_path / "v.html")
    assert (done.code, done.err) == (0, "")
    found = Validation.from_json(tmp_path / "v.json")
    assert f"verdict     {found.verdict.outcome}" in done.out
    assert done.out.splitlines()[-2:] == [f"written to {tmp_path / 'v.json'}", f"written to {tmp_path / 'v.html'}"]
    assert (found.network, found.delays.layers, len(found.runs)) == ("small", ("hidden", "out"), 4)
    assert max(found.delays.forward) > 1
    assert all(one.accuracy > 0.3 for one in found.runs)
    assert "<html" in (tmp_path / "v.html").read_text(encoding="utf-8")
    assert len(list((tmp_path / "v.checkpoints").glob("*.pt"))) == 4

    refused = run("validate", schedule, *QUICK, "-o", tmp_path / "v.json")
    assert refused.code == 2
    assert "v.checkpoints: holds checkpoints of an earlier run" in refused.err
    again = run("validate", schedule, *QUICK, "-o", tmp_path / "v.json", "--resume", "--json")
    assert (again.code, again.err.strip()) == (0, f"written to {tmp_path / 'v.json'}")
    assert json.loads(again.out)["runs"] == json.loads(found.to_json())["runs"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_keeps_what_was_trained(schedule, tmp_path):
    command = [sys.executable, "-m", "spikepipe_sched", "validate", str(schedule), "--data", "digits", "--epochs", "5000", "--seeds", "2", "--batch", "128"]
    process = subprocess.Popen(
        [*command, "--checkpoints", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    )
    while not list(tmp_path.glob("*.pt")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == f"interrupted before a run had ended; --resume goes on from {tmp_path}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["synchronous-seed0.pt"]


@pytest.mark.parametrize(
    ("outcome", "options", "code"),
    [
        ("degraded", (), 0),
        ("degraded", ("--fail-on-degraded",), 1),
        ("inconclusive", ("--fail-on-degraded",), 0),
        ("no degradation", ("--fail-on-degraded",), 0),
    ],
)
def test_the_verdict_decides_on_the_exit_code_only_if_asked_to(run, schedule, canned, outcome, options, code):
    canned(made(verdict=Verdict(outcome=outcome, reason="so it is", differences=())))
    done = run("validate", schedule, "--data", "digits", *options)
    assert done.code == code
    assert f"{outcome}: so it is" in done.out
    assert done.err == ("error: degraded: so it is\n" if code else "")


def test_an_interruption_shows_what_there_is_and_says_how_to_go_on(run, schedule, canned, tmp_path):
    canned(made(interrupted=True, runs=made().runs[:3]))
    done = run("validate", schedule, "--data", "digits", "-o", tmp_path / "v.json")
    assert done.code == 130
    assert done.err == f"interrupted; --resume goes on from {tmp_path / 'v.checkpoints'}\n"
    assert "synchronous" in done.out
    assert len(Validation.from_json(tmp_path / "v.json").runs) == 3
    canned(made(interrupted=True, runs=()))
    done = run("validate", schedule, "--data", "digits", "-o", tmp_path / "w.json")
    assert (done.code, done.out) == (130, "")
    assert not (tmp_path / "w.json").exists()


def test_options_reach_the_training(run, schedule, monkeypatch):
    heard = {}

    def record(result, **options):
        heard.update(options)
        return made()

    monkeypatch.setattr("spikepipe_sched.validate.experiment.run_validation", record)
    arguments = ["--policy", "latest", "--margin", "0.5", "--tune", "--optimizer", "sgd", "--rate-schedule", "step", "--surrogate-width", "2", "--workers", "3"]
    assert run("validate", schedule, "--data", "vowels", "--data-path", "x", "--network", "tiny", *arguments).code == 0
    setup = heard["setup"]
    assert (setup.policy, setup.margin, setup.tune, setup.optimizer, setup.rate_schedule, setup.surrogate_width) == ("latest", 0.5, True, "sgd", "step", 2.0)
    assert (heard["data"], heard["data_path"], heard["network"].name, heard["workers"], heard["checkpoints"]) == ("vowels", Path("x"), "tiny", 3, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "digit"), "no data set is called 'digit'; did you mean 'digits'"),
        (("--data", "digits", "--margin", "0"), "margin must be above 0"),
        (("--data", "digits", "--seeds", "1000000000"), "seeds must be at most 10000, got 1000000000"),
        (("--data", "digits", "--threshold", "1e300"), "threshold must be between 1e-9 and 1e9, got 1e+300"),
        (("--data", "digits", "--policy", "fresh"), "policy must be one of stash"),
        (("--data", "digits", "--resume"), "name the folder of the checkpoints"),
        (("--data", "digits", "--network", "digits_mlp"), "network 'digits_mlp' is not the one that was scheduled"),
        (("--data", "digits", "-o", "no/such/folder.json"), "there is no folder"),
        (("--data", "vowels"), "needs a file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run, schedule, arguments, message):
    done = run("validate", schedule, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [("-o", "schedule.json"), ("--html", "schedule.json"), ("-o", "v.json", "--html", "./v.json"), ("-o", "v.checkpoints"), ("-o", "v", "--checkpoints", "v")],
)
def test_no_path_has_two_meanings(run, schedule, options, monkeypatch):
    monkeypatch.chdir(schedule.parent)
    before = schedule.read_bytes()
    done = run("validate", "schedule.json", "--data", "digits", *options)
    assert (done.code, done.err) == (2, "error: schedule file, --output, --html and --checkpoints must all be different; name another path\n")
    assert schedule.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="needs a file that is a device")
def test_no_checkpoints_are_made_beside_a_device(run, schedule, monkeypatch):
    heard = {}
    monkeypatch.setattr("spikepipe_sched.validate.experiment.run_validation", lambda _, **options: heard.update(options) or made())
    assert run("validate", schedule, "--data", "digits", "-o", os.devnull).code == 0
    assert heard["checkpoints"] is None


def test_a_file_without_a_schedule_is_refused(run, schedule, tmp_path):
    result = Result.from_json(schedule)
    document = json.loads(result.to_json())
    document |= {"status": "infeasible", "objective": None, "bound": None, "gap": None, "objectives": [], "schedule": None, "metrics": None}
    (tmp_path / "none.json").write_text(json.dumps(document))
    done = run("validate", tmp_path / "none.json", "--data", "digits")
    assert (done.code, done.err) == (2, f"error: {tmp_path / 'none.json'}: there is no schedule in it (infeasible), so there are no delays to train with\n")


def test_the_schema_is_printed(run):
    assert json.loads(run("schema", "validation").out)["$id"] == "urn:spikepipe-sched:validation:1"


def test_help_imports_no_torch():
    script = "import sys; from spikepipe_sched.cli import main; main(['validate', '--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "msgspec", "networkx", "scipy"} & {name.partition(".")[0] for name in done.stderr.split()}
    assert "--fail-on-degraded" in done.stdout


NOW = TrainingProgress(run=1, runs=10, label="delayed, seed 0", epoch=4, epochs=20, update=400, updates=2000, loss=0.4123, accuracy=0.931, samples_per_s=4210.4)


def test_the_line_says_what_is_trained_how_well_and_how_long_it_takes():
    seconds = [0.0]
    line = TrainingLine(clock=lambda: seconds[0])
    assert line.text() == "starting"
    line(replace(NOW, run=0, update=2000, epoch=20))  # a checkpoint held this run
    line(replace(NOW, update=0, epoch=0, loss=None, accuracy=None, samples_per_s=0.0))
    assert line.text() == "run 2 of 10  delayed, seed 0  epoch 1 of 20"
    seconds[0] = 10.0
    line(NOW)
    assert line.text() == "run 2 of 10  delayed, seed 0  epoch 5 of 20  loss 0.412  accuracy 93.1 %  4,210 samples/s  7:20 left"


def test_after_tuning_runs_are_counted_anew():
    seconds = [0.0]
    line = TrainingLine(clock=lambda: seconds[0])
    line(replace(NOW, label="tuning", runs=4, update=0))
    seconds[0] = 1000.0
    line(replace(NOW, label="tuning", runs=4, update=2000))
    line(replace(NOW, update=0))
    assert line.left_s() is None
    seconds[0] = 1001.0
    line(replace(NOW, update=1000))
    assert line.left_s() == pytest.approx(19.0)


@pytest.mark.parametrize(("seconds", "text"), [(4.6, "0:05"), (750, "12:30"), (3723, "1:02:03")])
def test_times_read_like_a_clock(seconds, text):
    assert clock_text(seconds) == text


def test_a_terminal_sees_the_line_and_a_pipe_nothing(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with live_training() as observer:
        assert observer is None
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with live_training() as observer:
        assert observer is not None
        observer(NOW)
    assert "run 2 of 10" in terminal.getvalue()
