"""Ranges that the TOML structures of networks and platforms share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=2**40)]
Size = Annotated[int, Meta(ge=1, le=2**31)]
Natural = Annotated[int, Meta(ge=0, le=2**31)]
#: Names come back in messages of one line: no control characters, no separators of lines.
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
SizePair = Size | Annotated[list[Size], Meta(min_length=2, max_length=2)]
NaturalPair = Natural | Annotated[list[Natural], Meta(min_length=2, max_length=2)]
