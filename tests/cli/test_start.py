"""Start-up: help costs no more than the parser, and says the truth."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from spikepipe_sched import __version__
from spikepipe_sched.cli import COMMANDS

HEAVY = ("ortools", "torch", "numba", "plotly", "numpy", "networkx", "scipy", "h5py", "msgspec")


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules in memory after a command, in a fresh interpreter."""
    script = f"import sys; from spikepipe_sched.cli import main; main({list(arguments)!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("solve", "--help")])
def test_light_commands_import_nothing_heavy(arguments):
    loaded = loaded_by(*arguments)
    assert not loaded & set(HEAVY)
    assert "spikepipe_solvers" not in loaded


def test_listing_solvers_loads_no_search_engine():
    assert not loaded_by("solvers") & {"ortools", "numba", "networkx", "plotly", "torch"}


def test_listing_data_sets_imports_nothing_heavy():
    assert not loaded_by("datasets") & {*HEAVY, "sklearn"}


def test_the_module_exits_with_the_code_of_the_command():
    done = subprocess.run([sys.executable, "-m", "spikepipe_sched", "show", "missing.json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_importing_the_package_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", "import sys, spikepipe_sched; print(*sys.modules)"], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {*HEAVY, "cyclopts", "rich"}


@pytest.mark.skipif(sys.platform == "win32", reason="measures CPU time with resource")
def test_help_takes_little_cpu():
    """The best of three. The aim is 0.3 s; twice that leaves room for a slow machine, and finds a heavy import."""
    import resource

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "from spikepipe_sched.cli import main; main(['--help'])"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(3)) < 0.6


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_the_docstrings_first_line(name):
    module = name.replace("-", "_")
    function = getattr(import_module(f"spikepipe_sched.cli.{module}"), module)
    assert function.__doc__.splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_its_options(run, name):
    done = run(name, "--help")
    assert done.code == 0
    assert done.err == ""
    flags = {word.strip("│ ") for line in done.out.splitlines() for word in line.split() if word.startswith("--")}
    assert "--json" in flags or name == "export"
    if name == "solve":
        wanted = "platform processors batch micro-batches windows mode solver time-limit deterministic-limit seed require-gap output json objective max-period max-delay max-memory"
        assert {f"--{option}" for option in wanted.split()} <= flags


def test_the_options_of_solve_stand_in_groups(run):
    titles = [line.strip("╭─╮ ") for line in run("solve", "--help").out.splitlines() if line.startswith("╭")]
    assert titles == ["Arguments", "Parameters", "Job and limits", "Network and training", "Cost model", "Search"]


def test_no_command_is_help(run):
    assert run().out == run("--help").out
    assert all(name in run().out for name in COMMANDS)


def test_version(run):
    assert run("--version").out.strip() == __version__
