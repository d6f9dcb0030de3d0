"""``solve``: summary, files, limits, and everything a user can get wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spikepipe_sched import Result
from spikepipe_sched.cli.options import parse_share
from spikepipe_sched.errors import InputError
from spikepipe_solvers.sequential import Sequential
from tests.helpers import hear_interrupts

QUICK = ("--solver", "stages", "--processors", 2)


def test_summary_on_stdout_and_nothing_on_stderr(run):
    done = run("solve", "tiny", *QUICK)
    assert done.code == 0
    for word in ("period", "bound", "delay", "traffic", "overhead", "utilisation", "speed-up", "samples/s"):
        assert word in done.out
    assert done.err == ""


def test_json_is_the_whole_output_and_equals_the_file(run, tmp_path):
    file = tmp_path / "schedule.json"
    done = run("solve", "tiny", *QUICK, "--json", "-o", file)
    assert done.code == 0
    assert json.loads(done.out) == json.loads(file.read_text())
    assert Result.from_json(done.out).problem.name == "tiny"


def test_finite_mode_schedules_micro_batches(run):
    done = run("solve", "tiny", *QUICK, "--mode", "finite", "--micro-batches", 3, "--json")
    result = Result.from_json(done.out)
    assert (done.code, result.problem.mode, result.problem.micro_batches) == (0, "finite", 3)
    assert result.objectives[0].name == "makespan"


def test_options_reach_the_problem(run):
    options = ("--objective", "delay,period", "--max-period", 10**6, "--max-delay", 40, "--max-traffic", 10**9, "--max-memory", 10**8)
    done = run("solve", "tiny", *QUICK, *options, "--weights", "latest", "--batch", 4, "--time-steps", 6, "--seed", 7, "--json")
    problem = Result.from_json(done.out).problem
    assert problem.objective == ("delay", "period")
    assert (problem.limits.period_cycles, problem.limits.delay, problem.limits.traffic_bytes) == (10**6, 40, 10**9)
    assert {processor.memory_bytes for processor in problem.processors} == {10**8}
    assert (problem.weights, problem.samples_per_iteration) == ("latest", 4)
    assert Result.from_json(done.out).provenance.seed == 7


def test_limits_of_layers_and_span_and_unrolling_reach_the_problem(run):
    done = run("solve", "tiny", "--solver", "sequential", "-P", 1, "--max-layer-delay", "fc1=3, fc2=2", "--max-span", 10**6, "--unroll", 2, "--json")
    problem = Result.from_json(done.out).problem
    assert problem.limits.layer_delay == (("fc1", 3), ("fc2", 2))
    assert (problem.limits.span_cycles, problem.unroll) == (10**6, 2)


@pytest.mark.parametrize("text", ["fc1", "fc1=", "=2", "fc1=two", "fc1=-1", "fc1=2,", f"fc1={'9' * 5000}"])
def test_limits_of_layers_that_say_nothing(run, text):
    done = run("solve", "tiny", *QUICK, "--max-layer-delay", text)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "LAYER=DELAY" in done.err


def test_slack_trades_period_for_what_comes_after_it(run):
    """The least period becomes a limit and the last objective; delays can only fall."""
    common = ("solve", "tiny", "--solver", "cpsat", "-P", 3, "--windows", 2, "--deterministic-limit", 4, "--json")
    tight, loose = (Result.from_json(run(*common, *more).out) for more in ((), ("--slack", "10%")))
    assert tight.metrics is not None
    assert loose.metrics is not None
    assert tight.problem.objective[0] == "period"
    assert loose.problem.objective == ("delay", "traffic", "memory", "period")
    assert loose.problem.limits.period_cycles == tight.metrics.length_cycles * 11 // 10
    assert loose.metrics.length_cycles <= loose.problem.limits.period_cycles  # pyright: ignore[reportOperatorIssue]  (set: the line above)
    assert loose.metrics.total_delay <= tight.metrics.total_delay


def test_both_searches_of_slack_keep_to_the_limits_of_one(run, monkeypatch):
    """A fifth for the least period, the rest for what comes after it."""
    spent: list[float] = []
    original = Sequential.solve

    def solve(self, problem, *, budget, **options):
        spent.append(budget.time_limit_s)
        return original(self, problem, budget=budget, **options)

    monkeypatch.setattr(Sequential, "solve", solve)
    done = run("solve", "tiny", "--solver", "sequential", "-P", 1, "--time-limit", 10, "--slack", "1%", "--json")
    assert spent == pytest.approx([2, 8])
    provenance = Result.from_json(done.out).provenance
    assert (provenance.time_limit_s, provenance.deterministic_limit) == (10, None)


def test_slack_needs_the_period_first(run):
    done = run("solve", "tiny", *QUICK, "--slack", "1%", "--objective", "delay,period")
    assert (done.code, done.err) == (2, "error: slack needs a periodic problem whose first objective is the period\n")


def test_network_from_a_file_and_another_input_shape(run, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\ninput_shape = [24]\ntime_steps = 8\n[[layers]]\nname = "fc"\nkind = "linear"\nout_features = 4\nneuron = "lif"\n')
    plain, wide = (run("solve", file, *QUICK, "--json", *more) for more in ((), ("--input-shape", "48")))
    first, second = (Result.from_json(done.out) for done in (plain, wide))
    assert first.problem.name == "mine"
    assert second.problem.tasks.macs.sum() > first.problem.tasks.macs.sum()


def test_nothing_feasible_is_code_1_and_still_written(run, tmp_path):
    file = tmp_path / "none.json"
    done = run("solve", "tiny", *QUICK, "--max-period", 10, "-o", file)
    assert done.code == 1
    assert done.err.startswith("error: no feasible schedule")
    assert "period" in done.out
    assert Result.from_json(file).infeasibility is not None
    assert run("show", file).code == 0


@pytest.mark.parametrize("gap", ["0.001", "0.1%"])
def test_missed_gap_is_code_1(run, gap):
    done = run("solve", "tiny", *QUICK, "--require-gap", gap)
    assert done.code == 1
    assert done.err.startswith("error: the gap of period is ")
    assert "period" in done.out


def test_gap_that_is_kept_is_code_0(run):
    assert run("solve", "tiny", *QUICK, "--require-gap", "500%").code == 0


@pytest.mark.parametrize(("text", "value"), [("0.01", 0.01), ("1%", 0.01), ("0", 0.0), (" 2.5 %", 0.025)])
def test_gap_as_fraction_or_percentage(text, value):
    assert parse_share(text, "--slack") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "%", "one", "-1", "nan", "inf"])
def test_gap_that_is_none(text):
    with pytest.raises(InputError, match="--slack takes"):
        parse_share(text, "--slack")


BAD_TOML = 'name = "x"\ninput_shape = [24\n'


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("solve", "nosuch"), "nosuch"),
        (("solve", "missing.toml"), "missing.toml"),
        (("solve", "network.pdf"), ".pdf"),
        (("solve", "damaged.toml"), "damaged.toml"),
        (("solve", "tiny", "--platform", "nosuch"), "nosuch"),
        (("solve", "tiny", "--platform", "damaged.toml"), "damaged.toml"),
        (("solve", "tiny", "--solver", "nosuch"), "nosuch"),
        (("solve", "tiny", "--solver", "list"), "list"),
        (("solve", "tiny", "--processors", 0), "processor"),
        (("solve", "tiny", "--batch", 0), "batch"),
        (("solve", "tiny", "--batch", "many"), "--batch"),
        (("solve", "tiny", "--windows", 99), "windows"),
        (("solve", "tiny", "--mode", "sometimes"), "--mode"),
        (("solve", "tiny", "--micro-batches", 4), "--micro-batches"),
        (("solve", "tiny", "--objective", "beauty"), "beauty"),
        (("solve", "tiny", "--input-shape", "2,x"), "--input-shape"),
        (("solve", "tiny", "--max-delay", 0), "delay"),
        (("solve", "tiny", "--time-limit", 0), "time limit"),
        (("solve", "tiny", "--workers", 0), "workers"),
        (("solve", "tiny", "--require-gap", "small"), "--require-gap"),
        (("solve", "tiny", "--bach", 4), "--bach"),
        (("solve", "tiny", "-o", "nosuch/schedule.json"), "nosuch"),
        (("solve", "tiny", "-o", "."), "folder"),
        (("solve",), "NETWORK"),
        (("frobnicate",), "frobnicate"),
        (("compare", "tiny", "--solvers", "stages,nosuch"), "nosuch"),
        (("compare", "tiny", "--processors", "2,0"), "--processors"),
        (("compare", "tiny", "--solvers", "list,stages", "--slack", "little"), "--slack"),
        (("compare", "tiny", "--slack", "1%", "--mode", "finite"), "slack"),
        (("compare", "tiny", "--time-limit", 0), "time limit"),
        (("compare", "tiny", "--seed", -1), "seed"),
        (("pareto", "tiny", "--objectives", ""), "period,delay"),
        (("solve", "tiny", "--split", f"W:k:{'9' * 5000}"), "--split"),
        (("check", "missing.json"), "missing.json"),
        (("show", "damaged.json"), "damaged.json"),
        (("export", "damaged.json", "--format", "html"), "damaged.json"),
        (("export", "damaged.json", "--format", "pdf"), "--format"),
    ],
)
def test_bad_input_is_one_clear_line_and_code_2(run, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    Path("damaged.toml").write_text(BAD_TOML)
    Path("damaged.json").write_text('{"schema": ')
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err


COMMAND = [sys.executable, "-c", "import sys; from spikepipe_sched.cli import main; sys.exit(main())"]


def test_unwritable_folder_is_found_before_the_solve(run, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # a superuser may write anywhere
    done = run("solve", "tiny", *QUICK, "-o", tmp_path / "x.json")
    assert done.code == 2
    assert "cannot be written" in done.err


def test_the_reader_of_the_output_may_go_away():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "networks"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_keeps_the_best_schedule(tmp_path):
    """The solver here reports a schedule and then searches for ever."""
    script = tmp_path / "endless.py"
    script.write_text(
        "import sys, time\n"
        "from dataclasses import replace\n"
        "from spikepipe_sched import solver as registry\n"
        "from spikepipe_sched.cli import main\n"
        "from spikepipe_sched.solver import Progress\n"
        "stages = registry.load_solver('stages')\n"
        "class Endless:\n"
        "    spec = replace(stages.spec, name='endless')\n"
        "    def solve(self, problem, *, budget, seed, hint=None, observer=None):\n"
        "        found = stages.solve(problem, budget=budget, seed=seed)\n"
        "        observer(Progress(solver='endless', objective='period', incumbent=found.objective, schedule=found.schedule))\n"
        "        print('searching', file=sys.stderr, flush=True)\n"
        "        time.sleep(60)\n"
        "registry.load_solver = lambda name: Endless()\n"
        "sys.exit(main())\n"
    )
    file = tmp_path / "best.json"
    process = subprocess.Popen(
        [sys.executable, script, "solve", "tiny", "-o", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "searching\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "period" in out
    assert err == "interrupted: this is the best found so far\n"
    assert Result.from_json(file).provenance.interrupted
