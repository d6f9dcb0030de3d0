"""Plans: as text, and as a cell for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from spikepipe_sched.export.bars import plain
from spikepipe_sched.export.html import html_table, result_to_html
from spikepipe_sched.export.summary import percent, summary_lines
from spikepipe_sched.export.table import labelled, table
from spikepipe_sched.result import gap

if TYPE_CHECKING:
    from spikepipe_sched.plan import Plan
    from spikepipe_sched.plan_candidates import Candidate


def plan_text(plan: Plan, width: int = 100) -> str:
    """What was chosen and what is proven, a table of the choices, and the summary of the schedule."""
    headers, rows, numbers = _choices(plan)
    blocks = ["\n".join(labelled(_rows(plan), indent=0, width=width)), table(headers, rows, right=numbers)]
    blocks += ["\n".join(summary_lines(plan.result))] if plan.result is not None else []
    return "\n\n".join(blocks)


def plan_cell(plan: Plan) -> str:
    """For notebooks: the same with a still Gantt chart; needs neither scripts nor the network."""
    about = "".join(f"<tr><th style='text-align:left'>{escape(label)}</th><td style='text-align:left'>{escape(text)}</td></tr>" for label, text in _rows(plan))
    schedule = "" if plan.result is None else result_to_html(plan.result)
    return f"<div><table>{about}</table>{html_table(*_choices(plan))}{schedule}</div>"


def shortest_found(plan: Plan) -> Candidate | None:
    """The choice with the shortest schedule found, whether it was chosen or not."""
    return min((each for each in plan.candidates if each.length_cycles is not None), key=lambda each: each.length_cycles or 0, default=None)


def choice(candidate: Candidate) -> str:
    """``4 arrays of 32x32``."""
    return f"{candidate.processors} array{'s' if candidate.processors > 1 else ''} of {candidate.rows}x{candidate.cols}"


def _length(plan: Plan) -> str:
    return "period" if plan.mode == "periodic" else "makespan"


def _rows(plan: Plan) -> list[tuple[str, str]]:
    """Label and text of every line above the table."""
    if plan.pe_budget is not None:
        asked = f"the shortest {_length(plan)} with at most {plan.pe_budget:,} processing elements"
    else:
        asked = f"the fewest processing elements for a {_length(plan)} of at most {plan.target_cycles:,} cycles"
    rows = [("plan", plain(f"{plan.network} on {plan.platform}: {asked}"))]
    if plan.chosen is None or plan.chosen.length_cycles is None:
        rows.append(("chosen", "nothing" if plan.target_cycles is None else f"nothing; {plan.outlook}"))
    else:
        elements = plan.chosen.processing_elements
        rows.append(("chosen", f"{choice(plan.chosen)}: {elements:,} elements, a {_length(plan)} of {plan.chosen.length_cycles:,} cycles"))
    return [*rows, *_proof(plan), ("sizes", _sizes(plan))]


def _proof(plan: Plan) -> list[tuple[str, str]]:
    """What holds of all choices, one part for each order of the question."""
    if plan.length_bound is None:
        return [("proven", "no choice has a schedule within the limits")]
    length, budget = _length(plan), plan.pe_budget is not None
    if plan.chosen is None:
        return [("proven", f"no {length} is below {plan.length_bound:,} cycles")]
    within = "within the budget" if budget else "with no more elements"
    shorter = (
        f"{within} no {length} is shorter" if plan.length_gap == 0 else f"{within} no {length} is below {plan.length_bound:,}: gap {percent(plan.length_gap)}"
    )
    reach = f"be as short as {plan.chosen.length_cycles:,}" if budget else "reach the target"
    smaller = f"no fewer elements can {reach}"
    if plan.pes_gap != 0:
        smaller = f"no fewer than {plan.pes_bound:,} elements can {reach}: gap {percent(plan.pes_gap)}"
    return [("proven", f"{shorter}; {smaller}" if budget else f"{smaller}; {shorter}")]


def _sizes(plan: Plan) -> str:
    """Which sizes and numbers there are to choose from, and why no others."""
    shown = {(each.rows, each.cols) for each in plan.candidates}
    missing = ", ".join(f"{rows}x{cols}" for rows, cols in plan.arrays if (rows, cols) not in shown)
    text = f"{', '.join(f'{rows}x{cols}' for rows, cols in plan.arrays if (rows, cols) in shown)}, all arrays alike"
    most = f"at most {plan.max_processors}" if plan.max_processors < plan.copies else f"at most {plan.copies}, as many as there are tasks to run"
    return f"{text}, {most}{f'; one array of {missing} is more than the budget' if missing else ''}"


def _choices(plan: Plan) -> tuple[list[str], list[list[str]], list[int]]:
    """Headers, rows, and which columns are numbers."""

    def cells(each: Candidate) -> list[str]:
        found, bound = each.length_cycles, each.bound
        return [
            f"{each.rows}x{each.cols}",
            str(each.processors),
            f"{each.processing_elements:,}",
            "-" if found is None else f"{found:,}",
            "none" if bound is None else f"{bound:,}",
            "-" if found is None or bound is None else percent(gap(found, bound)),
            each.verdict + ("" if each.solved or each.verdict == "chosen" else ", not solved"),
            plain(each.bound_source),
        ]

    headers = ["array", "arrays", "elements", f"{_length(plan)} found", "at least", "gap", "verdict", "because"]
    return headers, [cells(each) for each in plan.candidates], [1, 2, 3, 4, 5]
