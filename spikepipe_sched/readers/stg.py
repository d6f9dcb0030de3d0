"""Standard Task Graphs (``.stg``): the set of the Kasahara laboratory, without communication.

T. Tobita, H. Kasahara, "A standard task graph set for fair evaluation of multiprocessor scheduling
algorithms", Journal of Scheduling 5 (2002) 379-394; the format:
https://www.kasahara.cs.waseda.ac.jp/schedule/format_e.html. The first line holds the number n of
tasks; then each task has a line: its number, its cycles, how many tasks it waits for, and their
numbers. Task 0 starts the graph and task n + 1 ends it; both take no time, and stay tasks here. The
older prototype set names the number of processors after n and has no task 0. ``#`` starts a comment.

Files whose lines also hold costs of communication are refused.
"""

from __future__ import annotations

from pathlib import Path

import networkx as nx

from spikepipe_sched.compile import equal_processors
from spikepipe_sched.errors import InputError
from spikepipe_sched.platform import MAX_PROCESSORS
from spikepipe_sched.readers.graph_file import GraphFile
from spikepipe_sched.readers.text import Line, read_text


def read_stg(path: Path) -> GraphFile:
    """Read a Standard Task Graph.

    Raises
    ------
    InputError
        With the line of the defect.
    """
    rows = [(Line(path, number), line.partition("#")[0].split()) for number, line in enumerate(read_text(path).split("\n"), 1)]
    rows = [(line, words) for line, words in rows if words]
    if not rows:
        raise InputError(f"{path}: it is empty; an STG file starts with the number of tasks")
    (line, head), *rows = rows
    if len(head) > 2:
        raise line.error(f"expected the number of tasks alone (or with a number of processors, as in the prototype set), got {len(head)} words")
    count = line.whole(head[0], "the number of tasks", 1)
    prototype = len(head) == 2
    processors = line.whole(head[1], "the number of processors", 1) if prototype else 1
    if processors > MAX_PROCESSORS:
        raise line.error(f"the number of processors must be at most {MAX_PROCESSORS}, got {processors}")
    graph: nx.DiGraph[str] = nx.DiGraph()
    waits: list[tuple[Line, int, int]] = []
    first, last = int(prototype), count + 1
    for line, words in rows:
        waits += _task(graph, line, words, first, last)
    if len(graph) != last - first + 1:
        dummies = "the one that ends the graph" if prototype else "the two that start and end the graph"
        raise (rows[-1][0] if rows else line).error(f"the file ends after {len(graph)} tasks; {last - first + 1} were announced: {count}, and {dummies}")
    for line, task, other in waits:
        if str(other) not in graph:
            raise line.error(f"task {task} waits for {other}, which is no task: they are numbered {first} to {last}")
        graph.add_edge(str(other), str(task))
    return GraphFile(path=path, name=path.stem, graph=graph, platform=equal_processors(processors), processors="default" if prototype else "needed")


def _task(graph: nx.DiGraph[str], line: Line, words: list[str], first: int, last: int) -> list[tuple[Line, int, int]]:
    """Add the task of one line; who waits for whom: (line, task, earlier task)."""
    if len(words) < 3:
        raise line.error("expected a task's number, its cycles, and the number of tasks it waits for")
    task, cycles, count = (
        line.whole(word, what) for word, what in zip(words, ("a task's number", "its cycles", "the number of tasks it waits for"), strict=False)
    )
    if not first <= task <= last:
        raise line.error(f"there is no task {task}: they are numbered {first} to {last}")
    if str(task) in graph:
        raise line.error(f"task {task} stands twice")
    others = words[3:]
    if count and len(others) == 2 * count:
        raise line.error(f"{len(others)} numbers follow for {count} tasks: graphs with costs of communication are not read; DOT files can hold them")
    if len(others) != count:
        raise line.error(f"task {task} waits for {count} tasks, but {len(others)} numbers follow")
    earlier = [line.whole(word, "a task's number") for word in others]
    if task in earlier:
        raise line.error(f"task {task} waits for itself")
    if len(set(earlier)) < count:
        raise line.error(f"task {task} waits for the same task twice")
    graph.add_node(str(task), cycles=cycles)
    return [(line, task, other) for other in earlier]
