"""The task graphs of the library, which users may start from: each with the optimum that it states."""

from __future__ import annotations

from importlib.resources import as_file, files

import pytest

from spikepipe_sched import Limits, Status, load_problem, solve
from spikepipe_sched.readers import is_graph_file

GRAPHS = files("spikepipe_problems") / "graphs"


@pytest.mark.parametrize(
    ("name", "options", "optimum"),
    [
        ("pipeline.toml", {}, 39),
        ("unequal.toml", {"micro_batches": 4}, 97),
        ("unequal.toml", {"mode": "periodic"}, 21),  # the work of the last stage: 7 + 8 + 6
        ("small.stg", {"processors": 1}, 29),  # all work
        ("small.stg", {"processors": 2}, 17),  # the first 2 and the last 3 cycles on one processor, 24 cycles on two between them
        ("small.stg", {"processors": 3}, 15),  # the path 1, 4, 7, 8
        ("forkjoin.dot", {"processors": 1}, 18),  # all work
        ("forkjoin.dot", {"processors": 2}, 14),  # fork, a at 2 and c at 7 on one, b at 3 on the other, join at 11
        ("forkjoin.dot", {}, 12),  # join waits for b until 2 + 1 + 4 + 2 = 9
        ("moovac.graphml", {"resources": "moovac.xml"}, 2),  # ceil(two operations / one unit)
        ("moovac.graphml", {"resources": "moovac.xml", "limits": Limits(span_cycles=19)}, 3),
        ("moovac.graphml", {"resources": "moovac.xml", "limits": Limits(span_cycles=18)}, 5),
    ],
)
def test_a_graph_of_the_library_has_the_optimum_it_states(name, options, optimum):
    with as_file(GRAPHS) as folder:
        if "resources" in options:
            options = options | {"resources": folder / options["resources"]}
        problem = load_problem(folder / name, **options)
    result = solve(problem, deterministic_limit=4.0, workers=1)
    assert (result.status, result.objective) == (Status.OPTIMAL, optimum)


def test_every_graph_says_what_it_is():
    for file in GRAPHS.iterdir():
        assert is_graph_file(file.name) or file.name.endswith((".toml", ".xml"))
        head = file.read_text(encoding="utf-8").removeprefix('<?xml version="1.0" encoding="UTF-8"?>\n')
        assert head.startswith(("# ", "// ", "<!-- "))
