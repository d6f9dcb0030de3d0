"""The page of solvers: what each says about itself, with links to the sources."""

from __future__ import annotations

import re
from html import escape

from spikepipe_sched.catalogue import SolverEntry, list_solvers
from spikepipe_sched.cli.solvers import OWN
from spikepipe_sched.export.html import page


def solvers_page() -> str:
    """The project's own solvers and their presets."""
    sections = [(entry.name, _about(entry)) for entry in list_solvers() if entry.distribution == OWN]
    return page("Solvers", [*sections, ("More", '<p><a href="index.html">Overview</a></p>')])


def _about(entry: SolverEntry) -> str:
    said = [
        ("mode", escape(", ".join(entry.modes))),
        ("optimises", escape(entry.optimises)),
        ("ignores", escape(entry.ignores)),
        ("proves", "optima, where it can" if entry.exact else "nothing itself: the bounds are the problem's"),
        ("source", linked(entry.source)),
    ]
    rows = "".join(f"<tr><th>{label}</th><td>{text}</td></tr>" for label, text in said if text)
    return f'<p>{escape(entry.summary)}</p><div class="wide"><table>{rows}</table></div>'


def linked(source: str) -> str:
    """Escaped, with a link for every DOI and arXiv number."""

    def link(found: re.Match[str]) -> str:
        where = f"https://doi.org/{found['doi']}" if found["doi"] else f"https://arxiv.org/abs/{found['arxiv']}"
        return f'<a href="{escape(where)}">{escape(found[0])}</a>'

    parts, end = [], 0
    for found in re.finditer(r"doi:(?P<doi>10\.\d+/[^\s,;]+[^\s,;.)])|arXiv:(?P<arxiv>\d{4}\.\d{4,5})", source):
        parts += [escape(source[end : found.start()]), link(found)]
        end = found.end()
    return "".join([*parts, escape(source[end:])])
