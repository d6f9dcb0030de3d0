"""What is shipped: the wheel's contents, entry points, and a tree that knows no particular machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import spikepipe_sched
from spikepipe_sched.solver import Solver, load_solver, solver_names

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REGISTERED = PYPROJECT["project"]["entry-points"]["spikepipe_sched.solvers"]


def defines_solver(file: Path) -> bool:
    """Whether a module's source binds ``SOLVER`` at its top level, by assignment or import."""
    for node in ast.parse(file.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == "SOLVER" for target in targets):
            return True
    return False


def test_every_solver_of_the_tree_is_registered():
    folder = ROOT / "solvers"
    for file in (folder / "spikepipe_solvers").rglob("*.py"):
        if defines_solver(file):
            parts = file.relative_to(folder).with_suffix("").parts
            package = ".".join(parts[:2])  # spikepipe_solvers.x, whether x is a module or a package
            assert f"{package}:SOLVER" in REGISTERED.values(), f"{file} is not registered in pyproject.toml"


def test_installed_entry_points_are_those_of_pyproject():
    assert set(solver_names()) >= set(REGISTERED), "reinstall the project: its entry points have changed"


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_registered_solvers_load_under_their_name(name):
    solver = load_solver(name)
    assert isinstance(solver, Solver)
    assert solver.spec.name == name
    assert solver.spec.summary
    assert solver.spec.modes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_wheel_holds_three_packages_with_their_data(wheel):
    names = set(wheel.namelist())
    tops = {name.partition("/")[0] for name in names}
    info = f"spikepipe_sched-{spikepipe_sched.__version__}.dist-info"
    assert tops == {"spikepipe_sched", "spikepipe_solvers", "spikepipe_problems", info}
    for package, folder in (("spikepipe_sched", ROOT), ("spikepipe_solvers", ROOT / "solvers"), ("spikepipe_problems", ROOT / "problems")):
        wanted = {
            str(file.relative_to(folder)) for kind in ("*.py", "*.toml", "*.css", "*.js", "graphs/*", "py.typed") for file in (folder / package).rglob(kind)
        }
        assert wanted
        assert wanted <= names
    assert f"{info}/licenses/LICENSE" in names
    entries = wheel.read(f"{info}/entry_points.txt").decode()
    assert "spikepipe-sched = spikepipe_sched.cli:main" in entries


def test_constraints_name_every_direct_dependency():
    project = PYPROJECT["project"]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["validate"], *(text for text in extras["dev"] if text != "spikepipe-sched[validate]")]
    assert {re.split(r"[<>=]", text)[0].lower() for text in wanted} <= pinned


def texts() -> list[Path]:
    """The text files of the project."""
    suffixes = {".py", ".toml", ".md", ".txt", ".ipynb"}
    folders = ("spikepipe_sched", "solvers", "problems", "tests", "notebooks")
    inside = (file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in suffixes)
    return [*inside, *(file for file in ROOT.iterdir() if file.suffix in suffixes), *(ROOT / ".ci").iterdir()]


def test_no_machine_paths_in_the_tree():
    pattern = re.compile(r"(?<![\w.~])/(?:home|root|work|opt|Users)/\w")
    for file in texts():
        found = pattern.search(file.read_text(encoding="utf-8"))
        assert found is None, f"{file}: {found and found[0]}"


def test_files_are_short():
    for file in texts():
        if file.suffix == ".py":
            assert len(file.read_text().splitlines()) <= 400, f"{file} is longer than 400 lines: split it"
