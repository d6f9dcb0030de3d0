"""What a plan says of every choice: how good it is, how good it may be, and whether it can still be the better one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spikepipe_sched.plan_size import NEVER
from spikepipe_sched.platform import MAX_PROCESSORS

if TYPE_CHECKING:
    from spikepipe_sched.plan_size import Size

Verdict = Literal["chosen", "as good", "excluded", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A choice: ``processors`` arrays of ``rows`` x ``cols``.

    Parameters
    ----------
    length_cycles
        Period (of all ``unroll`` iterations), or makespan, of the best schedule found on so many arrays or fewer; None: none was found.
    bound, bound_source
        No schedule on so many arrays or fewer is shorter, and why; None: there is none at all within the limits.
    solved
        Whether a solver was asked about exactly this number; not where bounds, or what is known of other numbers, sufficed.
    verdict
        ``chosen``; ``as good`` in length and elements; ``excluded``: it cannot be better than the choice, or cannot reach the target; ``open``.
    """

    rows: int
    cols: int
    processors: int
    length_cycles: int | None
    bound: int | None
    bound_source: str
    solved: bool
    verdict: Verdict

    @property
    def processing_elements(self) -> int:
        """Of all arrays."""
        return self.rows * self.cols * self.processors


class Findings:
    """The end of a search: all sizes, the (size, number) that was chosen, and the target if there was one."""

    def __init__(self, sizes: Sequence[Size], chosen: tuple[Size, int] | None, target: int | None) -> None:
        self.sizes, self.chosen, self.target = sizes, chosen, target
        self.length = NEVER if chosen is None else chosen[0].length(chosen[1]) or 0
        self.elements = NEVER if chosen is None else chosen[1] * chosen[0].elements
        self.limit = self.length if target is None else target  # to be reached with fewer elements

    def candidates(self) -> tuple[Candidate, ...]:
        """Of every size the numbers that were solved, the largest that matters, which is all allowed, or of no more elements than the choice, and the least that may be better.

        The largest arrays come last. Bounds hold for fewer arrays, verdicts do not: of two numbers of one bound only the smaller may be better.
        """
        made: list[Candidate] = []
        for size in sorted(self.sizes, key=lambda size: (size.elements, size.rows)):
            counts = {max(1, min(size.most, self.elements // size.elements)), *size.solved}
            if self.limit < NEVER and (least := size.least(self.limit)) is not None and least <= self.elements // size.elements:
                counts.add(least)
            if self.target is None:
                counts.add(size.most)
            if self.chosen is not None and self.chosen[0] is size:
                counts.add(self.chosen[1])
            for count in sorted(counts):
                bound = size.bound(count)
                made.append(
                    Candidate(
                        rows=size.rows,
                        cols=size.cols,
                        processors=count,
                        length_cycles=size.length(count),
                        bound=None if bound.value >= NEVER else bound.value,
                        bound_source=bound.source,
                        solved=count in size.solved,
                        verdict=self._verdict(size, count),
                    )
                )
        return tuple(made)

    def _verdict(self, size: Size, count: int) -> Verdict:
        bound, elements = size.bound(count).value, count * size.elements
        if self.chosen == (size, count):
            return "chosen"
        if bound >= NEVER:
            return "excluded"
        if self.chosen is not None and (size.length(count), elements) == (self.length, self.elements):
            return "as good"
        if self.target is None:
            better = (bound, elements) < (self.length, self.elements)
        else:
            better = bound <= self.target and (elements, bound) < (self.elements, self.length)
        return "open" if better else "excluded"

    def length_bound(self) -> int | None:
        """No choice within the budget, or of no more elements than the choice for a target, is shorter; None: none of them has a schedule."""
        most = NEVER if self.target is None else self.elements
        bounds = [size.bound(min(size.most, most // size.elements)).value for size in self.sizes if most >= size.elements]
        return None if min(bounds) >= NEVER else min(bounds)

    def pes_bound(self) -> int | None:
        """No choice of fewer elements is as short as the target, or the choice; None: no choice is."""
        if self.limit >= NEVER:
            return None
        return min((least * size.elements for size in self.sizes if (least := size.least(self.limit)) is not None), default=None)

    def outlook(self) -> str:
        """Where the target was not reached: which sizes may still reach it, with how many arrays."""
        if self.chosen is not None or self.target is None:
            return ""
        able = {f"{size.rows}x{size.cols}": size.least(self.target) for size in self.sizes}
        more = {f"{size.rows}x{size.cols}": size.least(self.target, min(MAX_PROCESSORS, size.useful)) for size in self.sizes}
        still = ", ".join(f"{count} of {name}" for name, count in able.items() if count is not None)
        beyond = ", ".join(f"{count} of {name}" for name, count in more.items() if count is not None and able[name] is None)
        if still:
            return f"not excluded is {still}, or more: more time may find it"
        if beyond:
            return f"proven: that takes {beyond} at least, more arrays than are allowed"
        return "proven: no number of such arrays can; other sizes, splits or a smaller batch may"
