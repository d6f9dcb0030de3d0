"""Ctrl-C during a search that is deep in C++: the best checked schedule comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.helpers import hear_interrupts

SCRIPT = """
import sys
from spikepipe_sched.cli.options import Costing, Job, Training
from spikepipe_sched.cli.source import read_lowering
from spikepipe_sched import solve

def observe(progress):
    if progress.schedule is not None:
        print("schedule", flush=True)

problem = read_lowering("nmnist_mlp", Training(), Costing()).problem(Job(mode="finite"), 4)
result = solve(problem, sys.argv[1], time_limit_s=120, workers=2, observer=observe)
print("interrupted" if result.provenance.interrupted else "ended", result.status, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("solver", ["cpsat", "auto"])
def test_interrupt_during_cp_sat(solver):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, solver], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts)
    assert process.stdout is not None
    assert process.stdout.readline() == "schedule\n"
    with pytest.raises(subprocess.TimeoutExpired):  # by now the search is under way
        process.wait(timeout=2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert err == ""
    assert out.splitlines()[-1] == "interrupted feasible"
    assert process.returncode == 0
