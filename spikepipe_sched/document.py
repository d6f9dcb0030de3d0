"""What all JSON documents are made of: their base class and the ranges of their numbers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from spikepipe_sched.problem import MAX_INT

Number = Annotated[int, Meta(ge=0, le=MAX_INT)]
Positive = Annotated[int, Meta(ge=1, le=MAX_INT)]
Signed = Annotated[int, Meta(ge=-MAX_INT, le=MAX_INT)]
Total = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Ratio = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts of a document."""
