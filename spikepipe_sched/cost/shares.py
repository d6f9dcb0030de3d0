"""How much of all cycles each term of the cost model makes up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from spikepipe_sched.errors import require


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTerm:
    """A term of the cost model and its share of all cycles; negative where it saves time."""

    name: str
    share: float

    def __post_init__(self) -> None:
        require(isfinite(self.share), f"cost term '{self.name}': its share must be a finite number, got {self.share}")


def cost_shares(costs: Iterable[tuple[Mapping[str, int], int]]) -> dict[str, float]:
    """Each term's cycles over the cycles of all terms.

    Parameters
    ----------
    costs
        The terms of a task on one class of processor, and how often they count: tasks of that kind
        times processors of that class.

    Returns
    -------
    dict
        Shares by name, in the order in which the names come; they sum to 1, or are all 0 if there
        are no cycles.
    """
    total: dict[str, int] = {}
    for terms, times in costs:
        for name, cycles in terms.items():
            total[name] = total.get(name, 0) + cycles * times
    cycles = sum(total.values())
    return {name: value / cycles if cycles else 0.0 for name, value in total.items()}
