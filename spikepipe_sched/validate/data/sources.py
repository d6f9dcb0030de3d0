"""Files of data sets, wherever they stand: alone, in a folder, packed or in a wheel; sizes are bounded."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.files import read_limited

#: Largest file that is read, packed or not [bytes].
MAX_BYTES: Final = 2**30
#: Largest text, as its lines take many times the memory of its bytes [bytes].
MAX_TEXT: Final = 2**25


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, unpacked, and the name that messages call it by."""

    path: Path
    data: bytes

    def error(self, message: str) -> InputError:
        """What is wrong with the file."""
        return InputError(f"{self.path}: {message}")

    def require(self, condition: object, message: str) -> None:
        """Raise `InputError` with the file's name and ``message`` unless ``condition`` holds."""
        if not condition:
            raise self.error(message)

    def text(self) -> bytes:
        """The bytes of a file that is read as lines; `InputError` if they are more than `MAX_TEXT`."""
        self.require(len(self.data) <= MAX_TEXT, f"has {len(self.data)} bytes; of a text at most {MAX_TEXT} are read")
        return self.data


def read(path: Path) -> Content:
    """A file; one that ends in .gz is unpacked.

    Raises
    ------
    InputError
        If it cannot be read, is damaged, or holds more than `MAX_BYTES`.
    """
    data = read_limited(path, MAX_BYTES)
    return Content(path, _unpacked(path, data) if path.suffix == ".gz" else data)


def find(path: Path, name: str) -> Content:
    """The file ``name`` of a folder, as it is or as .gz; of a wheel or zip, ``name`` being its path in there.

    In a folder only the last part of ``name`` counts.

    Raises
    ------
    InputError
        If it is not there, or as of `read`.
    """
    if path.is_dir():
        here = path / name.rsplit("/", 1)[-1]
        found = next((file for file in (here, here.with_name(f"{here.name}.gz")) if file.is_file()), None)
        if found is None:
            raise InputError(f"{path}: no file {here.name} in this folder")
        return read(found)
    data = read_limited(path, MAX_BYTES)
    member = path / name
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo(name)
            require(info.file_size <= MAX_BYTES, f"{member}: has more than {MAX_BYTES} bytes; at most that are read")
            with archive.open(info) as file:  # never more than was promised, whatever stands in the archive
                content = file.read(info.file_size)
    except KeyError:
        raise InputError(f"{path}: holds no {name}") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{member}: cannot be unpacked: {error}") from None
    return Content(member, _unpacked(member, content) if name.endswith(".gz") else content)


def is_archive(path: Path) -> bool:
    """Whether the file's name says that it is a wheel or zip."""
    return path.suffix in (".whl", ".zip")


def listed(folder: Path, suffix: str) -> Sequence[Path]:
    """The files of a folder that end in ``suffix``, by name.

    Raises
    ------
    InputError
        If there is no such folder, or it holds none.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == suffix)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the folder '{folder}': {getattr(error, 'strerror', None) or error}") from None
    require(files, f"{folder}: no {suffix} file in this folder")
    return files


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked: {error}") from None
    require(len(content) <= MAX_BYTES, f"{path}: unpacks to more than {MAX_BYTES} bytes; at most that are read")
    return content
