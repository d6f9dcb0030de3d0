"""Plans as documents (schema ``spikepipe-sched/plan/1``): every choice, the chosen one with its schedule, and what is proven."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from spikepipe_sched.document import Document, Number, Positive, Ratio, Total
from spikepipe_sched.json_document import part, written

if TYPE_CHECKING:
    from spikepipe_sched.plan import Plan

SCHEMA: Final = "spikepipe-sched/plan/1"


class CandidateDocument(Document, frozen=True):
    """A choice: so many arrays of one size."""

    rows: Annotated[Positive, Meta(description="Rows of processing elements in each array.")]
    cols: Annotated[Positive, Meta(description="Columns of processing elements in each array.")]
    processors: Annotated[Positive, Meta(description="Number of arrays.")]
    processing_elements: Annotated[Positive, Meta(description="Of all arrays.")]
    length_cycles: Annotated[Total | None, Meta(description="Shortest period (over `unroll` iterations), or makespan, found [cycles]; null: none.")]
    bound: Annotated[Total | None, Meta(description="Proven: nothing is shorter [cycles]; null: proven that there is no schedule.")]
    bound_source: Annotated[str, Meta(description="Why nothing can be below the bound.")]
    solved: Annotated[bool, Meta(description="Whether a solver was asked about exactly this number of arrays.")]
    verdict: Annotated[
        Literal["chosen", "as good", "excluded", "open"],
        Meta(description="as good: in length and elements; excluded: cannot be better, or cannot reach the target; open: neither."),
    ]


class PlanDocument(Document, frozen=True):
    """A plan: either `pe_budget` or `target_cycles` was asked for."""

    schema: Annotated[Literal["spikepipe-sched/plan/1"], Meta(description="Identifies this format.")]
    network: Annotated[str, Meta(description="What is trained.")]
    platform: Annotated[str, Meta(description="All but the size and number of the arrays.")]
    mode: Annotated[Literal["periodic", "finite"], Meta(description="Whether a length is a period or a makespan.")]
    pe_budget: Annotated[Positive | None, Meta(description="Most processing elements; null: not asked.")]
    target_cycles: Annotated[Positive | None, Meta(description="Longest period, or makespan [cycles]; null: not asked.")]
    arrays: Annotated[tuple[tuple[int, int], ...], Meta(description="Sizes to choose from: rows, columns.")]
    max_processors: Annotated[Positive, Meta(description="Most arrays of one size.")]
    copies: Annotated[Positive, Meta(description="Copies of tasks in a period, or tasks of a finite run, and so the most arrays of any use.")]
    candidates: Annotated[tuple[CandidateDocument, ...], Meta(description="Choices that were looked at.")]
    chosen: CandidateDocument | None
    length_bound: Annotated[
        Total | None,
        Meta(description="Proven: no choice within the budget (or of no more elements than the chosen) is shorter [cycles]; null: none can be scheduled."),
    ]
    length_gap: Annotated[Ratio | None, Meta(description="(length - bound) / bound [ratio]; null: no choice.")]
    pes_bound: Annotated[Number | None, Meta(description="Proven: fewer elements cannot be as short as the choice (the target); null: none can.")]
    pes_gap: Annotated[Ratio | None, Meta(description="(elements - bound) / bound [ratio]; null: no choice.")]
    outlook: Annotated[str, Meta(description="Without a choice for a target: what may reach it.")]
    runtime_s: Annotated[Ratio, Meta(description="Wall-clock time taken [seconds].")]
    interrupted: Annotated[bool, Meta(description="Whether the user stopped the search.")]
    result: Annotated[msgspec.Raw, Meta(description="Schedule of the choice: a result document, or null.")]


def plan_to_json(plan: Plan, path: str | os.PathLike[str] | None = None) -> str:
    """A plan as JSON, indented, fields in a fixed order; also written to ``path`` if given."""
    candidates = tuple(part(CandidateDocument, candidate) for candidate in plan.candidates)
    given: dict[str, Any] = {
        "schema": SCHEMA,
        "candidates": candidates,
        "chosen": next((candidate for candidate in candidates if candidate.verdict == "chosen"), None),
        "result": msgspec.Raw(b"null" if plan.result is None else plan.result.to_json().encode()),
    }
    return written(part(PlanDocument, plan, **given), path)
