"""Every notebook runs from top to bottom without a warning, shows pictures, keeps to public names, and is committed without outputs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import spikepipe_sched
from spikepipe_sched import Status, cli, solver_names
from spikepipe_sched.cli import COMMANDS

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ("01_quick_start", "02_lowering_and_costs", "03_solvers_compared", "04_delays_and_accuracy", "05_your_own")
MAX_LINES = 40

every_notebook = pytest.mark.parametrize("name", NAMES)


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def sources(name, kind):
    return [cell.source for cell in read(name).cells if cell.cell_type == kind]


def test_the_notebooks_are_those_that_the_readme_lists():
    assert tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb"))) == NAMES
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{name}.ipynb)" in readme for name in NAMES)


@every_notebook
@pytest.mark.filterwarnings("default")  # the kernel's libraries warn about themselves
def test_notebook_runs_and_shows_pictures(name, tmp_path):
    notebook = read(name)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("application/vnd.plotly.v1+json" in output.get("data", ()) for output in outputs)


@every_notebook
def test_notebook_is_stripped_and_its_cells_are_short(name):
    for cell in read(name).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert len(cell.source.splitlines()) <= MAX_LINES, cell.source


@every_notebook
def test_notebook_imports_public_names_alone(name):
    nodes = [node for source in sources(name, "code") for node in ast.walk(ast.parse(source))]
    assert not [node for node in nodes if isinstance(node, ast.Import) and any(alias.name.startswith("spikepipe") for alias in node.names)]
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spikepipe")]
    assert ours
    for node in ours:
        assert node.module == "spikepipe_sched"
        assert {alias.name for alias in node.names} <= set(spikepipe_sched.__all__)


@every_notebook
def test_what_the_text_names_exists(name):
    """Commands and their options, other notebooks, and single words in code type: public names, solvers, kinds of task, or words of the notebook's code."""
    text = "\n".join(sources(name, "markdown"))
    assert set(re.findall(r"spikepipe-sched ([\w-]+)", text)) <= set(COMMANDS)
    parameters = "\n".join(path.read_text(encoding="utf-8") for path in Path(cli.__file__).parent.glob("*.py"))
    assert all(f" {option.replace('-', '_')}: " in parameters for option in re.findall(r"--([a-z][\w-]*)", text))
    assert {Path(target).stem for target in re.findall(r"\]\(([^)]+\.ipynb)\)", text)} <= set(NAMES)
    words = set(re.findall(r"[\w.-]+", "\n".join(sources(name, "code"))))
    known = {"spikepipe_sched", "spikepipe_sched.solvers", "networkx.DiGraph", *spikepipe_sched.__all__, *solver_names(), *Status, *"FEBWU"}
    assert set(re.findall(r"`(\w[\w.-]*)`", text)) <= known | words
