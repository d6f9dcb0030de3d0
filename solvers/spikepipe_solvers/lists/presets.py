"""The rules of the literature, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from spikepipe_solvers.lists.solver import ListScheduling

_RULES: Final = (
    ListScheduling(
        name="list:heft",
        summary="HEFT: upward rank, earliest finish with insertion",
        source="doi:10.1109/71.993206",
    ),
    ListScheduling(
        name="list:peft",
        summary="PEFT: optimistic cost table, earliest optimistic finish with insertion",
        source="doi:10.1109/TPDS.2013.57",
        priority="optimistic",
        choice="optimistic",
    ),
    ListScheduling(
        name="list:cpop",
        summary="CPOP: longest path through a task first, the critical path on one processor, earliest finish with insertion",
        source="doi:10.1109/71.993206",
        priority="through",
        choice="critical",
    ),
    ListScheduling(
        name="list:mcp",
        summary="MCP: least latest start first, earliest finish with insertion",
        source="doi:10.1109/71.80160",
        priority="alap",
    ),
    ListScheduling(
        name="list:hlfet",
        summary="HLFET: highest level without communication, earliest finish without insertion",
        source="doi:10.1145/361604.361619",
        priority="level",
        placement="append",
    ),
    ListScheduling(
        name="list:top",
        summary="least downward rank first, earliest finish with insertion",
        source="doi:10.1109/71.993206",
        priority="downward",
    ),
    ListScheduling(
        name="list:random",
        summary="random order, earliest finish with insertion",
        priority="random",
    ),
    ListScheduling(
        name="list:lookahead",
        summary="HEFT with look-ahead: least latest finish of the task and its successors",
        source="doi:10.1109/PDP.2010.56",
        choice="ahead",
        large=False,
    ),
    ListScheduling(
        name="list:etf",
        summary="ETF: the task and processor of the earliest start, then the highest level",
        source="doi:10.1137/0218016",
        priority="start",
        placement="append",
        large=False,
    ),
    ListScheduling(
        name="list:backward-etf",
        summary="ETF from the end: the mirrored graph is scheduled, and mirrored again",
        source="doi:10.1137/0218016",
        priority="start",
        placement="append",
        backward=True,
        large=False,
    ),
    ListScheduling(
        name="list:early",
        summary="between ETF and HEFT: earliest start less a twentieth of the upward rank",
        priority="early",
        placement="append",
        large=False,
    ),
    ListScheduling(
        name="list:dls",
        summary="DLS: the task and processor of the highest dynamic level",
        source="doi:10.1109/71.207593",
        priority="dynamic",
        placement="append",
        large=False,
    ),
)
#: Rules by the name that follows ``list:``.
PRESETS: Final = MappingProxyType({rule.name.partition(":")[2]: rule for rule in _RULES})
