"""The README says what is there, and what it shows runs."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import spikepipe_sched
from spikepipe_sched.cli import COMMANDS
from spikepipe_sched.solver import solver_names
from tests.docs.pictures import FOLDER, PICTURES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_those_that_the_code_draws(name):
    """After a change that shows, ``python -m tests.docs.pictures`` draws them anew."""
    text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert text == PICTURES[name]() + "\n"
    assert len(text) < 100_000
    assert "prefers-color-scheme:dark" in text
    assert not re.findall(r"<script|<image|href=|url\(|@import", text)


def test_every_picture_shown_exists_and_says_what_it_shows():
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)
    assert {ROOT / where for _, where in shown} <= {FOLDER / f"{name}.svg" for name in PICTURES}
    for text, where in shown:
        assert text
        assert all(number in (ROOT / where).read_text(encoding="utf-8") for number in re.findall(r"\d+\.\d+", text)), where


def defined(tree: ast.AST) -> Iterator[str]:
    """Names that a module brings into the world: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def docstrings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def test_names_that_docstrings_refer_to_exist():
    """What stands in single backquotes is a name of the project; all else, formulas too, stands in double ones."""
    files = [file for folder in ("spikepipe_sched", "solvers/spikepipe_solvers") for file in (ROOT / folder).rglob("*.py")]
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    known = {*dir(builtins), "spikepipe_solvers", "spikepipe_problems", "tests"}
    known |= {part for file in files for part in (file.stem, file.parent.name)} | {name for tree in trees.values() for name in defined(tree)}
    references = [(file, name) for file, tree in trees.items() for text in docstrings(tree) for name in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)]
    assert len(references) > 100
    missing = [(file, name) for file, name in references if not set(name.removesuffix("()").split(".")) <= known]
    unknown = {f"{file.relative_to(ROOT)}: `{name}`" for file, name in missing if "." not in name or find_spec(name.partition(".")[0]) is None}
    assert not unknown
