"""The README says what is there, and what it shows runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spikepipe_sched
from spikepipe_sched.cli import COMMANDS
from spikepipe_sched.solver import solver_names

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_two_commands_set_everything_up():
    """.ci/run takes the one bash block under each of these headings."""
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL))
    assert sections["Quick start"].count("```bash") == 1
    assert sections["For developers"].count("```bash") == 1
    assert len(blocks("bash")) == 2


def test_the_files_shown_can_be_used(tmp_path):
    machine, pipeline, shown = blocks("toml")
    (tmp_path / "machine.toml").write_text(machine, encoding="utf-8")
    (tmp_path / "pipeline.toml").write_text(pipeline, encoding="utf-8")
    (tmp_path / "net.toml").write_text(shown, encoding="utf-8")
    platform = spikepipe_sched.load_platform(tmp_path / "machine.toml")
    assert (len(platform.processors), platform.interconnect.sharing) == (3, "bus")
    network = spikepipe_sched.load_network(tmp_path / "net.toml")
    graph = spikepipe_sched.lower(network, spikepipe_sched.TrainingSetup(windows=4), platform)
    assert "F(conv1,3)" in graph
    assert spikepipe_sched.solve(spikepipe_sched.load_problem(tmp_path / "pipeline.toml"), "zb-h1").objective == 39


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"`{command}`" in README or f"spikepipe-sched {command}" in README


@pytest.mark.parametrize("name", solver_names())
def test_every_solver_is_in_the_readme(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", spikepipe_sched.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(spikepipe_sched, name)
    assert name == "__version__" or (value.__doc__ or "").strip()


def test_python_examples_run(tmp_path, monkeypatch):
    """In order, in one namespace, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    examples = blocks("python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), namespace)
