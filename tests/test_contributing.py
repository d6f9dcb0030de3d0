"""What CONTRIBUTING tells people to do works, done just so."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from spikepipe_sched import CostModel, Problem, TrainingSetup, load_network, load_platform, solve, solver_names
from spikepipe_sched.catalogue import list_solvers
from spikepipe_sched.cli.options import Costing, Training
from spikepipe_sched.cli.source import read_lowering
from spikepipe_sched.cost import Gemm, Work, task_cost
from spikepipe_sched.lower import lower
from spikepipe_sched.platform import SystolicArray
from spikepipe_sched.solver import load_solver
from tests.solvers import test_conformance as conformance
from tests.solvers.instances import INSTANCES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(heading: str, language: str) -> list[str]:
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def own_solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example, installed as pip would: a package and its metadata in a folder of Python's path."""
    (code,), (table,) = blocks("Add a solver", "python"), blocks("Add a solver", "toml")
    registered: dict[str, str] = tomllib.loads(table)["project"]["entry-points"]["spikepipe_sched.solvers"]
    ((name, where),) = registered.items()
    module = where.partition(":")[0]
    package, _, file = module.partition(".")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / package / f"{file}.py").write_text(code, encoding="utf-8")
    info = tmp_path / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[spikepipe_sched.solvers]\n{name} = {where}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for loaded in (package, module):  # forgotten again when the test is over
        monkeypatch.setitem(sys.modules, loaded, None)
        monkeypatch.delitem(sys.modules, loaded)
    return name


def test_the_example_solver_is_found_by_name(own_solver):
    assert own_solver in solver_names()
    assert load_solver(own_solver).spec.name == own_solver
    (entry,) = (entry for entry in list_solvers() if entry.name == own_solver)
    assert (entry.distribution, entry.modes) == ("my_solvers", ("periodic", "finite"))


def test_the_example_solver_passes_the_conformance_suite(own_solver):
    found = 0
    for name in INSTANCES:
        conformance.test_contract(own_solver, name)
        found += conformance.result(own_solver, name).schedule is not None
    assert found > len(INSTANCES) // 2  # else limits it does not look at were in the way
    conformance.test_same_seed_same_schedule(own_solver)


def test_the_steps_name_files_and_names_that_exist():
    for path in re.findall(r"`((?:spikepipe_sched|solvers|tests|problems|cli|study)/[\w./]+)`", TEXT):
        assert (ROOT / path).exists() or (ROOT / "spikepipe_sched" / path).exists() or path.endswith("yours.py"), path
    sources = "\n".join(file.read_text(encoding="utf-8") for folder in ("spikepipe_sched", "tests") for file in (ROOT / folder).rglob("*.py"))
    for name in ("CostModel", "Costing", "CostingTable", "PINNED", "_SPECS", "Asked", "Entry", "Course"):
        assert f"`{name}`" in TEXT
        assert re.search(rf"^(?:class )?{name}\b", sources, flags=re.MULTILINE), name


def test_the_example_network_can_be_scheduled(tmp_path):
    (text,) = blocks("Add a network or a platform", "toml")
    (tmp_path / "net.toml").write_text(text, encoding="utf-8")
    network, platform = load_network(tmp_path / "net.toml"), load_platform("array32")
    assert network.shapes()["flat"] == (16 * 15 * 15,)
    problem = Problem.from_graph(lower(network, TrainingSetup(windows=2), platform), platform)
    assert solve(problem, "stages").schedule is not None
    bare = [line for line in text.splitlines() if re.match(r"\w+ = [\[\d]", line) and "#" not in line and not line.startswith("out_channels")]
    assert bare == []  # as the library's files must have it


def other(kind: Any, default: Any) -> Any:
    """A value that is not the default."""
    if isinstance(default, bool):
        return not default
    return next(choice for choice in get_args(kind) if choice != default) if get_args(kind) else default + 1


@pytest.mark.parametrize("field", fields(CostModel), ids=lambda field: field.name)
def test_every_switch_of_the_cost_model_is_an_option_that_reaches_it(field):
    value = other(get_type_hints(CostModel)[field.name], field.default)
    lowering = read_lowering("tiny", Training(), Costing(**{field.name: value}))
    assert lowering.cost == CostModel(**{field.name: value})


def test_every_term_that_is_named_has_its_cycles():
    every = CostModel(**{field.name: other(get_type_hints(CostModel)[field.name], field.default) for field in fields(CostModel) if field.name != "vector"})
    array = SystolicArray(rows=4, cols=4, lanes=4, dram_bytes_per_cycle=1.0)
    cost = task_cost(Work(gemms=(Gemm(m=8, k=8, n=8),), vector_ops=4, vector_calls=1), array, every)
    assert tuple(cost.terms) == every.terms
    assert sum(cost.terms.values()) == cost.cycles
