"""The words of a DOT file (https://graphviz.org/doc/info/lang.html), each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from spikepipe_sched.readers.text import Line, read_text

_TOKEN: Final = re.compile(
    r"""
    (?P<skipped> (?: \s+ | //[^\n]* | \#[^\n]* | /\*.*?\*/ )+ )
    | (?P<sign> -> | -- | [{}\[\];,=:+] )
    | (?P<name> -?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?![\w.]) | [^\W\d]\w* )
    | "(?P<quoted> [^"\\]*(?:\\.[^"\\]*)* )"
    """,
    re.DOTALL | re.VERBOSE,
)
_BRACKET: Final = re.compile(r"[<>]")

Kind = Literal["name", "quoted", "sign", "end"]


class Token(NamedTuple):
    """A name or number, a quoted name (never a keyword), a sign, or the end of the file; files have millions."""

    kind: Kind
    text: str
    line: Line


def tokens(path: Path) -> Iterator[Token]:
    """Split a file into tokens; the last one is the end.

    Raises
    ------
    InputError
        With the line, where something is no token.
    """
    text = read_text(path)
    at, line = 0, Line(path, 1)
    while at < len(text):
        start = at
        if found := _TOKEN.match(text, at):
            at, kind = found.end(), found.lastgroup
            if kind == "quoted":
                joined = re.sub(r"\\\r?\n", "", found["quoted"])  # a backslash at the end of a line continues the text in the next
                yield Token("quoted", joined.replace('\\"', '"'), line)
            elif kind != "skipped":
                yield Token("sign" if kind == "sign" else "name", found[0], line)
        elif text[at] == "<":
            at = _html_end(text, at, line)
            yield Token("quoted", text[start:at], line)
        elif text[at] == '"':
            raise line.error("the quoted text that starts here has no end")
        elif text.startswith("/*", at):
            raise line.error("the comment that starts here has no end")
        else:
            raise line.error(f"{text[at : at + 10]!r} is no DOT; put names of other than letters, digits and _ in quotes")
        if breaks := text.count("\n", start, at):
            line = Line(path, line.number + breaks)
    yield Token("end", "the end of the file", line)


def _html_end(text: str, at: int, line: Line) -> int:
    """The end of a label in nested <angle brackets>."""
    depth = 0
    for found in _BRACKET.finditer(text, at):
        depth += 1 if found[0] == "<" else -1
        if depth == 0:
            return found.end()
    raise line.error("the label in <...> that starts here has no end")
