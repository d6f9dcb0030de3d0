"""The problem library: TOML files of the data package ``spikepipe_problems``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from spikepipe_sched.errors import InputError

PACKAGE: Final = "spikepipe_problems"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEntry:
    """Name, one-line summary and source of a library file."""

    name: str
    summary: str
    source: str


def list_networks() -> tuple[LibraryEntry, ...]:
    """The networks of the library, by name."""
    return _entries("networks")


def list_platforms() -> tuple[LibraryEntry, ...]:
    """The platforms of the library, by name."""
    return _entries("platforms")


def library_file(folder: str, name: str) -> Traversable:
    """The TOML file of a library entry.

    Raises
    ------
    InputError
        If there is none; the message lists names that look like it.
    """
    names = _files(folder)
    if name in names:
        return names[name]
    lowered = {known.lower(): known for known in names}
    close = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    close += [known for known in names if name.lower() in known.lower() and known not in close]
    hint = f"did you mean {' or '.join(repr(match) for match in close[:3])}?" if close else f"known: {', '.join(names)}."
    suffixes = ".toml, .nir, .onnx; of a task graph .stg, .dot, .gv, .graphml, .toml" if folder == "networks" else ".toml"
    raise InputError(f"no library {folder[:-1]} is called '{name}'; {hint} `spikepipe-sched {folder}` lists all; a file needs its suffix ({suffixes})")


def _files(folder: str) -> dict[str, Traversable]:
    try:
        entries = (files(PACKAGE) / folder).iterdir()
        return {entry.name.removesuffix(".toml"): entry for entry in sorted(entries, key=lambda entry: entry.name) if entry.name.endswith(".toml")}
    except (ModuleNotFoundError, FileNotFoundError):
        raise InputError(f"the problem library (package '{PACKAGE}') is not installed: reinstall spikepipe_sched, or give a file") from None


@cache
def _entries(folder: str) -> tuple[LibraryEntry, ...]:
    entries: list[LibraryEntry] = []
    for name, file in _files(folder).items():
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        entries.append(LibraryEntry(name=name, summary=str(raw.get("summary", "")), source=str(raw.get("source", ""))))
    return tuple(entries)
