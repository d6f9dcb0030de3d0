"""Fronts as documents: every point with its schedule, and what is proven about it (schema ``spikepipe-sched/front/1``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import os

    from spikepipe_sched.pareto import Front

SCHEMA: Final = "spikepipe-sched/front/1"


class PointDoc(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One point; values by objective. ``result`` is a result document."""

    values: dict[str, int]
    bound: int
    gap: float | None
    proven: bool
    length_bound: int
    exact: bool
    result: msgspec.Raw


class FrontDoc(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A front, shortest schedule first."""

    schema: str
    objectives: list[str]
    runtime_s: float
    interrupted: bool
    points: list[PointDoc]


def front_to_json(front: Front, path: str | os.PathLike[str] | None = None) -> str:
    """The front as JSON; also written to ``path`` if given."""
    from spikepipe_sched.files import write_atomically

    document = FrontDoc(
        schema=SCHEMA,
        objectives=list(front.objectives),
        runtime_s=front.runtime_s,
        interrupted=front.interrupted,
        points=[
            PointDoc(
                values=dict(zip(front.objectives, point.values, strict=True)),
                bound=point.bound,
                gap=point.gap,
                proven=point.proven,
                length_bound=point.length_bound,
                exact=point.exact,
                result=msgspec.Raw(point.result.to_json().encode()),
            )
            for point in front.points
        ],
    )
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    if path is not None:
        write_atomically(path, text)
    return text
