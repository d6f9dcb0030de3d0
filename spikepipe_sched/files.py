"""Reading files of bounded size, and writing files that are never half there."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from spikepipe_sched.errors import InputError

#: Largest document that is read [bytes].
MAX_BYTES: Final = 256 * 2**20


def read_limited(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises
    ------
    InputError
        If it cannot be read, or has more than ``limit`` bytes; at most one byte more is ever read,
        whatever size the file claims to have.
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > limit else file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise InputError(f"cannot read '{os.fspath(path)}': {getattr(error, 'strerror', None) or error}") from None
    if max(size, len(data)) > limit:
        raise InputError(f"'{os.fspath(path)}' has {max(size, len(data))} bytes or more; at most {limit} are read")
    return data


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write bytes, or UTF-8 text that ends in a newline, so that the file is either the old one or all new.

    The content goes to a temporary file in the same directory, which then takes the name. A link is
    followed; what is not a regular file (a terminal, a pipe) is written to directly.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    try:
        data = content if isinstance(content, bytes) else (content if content.endswith("\n") else f"{content}\n").encode()
    except UnicodeEncodeError as error:
        raise InputError(f"cannot write '{os.fspath(path)}': {error.object[error.start : error.end]!r} is not Unicode text") from None
    try:
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            target.write_bytes(data)
        else:
            _replace(target, data, mode)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write '{os.fspath(path)}': {getattr(error, 'strerror', None) or error}") from None


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
