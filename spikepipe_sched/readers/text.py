"""Text files from strangers: read whole, with errors that name file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spikepipe_sched.errors import InputError, shown
from spikepipe_sched.files import read_limited
from spikepipe_sched.importers.toml_errors import printable

#: Larger files are refused unread; the largest of the field's instances have some 10 MB.
MAX_FILE_BYTES: Final = 64 * 2**20
#: Largest number in a file, that of a `Problem`.
MAX_NUMBER: Final = 2**42
#: A whole number, also one that a tool wrote as a decimal (3.0); `int` would take thousands of digits.
_WHOLE: Final = re.compile(r"([+-]?[0-9]{1,18})(?:\.0{0,18})?")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, counted from 1: where something stands."""

    path: Path
    number: int

    def error(self, message: str) -> InputError:
        """What is wrong here."""
        return InputError(f"{self.path}:{self.number}: {printable(message)}")

    def whole(self, text: str, what: str, low: int = 0) -> int:
        """The whole number ``text`` from ``low`` to `MAX_NUMBER`; ``what`` names it in the error."""
        match = _WHOLE.fullmatch(text)
        value = int(match[1]) if match else None
        if value is None or not low <= value <= MAX_NUMBER:
            raise self.error(f"{what} must be a whole number from {low} to 2^42, got {shown(text)}")
        return value

    def name(self, text: str, what: str) -> str:
        """``text`` if it may be a name: of 1 to 200 printable characters."""
        if not (0 < len(text) <= 200 and text.isprintable()):
            raise self.error(f"{what} must be text of 1 to 200 printable characters, got {shown(text)}")
        return text


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises
    ------
    InputError
        If it cannot be read, is too large, or is no UTF-8 text.
    """
    data = read_limited(path, MAX_FILE_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Line(path, data.count(b"\n", 0, error.start) + 1).error("not UTF-8 text") from None
