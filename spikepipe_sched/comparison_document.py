"""Comparisons as documents: every row with its schedule (schema ``spikepipe-sched/comparison/1``), and rows alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import os

    from spikepipe_sched.comparison import Comparison, Row

SCHEMA: Final = "spikepipe-sched/comparison/1"


class ComparisonDoc(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Solvers on one problem. A row is that of `rows_of` with ``result``, a result document or null."""

    processors: int
    baseline: str
    baseline_note: str
    left_out: dict[str, str]
    interrupted: bool
    rows: list[dict[str, Any]]


class ComparisonsDoc(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Comparisons, one for each number of processors."""

    schema: str
    comparisons: list[ComparisonDoc]


def rows_of(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows without their schedules: what a program reads first."""
    return [_figures(comparison, row) for row in comparison.rows]


def _figures(comparison: Comparison, row: Row) -> dict[str, Any]:
    figures = {item.name: getattr(row, item.name) for item in fields(row) if item.name != "result"}
    return {"processors": len(comparison.problem.processors), "baseline": comparison.baseline} | figures


def comparisons_to_json(comparisons: Iterable[Comparison], path: str | os.PathLike[str] | None = None) -> str:
    """Comparisons as JSON; also written to ``path`` if given."""
    from spikepipe_sched.files import write_atomically

    document = ComparisonsDoc(
        schema=SCHEMA,
        comparisons=[
            ComparisonDoc(
                processors=len(comparison.problem.processors),
                baseline=comparison.baseline,
                baseline_note=comparison.baseline_note,
                left_out=dict(comparison.left_out),
                interrupted=comparison.interrupted,
                rows=[
                    _figures(comparison, row) | {"result": None if row.result is None else msgspec.Raw(row.result.to_json().encode())}
                    for row in comparison.rows
                ],
            )
            for comparison in comparisons
        ],
    )
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    if path is not None:
        write_atomically(path, text)
    return text
