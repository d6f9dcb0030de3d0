"""Views of outcomes: compared with each other, and those that no other one beats.

Rows of one problem may be compared: what one of them proved holds for all, and a schedule that is
below such a claim refutes it, as in `spikepipe_sched.comparison`. Between problems figures are only set against each
other where they mean the same: see `CONTEXT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.comparison import BASELINE
from spikepipe_sched.errors import InputError, require
from spikepipe_sched.result import Status, gap
from spikepipe_sched.study.outcome import FAILED, Outcome

if TYPE_CHECKING:
    from spikepipe_sched.study.store import Store

#: Figures, and whether less of them is better.
FIGURES: Final = {
    "length_cycles": True,
    "cycles_per_sample": True,
    "samples_per_s": False,
    "speedup": False,
    "gap": True,
    "utilisation": False,
    "total_delay": True,
    "max_staleness": True,
    "traffic_bytes": True,
    "overhead": True,
    "memory_bytes": True,
    "processors": True,
    "pes": True,
    "seconds": True,
}
#: What tells rows apart: those marked are always shown, the others where they differ.
LABELS: Final = {
    "network": True,
    "platform": False,
    "array": False,
    "clock_hz": False,
    "processors": True,
    "mode": False,
    "windows": False,
    "batch": False,
    "micro_batches": False,
    "unroll": False,
    "weights": False,
    "solver": True,
    "seed": False,
    "status": False,
}
#: The names of objectives, and the figures that they are.
ALIASES: Final = {"period": "length_cycles", "makespan": "length_cycles", "delay": "total_delay", "traffic": "traffic_bytes", "memory": "memory_bytes"}
#: What must be equal in two rows for a figure to mean the same in both: cycles are of a clock, lengths and traffic of so many samples.
CONTEXT: Final = {
    "length_cycles": ("batch", "micro_batches", "unroll", "clock_hz"),
    "cycles_per_sample": ("clock_hz",),
    "traffic_bytes": ("batch", "micro_batches", "unroll"),
}

Value = str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A row beside the others of its problem.

    Parameters
    ----------
    outcome
        With the best bound that any row of the problem proved, and the gap to it: ``optimal`` where the only objective meets it; without figures, and failed, where what it proved is refuted.
    speedup
        Length of the baseline's shortest schedule of the same problem over this one; None where either is missing.
    """

    outcome: Outcome
    speedup: float | None

    def value(self, name: str) -> Value | None:
        """A label or a figure."""
        return self.speedup if name == "speedup" else getattr(self.outcome, name)


def stored(store: Store, sweeps: Sequence[str]) -> list[Outcome]:
    """The outcomes of some sweeps, each once; of the whole store if none is named.

    Raises
    ------
    InputError
        If there are none.
    """
    rows = list({row.key: row for sweep in sweeps for row in store.outcomes(sweep)}.values()) if sweeps else store.outcomes()
    of = f" of {', '.join(sweeps)}" if sweeps else ""
    require(rows, f"{store.path}: it has no outcomes{of} yet; the command sweep writes them")
    return rows


def require_baseline(outcomes: Iterable[Outcome], baseline: str) -> None:
    """InputError unless some row is of the solver that speed-ups are over."""
    solvers = dict.fromkeys(row.solver for row in outcomes)
    require(baseline in solvers, f"no row is of the solver '{baseline}'; the baseline must be one of {', '.join(solvers)}")


def compared(outcomes: Iterable[Outcome], baseline: str = BASELINE) -> list[Compared]:
    """Rows of one problem under each other, with common bounds and speed-ups; problems in the order in which they first appear.

    Parameters
    ----------
    baseline
        Solver that speed-ups are over.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.problem_key, []).append(outcome)
    return [row for group in groups.values() for row in _compared(group, baseline)]


def _compared(group: Sequence[Outcome], baseline: str) -> list[Compared]:
    """Of one problem, whose rows have the same first objective."""
    lowest = min((row for row in group if row.value is not None), key=lambda row: row.value or 0, default=None)
    rows = [row if lowest is None else _believed(row, lowest) for row in group]
    proven = max((row for row in rows if row.bound is not None), key=lambda row: row.bound or 0, default=None)
    lengths = [row.length_cycles for row in rows if row.solver == baseline and row.length_cycles]
    return [_beside(row, proven, min(lengths, default=None)) for row in rows]


def _beside(row: Outcome, proven: Outcome | None, reference: int | None) -> Compared:
    if row.value is None or proven is None or proven.bound is None:
        return Compared(outcome=row, speedup=None)
    status = str(Status.OPTIMAL) if row.objectives == 1 and row.value == proven.bound else row.status
    common = replace(row, status=status, bound=proven.bound, bound_source=proven.bound_source, gap=gap(row.value, proven.bound))
    return Compared(outcome=common, speedup=round(reference / row.length_cycles, 4) if reference and row.length_cycles else None)


def _believed(row: Outcome, other: Outcome) -> Outcome:
    """The row, without what it claims if the schedule of another one refutes that."""
    if row.status == Status.INFEASIBLE:
        why = f"claims that there is no schedule, but '{other.solver}' found one: {other.objective} {other.value:,}"
    elif row.bound is not None and row.bound > (other.value or 0):
        why = f"claims that no {row.objective} is below {row.bound:,} ({row.bound_source}), but '{other.solver}' found {other.value:,}"
    else:
        return row
    return replace(row, **{field.name: None for field in fields(row) if field.default is None}, status=FAILED, error=why)


def figure_names(asked: Sequence[str]) -> tuple[str, ...]:
    """Names of figures, objectives among them, as fields of rows.

    Raises
    ------
    InputError
        If there is no such figure, or one is named twice.
    """
    require(asked and all(asked), f"name figures, at least one and none of them empty; got '{','.join(asked)}'")
    names = tuple(ALIASES.get(name, name) for name in asked)
    for name, wanted in zip(names, asked, strict=True):
        if name not in FIGURES:
            raise InputError(f"there is no figure '{wanted}'; choose from {', '.join([*FIGURES, *ALIASES])}")
    require(len(set(names)) == len(names), f"a figure is named twice in {', '.join(asked)}")
    return names


def label_name(name: str, others: Iterable[str] = ()) -> str:
    """A label of rows, or one of ``others``; InputError if it is neither."""
    if name not in LABELS and name not in others:
        raise InputError(f"rows have no '{name}'; choose from {', '.join(dict.fromkeys([*LABELS, *others]))}")
    return name


def telling(rows: Sequence[Compared], without: Iterable[str] = ("status",)) -> list[str]:
    """The labels that tell these rows apart; the platform only where the arrays do not tell it."""
    arrays = {row.outcome.array for row in rows}
    hidden = {*without, *(["platform"] if len(arrays) == len({(row.outcome.platform, row.outcome.array) for row in rows}) else [])}
    return [name for name, always in LABELS.items() if name not in hidden and (always or len({row.value(name) for row in rows}) > 1)]


def group_labels(over: Iterable[str]) -> tuple[str, ...]:
    """Labels in which rows must be equal for these figures to be compared: a front is of one network in one mode."""
    return tuple(dict.fromkeys(["network", "mode", *(label for name in over for label in CONTEXT.get(name, ()))]))


def front_key(row: Compared, over: Iterable[str]) -> tuple[Any, ...]:
    """The row's values of these labels; last, what its network is, for the name may be that of another."""
    return (*(row.value(label) for label in group_labels(over)), row.outcome.network_key)


def namesakes(rows: Iterable[Compared]) -> list[str]:
    """A note for every name that several networks have."""
    of: dict[str, set[str]] = {}
    for row in rows:
        of.setdefault(row.outcome.network, set()).add(row.outcome.network_key)
    return [f"{len(keys)} different networks are called {name}; name a sweep to see one of them" for name, keys in of.items() if len(keys) > 1]


def front(rows: Sequence[Compared], over: Sequence[str]) -> list[Compared]:
    """Rows that no other one beats: none is as good in all figures ``over`` and better in one; of each group (`group_labels`), best in the first figure first.

    Rows that lack one of the figures are left out.
    """
    groups: dict[tuple[Any, ...], list[tuple[tuple[float, ...], Compared]]] = {}
    for row in rows:
        key = _key(row, over)
        if key is not None:
            groups.setdefault(front_key(row, over), []).append((key, row))
    return [row for rivals in groups.values() for row in _best(rivals)]


def _key(row: Compared, over: Sequence[str]) -> tuple[float, ...] | None:
    """The figures, less being better; None if one is missing."""
    values = [row.value(name) for name in over]
    if any(value is None for value in values):
        return None
    return tuple(float(value) if FIGURES[name] else -float(value) for name, value in zip(over, values, strict=True) if value is not None)


def _best(rivals: list[tuple[tuple[float, ...], Compared]]) -> list[Compared]:
    """In lexicographic order a row can only be beaten by one before it, and then by one that is itself on the front."""
    kept: list[tuple[tuple[float, ...], Compared]] = []
    for key, row in sorted(rivals, key=lambda each: each[0]):
        if not any(other != key and all(a <= b for a, b in zip(other, key, strict=True)) for other, _ in kept):
            kept.append((key, row))
    return [row for _, row in kept]


def lacking(rows: Sequence[Compared], names: Sequence[str]) -> str:
    """How many rows have no value of a figure, by what became of them, as a sentence; empty if all have."""
    without = [row for row in rows if any(row.value(name) is None for name in names)]
    if not without:
        return ""
    counts: dict[str, int] = {}
    for row in without:
        counts[row.outcome.status] = counts.get(row.outcome.status, 0) + 1
    return f"{len(without):,} of {len(rows):,} rows lack {' or '.join(names)} and are not shown: {', '.join(f'{count:,} {status}' for status, count in counts.items())}"
