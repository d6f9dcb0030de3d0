"""Which layers form a chunk, and which processor runs it.

A chunk is a run of layers, in topological order. Schedules of the literature differ in how the chain of
chunks visits the processors: once (straight), again and again in the same order (round), or there and
back (v). Where every layer has one processor that can run it, that placement is taken if it has the
shape; else the layers are cut anew: straight on fewer processors where there are fewer layers, while
chunked shapes need enough layers for every processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.cut import MAX_UNITS, UNABLE, contiguous_cut, loads, units
from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]
Shape = Literal["straight", "round", "v"]

#: The pass that runs a task: forward, backward, weight gradients, update.
PASS: Final = {"F": 0, "E": 1, "B": 1, "W": 2, "U": 3}
_VISITS: Final = {"straight": "once each", "round": "round after round in the same order, two rounds or more", "v": "there and back, two chunks each"}
_PLACEMENTS: Final = {"straight": "stages", "round": "interleaved", "v": "v"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunks:
    """A cut of the chain into C chunks on R processors.

    Attributes
    ----------
    chunk
        (n,) The chunk of every task.
    home
        (C,) The processor of every chunk; the first R are all different, and the processor of chunk r
        has rank r in the pipeline.
    ranks
        The number R.
    """

    chunk: Ints
    home: tuple[int, ...]
    ranks: int

    @property
    def own(self) -> list[list[int]]:
        """(R, C / R) The chunks of every rank."""
        return [[c for c, home in enumerate(self.home) if home == self.home[rank]] for rank in range(self.ranks)]


def chunked(problem: Problem, shape: Shape) -> Chunks | str:
    """The chunks of a shape, or why there are none."""
    tasks = problem.tasks
    if problem.mode != "finite":
        return "it schedules finite problems; use --mode finite"
    strange = next((name for name, kind in zip(tasks.names, tasks.kinds, strict=True) if kind not in PASS), None)
    if strange is not None:
        return f"task '{strange}' is of no kind that training has (F, E, B, W, U)"
    if int(tasks.layer.min()) < 0:
        return f"task '{tasks.names[int(tasks.layer.argmin())]}' belongs to no layer"
    count, unit = units(problem)
    if count > MAX_UNITS:
        return f"there are {count} layers, more than {MAX_UNITS}"
    able = np.ones((count, len(problem.processors)), dtype=bool)
    np.logical_and.at(able, unit, tasks.cycles[:, [p.kind for p in problem.processors]] >= 0)
    fixed = len(problem.processors) > 1 and (able.sum(axis=1) == 1).all()
    return _given(problem, shape, able.argmax(axis=1), unit) if fixed else _anew(problem, shape, count, unit)


def _given(problem: Problem, shape: Shape, home: Ints, unit: Ints) -> Chunks | str:
    """Chunks of a placement (layers,) that leaves no choice."""
    borders = [0, *(np.flatnonzero(np.diff(home)) + 1).tolist(), len(home)]
    visits = [int(home[i]) for i in borders[:-1]]
    ranks = len(set(visits))
    if shape == "v" or (shape == "round" and ranks == 1):  # the two chunks of the last processor lie side by side
        middle = len(visits) // 2
        first, last = borders[middle], borders[middle + 1]
        cut = None
        if visits == visits[::-1] and last - first >= 2:
            cut = _even(np.repeat(loads(problem, unit, len(home))[visits[middle], None, first : last + 1], 2, axis=0))
        if cut is not None:
            borders.insert(middle + 1, first + cut[1])
            visits.insert(middle, visits[middle])
    rounds = max(1, len(visits) // ranks)
    wanted = {"straight": visits[:ranks], "round": visits[:ranks] * max(2, rounds), "v": visits[:ranks] + visits[ranks - 1 :: -1]}[shape]
    if len(set(visits[:ranks])) < ranks or visits != wanted:
        return (
            f"its chain of layers has to visit the processors {_VISITS[shape]}; where the layers can run, it visits {', '.join(_names(problem, visits))}; "
            f"a pipeline file takes `--placement {_PLACEMENTS[shape]}` or `--placement free --chunks 2` (Python: placement=..., chunks=...)"
        )
    return _chunks(borders, tuple(visits), ranks, unit)


def _anew(problem: Problem, shape: Shape, count: int, unit: Ints) -> Chunks | str:
    """A new cut, chunk r on processor r for the first R; of several R the one with the least load of any processor."""
    if shape == "straight":
        cut = contiguous_cut(problem)
        return (
            "no contiguous cut runs every layer with stage i on processor i"
            if cut is None
            else Chunks(chunk=cut.stage, home=tuple(range(cut.stages)), ranks=cut.stages)
        )
    most = len(problem.processors)
    if count < 2 * most:
        loops = " (those on a loop through time count as one)" if count < len(np.unique(problem.tasks.layer)) else ""
        return f"{count} layer{'' if count == 1 else 's'}{loops} cannot make 2 chunks on each of {most} processor{'' if most == 1 else 's'}"
    table, options = loads(problem, unit, count), list[tuple[int, int, Chunks]]()
    for ranks in range(1 if len({p.kind for p in problem.processors}) > 1 else most, most + 1):  # a slow processor may be better left out
        there = tuple(range(ranks))
        home = there * 2 if shape == "round" else there + there[::-1]
        borders = _even(table[list(home)])
        if borders is not None:
            taken = np.bincount(home, weights=[int(table[p, j] - table[p, i]) for p, i, j in zip(home, borders, borders[1:], strict=False)])
            options.append((int(taken.max()), -ranks, _chunks(borders, home, ranks, unit)))
    return min(options, key=lambda option: option[:2])[2] if options else "no cut into two chunks per processor, taken in their order, runs every layer"


def _chunks(borders: list[int], home: tuple[int, ...], ranks: int, unit: Ints) -> Chunks:
    return Chunks(chunk=np.searchsorted(np.array(borders), unit, side="right") - 1, home=home, ranks=ranks)


def _names(problem: Problem, visits: list[int]) -> list[str]:
    names = [problem.processors[p].name for p in visits]
    return names if len(names) <= 9 else [*names[:8], "..."]


def _even(load: Ints) -> list[int] | None:
    """Borders (C + 1) of the cut into C chunks with the least largest load, then the least sum of squares.

    ``load`` (C, L + 1): cycles of the first j layers on the processor of every chunk. None of the
    chunks is empty; None if every cut has a layer that its processor cannot run.
    """
    place = np.arange(load.shape[1])

    def span(row: Ints) -> Ints:
        """Of layers i..j-1."""
        return np.where(place > place[:, None], row - row[:, None], UNABLE)

    largest = np.where(place == 0, 0, UNABLE)
    for row in load:
        largest = np.maximum(largest[:, None], span(row)).min(axis=0)
    if largest[-1] >= UNABLE:
        return None
    total, before = np.where(place == 0, 0.0, np.inf), list[Ints]()
    for row in load:
        cycles = span(row)
        options = total[:, None] + np.where(cycles <= largest[-1], cycles.astype(np.float64) ** 2, np.inf)
        before.append(options.argmin(axis=0))
        total = options.min(axis=0)
    borders = [len(place) - 1]
    for choice in reversed(before):
        borders.insert(0, int(choice[borders[0]]))
    return borders
