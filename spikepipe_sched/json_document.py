"""Documents as JSON text, in both directions: what results, validations and sweeps have in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from spikepipe_sched.document import Document
from spikepipe_sched.errors import InputError
from spikepipe_sched.files import read_limited, write_atomically
from spikepipe_sched.problem_document import fail, one_line

D = TypeVar("D", bound=Document)
T = TypeVar("T")


def written(document: Document, path: str | os.PathLike[str] | None = None, *, plain: Callable[[Any], Any] | None = None) -> str:
    """A document as JSON, indented, fields in a fixed order; also written to ``path`` if given.

    ``plain`` turns values that JSON does not know into such as it does.

    Raises
    ------
    InputError
        If a name is not Unicode text, or the file cannot be written.
    """
    try:
        encoded = msgspec.json.encode(document, enc_hook=plain)
    except UnicodeEncodeError as error:
        raise InputError(f"the name {error.object!r} is not Unicode text") from None
    text = msgspec.json.format(encoded, indent=2).decode()
    if path is not None:
        write_atomically(path, text)
    return text


def read(source: str | bytes | os.PathLike[str], kind: type[D], convert: Callable[[D], T], wanted: str) -> T:
    """What a document describes.

    Parameters
    ----------
    source
        JSON as str or bytes, or a path as a `pathlib.Path`; a str is never a path.
    kind, convert
        The document's class, and what makes of it what it describes.
    wanted
        Which file is needed: said where the source is something else.

    Raises
    ------
    InputError
        With the file and the JSON path of what is wrong, in one line.
    """
    if not isinstance(source, os.PathLike):
        return convert(decoded(source, kind, wanted))
    try:
        return convert(decoded(read_limited(source), kind, wanted))
    except InputError as error:
        raise InputError(one_line(f"{os.fspath(source)}: {error}")) from None


def schema_of(kind: type[Document], name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document, given what stands in its field ``schema``."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:{name.replace('/', ':')}", **msgspec.json.schema(kind)}


def part(kind: type[D], value: object, **given: Any) -> D:
    """A part of a document from an object with fields of the same names, save those that are ``given``."""
    return kind(**{name: given[name] if name in given else getattr(value, name) for name in kind.__struct_fields__})


def built(path: str, kind: Callable[..., T], document: Document) -> T:
    """What a part of a document describes, from fields of the same names; an error names where it stands."""
    try:
        return kind(**msgspec.structs.asdict(document))
    except InputError as error:
        raise fail(path, str(error)) from None


def decoded(source: str | bytes, kind: type[D], wanted: str) -> D:
    """A JSON document of one kind; an error has the JSON path, and says what is ``wanted`` where it is something else."""
    try:
        return msgspec.json.decode(source, type=kind)
    except msgspec.ValidationError as error:
        message, at, path = str(error).rpartition(" - at `")
        path = path.removesuffix("`") if at else "$"
        raise fail(path, f"{message or error}{f'; {wanted}' if not at or path == '$.schema' else ''}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise fail("$", f"{error}; {wanted}") from None
