"""A task graph as a file states it, on the processors that the file names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import networkx as nx
import numpy as np

from spikepipe_sched.errors import InputError, require, require_whole, shown
from spikepipe_sched.importers.toml_errors import printable
from spikepipe_sched.order import topological_order
from spikepipe_sched.platform import MAX_PROCESSORS, Platform
from spikepipe_sched.problem import OBJECTIVES, Mode, Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphFile:
    """What a reader makes of a file.

    Parameters
    ----------
    path, name
        The file, and what the problem is called.
    graph
        One iteration, as `Problem.from_graph` takes it.
    platform
        The processors.
    processors
        How far ``platform`` says how many there are: it does, and another number may be given
        (``default``); it does not, a number must be given (``needed``); its list is part of the
        problem (``fixed``).
    mode, micro_batches
        As in `Problem`; the latter counts in finite mode only.
    unit
        Cycles, and bytes, that one unit of the file became.
    note
        What users have to know of the units, if they are not those of the file.

    Raises
    ------
    InputError
        If there are no tasks, or tasks of one iteration wait for each other in a circle.
    """

    path: Path
    name: str
    graph: nx.DiGraph[str]
    platform: Platform
    processors: Literal["default", "needed", "fixed"] = "default"
    mode: Mode = "finite"
    micro_batches: int = 1
    unit: int = 1
    note: str = ""

    def __post_init__(self) -> None:
        require(len(self.graph), f"{self.path}: there are no tasks in it")
        _refuse_circles(self.path, self.graph)

    def problem(self, *, processors: int | None = None, memory: int | None = None, **options: Any) -> Problem:
        """The scheduling problem.

        Parameters
        ----------
        processors
            Number of processors, in place of the file's.
        memory
            Memory of every processor in place of the file's: in bytes, in activations of whole stages for a pipeline.
        **options
            As in `Problem.from_graph`, except ``mode`` and ``micro_batches``. The objective is that of the
            field, if not given: the makespan, or the period, alone.

        Raises
        ------
        InputError
            If file and options do not go together.
        """
        options = {"name": self.name, "objective": OBJECTIVES[self.mode][:1], "mode": self.mode} | options
        if self.mode == "finite":
            options["micro_batches"] = self.micro_batches
        platform = self._platform(processors, memory)
        try:
            return Problem.from_graph(self.graph, platform, **options)
        except InputError as error:
            raise InputError(f"{self.path}: {printable(str(error))}") from None

    @property
    def own_processors(self) -> int:
        """The number of processors that the file names; InputError if it names none."""
        require(self.processors != "needed", f"{self.path}: the file does not say on how many processors; give their number, such as --processors 4")
        return len(self.platform.processors)

    def _platform(self, processors: int | None, memory: int | None) -> Platform:
        count = self.own_processors if processors is None else processors
        own = len(self.platform.processors)
        require(self.processors != "fixed" or count == own, f"{self.path}: its tasks are bound to the {own} processors of the file; there cannot be {count}")
        try:
            platform = self.platform if count == own else self.platform.with_processors(count)
        except InputError:
            raise InputError(f"{self.path}: the number of processors must be between 1 and {MAX_PROCESSORS}, got {count}") from None
        if memory is None:
            return platform
        require_whole(str(self.path), "memory", memory, 1)
        classes = {name: replace(array, memory_bytes=memory * self.unit) for name, array in platform.classes.items()}
        return replace(platform, classes=classes)


def _refuse_circles(path: Path, graph: nx.DiGraph[str]) -> None:
    place = {task: i for i, task in enumerate(graph)}
    inside = [(u, v) for u, v, distance in graph.edges(data="distance", default=0) if distance == 0]
    ends = np.array([(place[u], place[v]) for u, v in inside], dtype=np.int64).reshape(-1, 2)
    if topological_order(len(place), ends[:, 0], ends[:, 1]) is not None:
        return
    circle = [u for u, _ in nx.find_cycle(nx.DiGraph(inside))]
    tasks = [*map(shown, circle[:6]), *["..."] * (len(circle) > 6), shown(circle[0])]
    raise InputError(f"{path}: tasks wait for each other in a circle: {' -> '.join(tasks)}")
