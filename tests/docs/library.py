"""The page of what comes with the package: networks, platforms, data sets, and policies for stale weights, with their sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from spikepipe_sched.export.html import page
from spikepipe_sched.importers import list_networks, list_platforms
from spikepipe_sched.validate.data.registry import ENTRIES
from spikepipe_sched.validate.policies import POLICIES
from tests.docs.solvers import linked


def library_page() -> str:
    """A table of each kind; the last column of all is the source."""
    shapes = {name: " x ".join(map(str, entry.shape)) for name, entry in ENTRIES.items()}
    tables = {
        "Networks": (("network", "what it is"), [(entry.name, entry.summary, entry.source) for entry in list_networks()]),
        "Platforms": (("platform", "what it is"), [(entry.name, entry.summary, entry.source) for entry in list_platforms()]),
        "Data sets": (
            ("--data", "what it is", "shape", "steps", "classes", "--data-path"),
            [(name, entry.summary, shapes[name], str(entry.time_steps), str(entry.classes), entry.file, entry.source) for name, entry in ENTRIES.items()],
        ),
        "What is done about stale weights": (
            ("--policy", "what it does", "optimizers"),
            [(spec.name, spec.summary, ", ".join(spec.optimizers), spec.source) for spec in POLICIES.values()],
        ),
    }
    sections = [(heading, _table((*headers, "source"), rows)) for heading, (headers, rows) in tables.items()]
    return page("Networks, platforms, data sets, policies", [*sections, ("More", '<p><a href="index.html">Overview</a></p>')])


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join(f"<tr><td><code>{escape(name)}</code></td>{''.join(f'<td>{linked(text)}</td>' for text in texts)}</tr>" for name, *texts in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
