"""Ranges that the TOML structures of networks and platforms share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=2**40)]
Size = Annotated[int, Meta(ge=1, le=2**31)]
Natural = Annotated[int, Meta(ge=0, le=2**31)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
SizePair = Size | Annotated[list[Size], Meta(min_length=2, max_length=2)]
NaturalPair = Natural | Annotated[list[Natural], Meta(min_length=2, max_length=2)]
