"""What solvers are installed, their named settings included, and what each says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.solver import ENTRY_POINTS, Presets, load_solver, solver_names

if TYPE_CHECKING:
    from spikepipe_sched.solver import SolverSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverEntry:
    """An installed solver, or one of its presets (``name:preset``); the fields are those of `SolverSpec`.

    ``distribution`` is the package it comes from. Of a solver that cannot be loaded, ``summary``
    says why, and the rest is empty.
    """

    name: str
    summary: str
    source: str = ""
    exact: bool = False
    modes: tuple[str, ...] = ()
    optimises: str = ""
    ignores: str = ""
    distribution: str = ""


def list_solvers() -> tuple[SolverEntry, ...]:
    """The installed solvers by name, each followed by its presets."""
    found: list[SolverEntry] = []
    origins = {entry.name: entry.dist.name for entry in metadata.entry_points(group=ENTRY_POINTS) if entry.dist is not None}
    for name in solver_names():
        origin = origins.get(name, "")
        try:
            solver = load_solver(name)
        except SpikepipeError as error:
            found.append(SolverEntry(name=name, summary=str(error), distribution=origin))
            continue
        presets = solver.presets if isinstance(solver, Presets) else ()
        found += [_entry(each.spec, origin) for each in (solver, *(load_solver(f"{name}:{preset}") for preset in presets))]
    return tuple(found)


def _entry(spec: SolverSpec, origin: str) -> SolverEntry:
    return SolverEntry(
        name=spec.name,
        summary=spec.summary,
        source=spec.source,
        exact=spec.exact,
        modes=spec.modes,
        optimises=spec.optimises,
        ignores=spec.ignores,
        distribution=origin,
    )
