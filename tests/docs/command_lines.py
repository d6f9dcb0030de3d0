"""The command lines that README, CONTRIBUTING and the notebooks show, read as a shell would."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from spikepipe_sched.cli import COMMANDS, build_app

ROOT = Path(__file__).parents[2]
_PROGRAM = "spikepipe-sched"


def texts() -> dict[str, str]:
    """Text by file name; of a notebook its cells, one after the other."""
    found = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path.name] = "\n\n".join("".join(cell["source"]) for cell in cells)
    return found


def spans(text: str) -> list[str]:
    """What stands between single backticks, outside of fenced blocks; a line break is a space."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]


def shown(text: str) -> list[str]:
    """Whole command lines, from the program's name on, in the order they come."""
    joined = text.replace("\\\n", " ")
    return [f"{_PROGRAM} {rest}" for rest in re.findall(rf"^(?:[$!] ?|[^`\n]*&& )?{_PROGRAM} (.+)$", joined, flags=re.MULTILINE)]


def mentioned(text: str) -> list[str]:
    """Code spans that begin with the program's name, or a command's, and go on: they may leave arguments out."""
    found = [(span, span.removeprefix(f"{_PROGRAM} ")) for span in spans(text)]
    return [span for span, rest in found if rest.split() and (span != rest or (rest.split()[0] in COMMANDS and len(rest.split()) > 1))]


def arguments(line: str) -> list[str]:
    """Its words after the program's name, up to a comment, a pipe or a redirection."""
    words = shlex.split(line.removeprefix(f"{_PROGRAM} "), comments=True)
    end = next((i for i, word in enumerate(words) if re.match(r"\d?[>|&;]", word)), len(words))
    return words[:end]


def examples(command: str, text: str) -> list[str]:
    """The lines that show a command, each once, without their comments."""
    whole = [*shown(text), *(span for span in mentioned(text) if span.startswith(f"{_PROGRAM} {command} ") and "--help" not in span)]
    return list(dict.fromkeys(shlex.join([_PROGRAM, *arguments(line)]) for line in whole if arguments(line)[:1] == [command]))


def parse(words: list[str]) -> None:
    """Let the real parser read a command line, without running it.

    Raises
    ------
    CycloptsError
        If it does not fit the command.
    """
    build_app(words).parse_args(["--help"] if "--help" in words else words)
