"""Checkpoints: killed at any moment, a run goes on as if nothing had happened; and never into something else."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate import validate
from spikepipe_sched.validate.checkpoint import FORMAT, identity
from spikepipe_sched.validate.run import Experiment
from spikepipe_sched.validation import Validation
from tests.validate.small import QUICK, asked, delayed_result, small_data, small_network

#: Kills itself, without a chance to tidy up, in the middle of its second run.
SCRIPT = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from spikepipe_sched import Result
from spikepipe_sched.validate import validate
from tests.validate.small import QUICK, small_data, small_network

def observe(progress):
    if (progress.run, progress.epoch) == (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
setup = replace(QUICK, epochs=3, policy="latest", optimizer="adam")
validate(Result.from_json(folder / "schedule.json"), data=small_data(), network=small_network(), setup=setup, checkpoints=folder, observer=observe)
"""


def run(folder: Path | None = None, **options) -> Validation:
    return validate(delayed_result(), **{"data": small_data(), "network": small_network(), "setup": QUICK, "checkpoints": folder} | options)


def figures(validation: Validation) -> list[object]:
    return [replace(one, seconds=0.0) for one in validation.runs]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_run_killed_in_mid_course_and_resumed_equals_one_that_was_not(tmp_path):
    setup = replace(QUICK, epochs=3, policy="latest", optimizer="adam")
    whole = run(setup=setup)
    delayed_result().to_json(tmp_path / "schedule.json")
    killed = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stderr) == (-9, "")
    reached = {path.stem: torch.load(path, weights_only=True) for path in tmp_path.glob("*.pt")}
    assert {name: len(content["course"]["accuracies"]) for name, content in reached.items()} == {"synchronous-seed0": 3, "delayed-seed0": 2}
    heard = []
    again = run(tmp_path, setup=setup, resume=True, observer=heard.append)
    assert figures(again) == figures(whole)
    assert again.verdict == whole.verdict
    assert [progress.epoch for progress in heard if progress.run <= 1] == [3, 2, 3]


def test_every_moment_between_epochs_can_be_resumed(tmp_path):
    setup = replace(QUICK, epochs=3, seeds=1)
    whole = run(setup=setup)
    for moment in range(1, 8):
        folder = tmp_path / str(moment)
        calls = 0

        def stop(_progress, moment=moment):
            nonlocal calls
            calls += 1
            if calls == moment:
                raise KeyboardInterrupt

        assert run(folder, setup=setup, observer=stop).interrupted
        assert figures(run(folder, setup=setup, resume=True)) == figures(whole)


def test_batch_statistics_go_on_too(tmp_path):
    plain = small_network()
    network = small_network()
    object.__setattr__(network, "layers", (replace(plain.layers[0], norm="batch", bias=False), plain.layers[1]))
    setup = replace(QUICK, epochs=3, seeds=1)
    whole = run(network=network, setup=setup)

    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    assert run(tmp_path, network=network, setup=setup, observer=stop).interrupted
    assert figures(run(tmp_path, network=network, setup=setup, resume=True)) == figures(whole)


def test_finished_runs_are_read_and_hold_their_weights(tmp_path):
    first = run(tmp_path)
    data = small_data()
    again = run(tmp_path, resume=True, data=data)
    assert again.runs == first.runs  # times too: nothing was trained
    assert len(asked(data.train)) == 1  # for the digest
    content = torch.load(tmp_path / "delayed-seed1.pt", weights_only=True)
    assert content["format"] == FORMAT
    assert content["weights"]["l1"]["weight"].shape == (3, 8)


def test_more_seeds_use_the_runs_that_are_there(tmp_path):
    first = run(tmp_path)
    more = run(tmp_path, resume=True, setup=replace(QUICK, seeds=3, margin=2.0))
    assert more.runs[:4] == first.runs
    assert len(more.runs) == 6


def test_tuning_goes_on_too(tmp_path):
    setup = replace(QUICK, tune=True, epochs=1)
    whole = run(setup=setup)

    def stop(progress):
        if progress.run == 5:
            raise KeyboardInterrupt

    stopped = run(tmp_path, setup=setup, observer=stop)
    assert stopped.interrupted
    assert not stopped.runs
    again = run(tmp_path, setup=setup, resume=True)
    assert figures(again) == figures(whole)
    assert again.tuning == whole.tuning


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"setup": replace(QUICK, epochs=4)}, r"other epochs \(2 there, 4 now\)"),
        ({"setup": replace(QUICK, rate=0.01)}, r"other rate \(0.05 there, 0.01 now\)"),
        ({"setup": replace(QUICK, batch=4)}, r"other batch \(8 there, 4 now\)"),
        ({"network": small_network(name="renamed")}, "other network"),
        ({"data": small_data(train=40)}, "other data"),
    ],
)
def test_checkpoints_of_another_experiment_are_refused_by_name(tmp_path, changed, message):
    run(tmp_path)
    with pytest.raises(InputError, match=f"synchronous-seed0.pt: was made with {message}.*another folder"):
        run(tmp_path, resume=True, **changed)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_windows_and_micro_batches_tell_runs_apart_where_something_is_normalised(norm):
    network = small_network()
    network = replace(network, layers=tuple(replace(layer, norm=norm) for layer in network.layers))
    experiment = Experiment(network=network, data=small_data(), setup=QUICK)
    assert identity(experiment) == identity(replace(experiment))
    for other in (replace(experiment, windows=3), replace(experiment, micro_batches=2)):
        assert (identity(experiment) == identity(other)) == (norm == "none")


def test_checkpoints_of_another_policy_are_refused_where_it_matters(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match=r"delayed-seed0.pt: was made with other policy \(stash there, spectrain now\)"):
        run(tmp_path, resume=True, setup=replace(QUICK, policy="spectrain"))


def test_checkpoints_of_another_device_or_torch_are_refused(tmp_path, monkeypatch):
    run(tmp_path)
    with pytest.raises(InputError, match=r"other device \(cpu there, cpu:0 now\)"):
        run(tmp_path, resume=True, device="cpu:0")
    monkeypatch.setattr("torch.__version__", "0.4")
    with pytest.raises(InputError, match=r"other torch version \(2.* there, 0.4 now\)"):
        run(tmp_path, resume=True)


def test_a_folder_that_cannot_be_written_to_is_found_out_before_the_first_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # a superuser may write anywhere
    with pytest.raises(InputError, match="the folder for checkpoints cannot be written to"):
        run(tmp_path, observer=lambda _: pytest.fail("it trains"))


def test_one_flipped_bit_in_weights_or_curves_is_noticed(tmp_path):
    run(tmp_path, setup=replace(QUICK, seeds=1))
    path = tmp_path / "synchronous-seed0.pt"
    whole, content = path.read_bytes(), torch.load(path, weights_only=True)
    for kept in (content["weights"]["l1"]["weight"].numpy().tobytes(), struct.pack(">d", content["course"]["losses"][-1])):
        damaged = bytearray(whole)
        damaged[whole.index(kept) + 3] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            run(tmp_path, setup=replace(QUICK, seeds=1), resume=True)


def test_checkpoints_are_not_mixed_up_unless_one_asks_to_resume(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match=r"holds checkpoints of an earlier run \(4 files\); resume it, delete them, or name another folder"):
        run(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"\x80\x04N.", json.dumps({"format": FORMAT}).encode()])
def test_damaged_checkpoints_are_named(tmp_path, content):
    run(tmp_path)
    (tmp_path / "delayed-seed0.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"delayed-seed0\.pt: is damaged, or no checkpoint; delete it"):
        run(tmp_path, resume=True)


def test_what_could_run_code_is_not_loaded(tmp_path):
    run(tmp_path)
    torch.save({"format": FORMAT, "identity": Path}, tmp_path / "delayed-seed0.pt")
    with pytest.raises(InputError, match="is damaged, or no checkpoint"):
        run(tmp_path, resume=True)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="the folder for checkpoints cannot be made"):
        run(tmp_path / "file" / "below")
