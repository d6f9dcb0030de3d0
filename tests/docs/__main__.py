"""``python -m tests.docs OUTPUT``: all pages that are built and not committed."""

from __future__ import annotations

import shutil
import sys
from contextlib import redirect_stdout
from html import escape
from io import StringIO
from pathlib import Path

from spikepipe_sched.cli import COMMANDS, main
from spikepipe_sched.export.html import page
from spikepipe_sched.version import __version__
from tests.docs.api import PACKAGES, build_api
from tests.docs.command_lines import ROOT, texts
from tests.docs.commands import command_page, read_command
from tests.docs.library import library_page
from tests.docs.solvers import solvers_page


def build_pages(output: Path) -> None:
    """Write all but the reference below ``output``, which need not exist."""
    for folder in ("commands", "schemas"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    readme = texts()["README.md"]
    for name in COMMANDS:
        (output / "commands" / f"{name}.html").write_text(command_page(read_command(name), readme), encoding="utf-8")
    (output / "library.html").write_text(library_page(), encoding="utf-8")
    (output / "solvers.html").write_text(solvers_page(), encoding="utf-8")
    kinds = next(option.choices for option in read_command("schema").options if option.names == ("KIND",))
    for kind in kinds:
        with redirect_stdout(StringIO()) as printed:
            main(["schema", kind])
        (output / "schemas" / f"{kind}.json").write_text(printed.getvalue(), encoding="utf-8")
    shutil.copytree(ROOT / "notebooks" / "pictures", output / "pictures", dirs_exist_ok=True)
    (output / "index.html").write_text(_index(kinds), encoding="utf-8")


def _index(schemas: tuple[str, ...]) -> str:
    commands = "".join(f'<tr><td><a href="commands/{name}.html">{name}</a></td><td>{escape(summary)}</td></tr>' for name, summary in COMMANDS.items())
    links = [("solvers.html", "the solvers: what each optimises, ignores and proves, and where it is published")]
    links += [("library.html", "networks, platforms, data sets, and policies for stale weights, with their sources")]
    links += [(f"api/{package}.html", f"the Python package {package}") for package in PACKAGES]
    links += [(f"schemas/{kind}.json", f"the JSON Schema of {kind} files") for kind in schemas]
    sections = [
        ("Commands", f'<div class="wide"><table>{commands}</table></div>'),
        ("More", "<ul>" + "".join(f'<li><a href="{where}">{escape(text)}</a></li>' for where, text in links) + "</ul>"),
        (
            "From network to schedule",
            '<img src="pictures/flow.svg" alt="network, task graph, problem, schedule, check, result, validation" style="max-width:100%">',
        ),
    ]
    return page(f"spikepipe_sched {__version__}", sections)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.docs OUTPUT")
    build_pages(Path(sys.argv[1]))
    build_api(Path(sys.argv[1]) / "api")
    print(f"written to {sys.argv[1]}")
