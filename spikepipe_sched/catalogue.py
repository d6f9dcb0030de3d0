"""What is installed, read from package metadata and source text: no solver is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from spikepipe_sched.solver import ENTRY_POINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverEntry:
    """An installed solver: its name, the first line of its module's docstring, and where it comes from."""

    name: str
    summary: str
    module: str
    distribution: str


def list_solvers() -> tuple[SolverEntry, ...]:
    """The installed solvers, by name."""
    found = {
        (entry.name, entry.module): SolverEntry(
            name=entry.name, summary=_summary(entry.module), module=entry.module, distribution=entry.dist.name if entry.dist is not None else ""
        )
        for entry in metadata.entry_points(group=ENTRY_POINTS)
    }
    return tuple(found[key] for key in sorted(found))


def _summary(module: str) -> str:
    """First line of a module's docstring, or nothing if its source cannot be found or read."""
    path = _source(module)
    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes())) if path is not None else None
    except (OSError, SyntaxError, ValueError):
        return ""
    return (docstring or "").partition("\n")[0]


def _source(module: str) -> Path | None:
    """The file of a module. Only the top-level package is looked up: finding a submodule would import its parents."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    folders = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations or ()]
    return next((path for folder in folders for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)
