"""Rows beside each other: common bounds, refuted claims, speed-ups, and fronts against brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched import InputError, compare
from spikepipe_sched.result import Result
from spikepipe_sched.study.outcome import FAILED, NOT_SUPPORTED, Outcome
from spikepipe_sched.study.store import Store
from spikepipe_sched.study.view_pages import compared_notes, compared_page, compared_table, front_notes, front_page, front_table
from spikepipe_sched.study.views import Compared, compared, figure_names, front, lacking, stored, telling
from tests.helpers import training_problem
from tests.pages import EVIL, Tags
from tests.study.fakes import row

NOTHING = dict.fromkeys(("objectives", "objective", "value", "bound", "bound_source", "gap", "length_cycles", "cycles_per_sample", "total_delay"))
NOTHING |= dict.fromkeys(("max_staleness", "traffic_bytes", "overhead", "memory_bytes", "utilisation", "samples_per_s", "seconds"))


def found(solver: str, length: int, bound: int, *, problem: str = "p", **more: Any) -> Outcome:
    return row(f"{solver} {problem} {length}", problem_key=problem, solver=solver, value=length, length_cycles=length, bound=bound, bound_source=solver, **more)


def unable(problem: str = "p", status: str = NOT_SUPPORTED, error: str = "it is Sunday", **more: Any) -> Outcome:
    return row(f"unable {problem}", problem_key=problem, solver="unable", status=status, error=error, **NOTHING | more)


def by_solver(rows: list[Compared]) -> dict[str, Compared]:
    return {each.outcome.solver: each for each in rows}


def test_rows_of_one_problem_share_the_best_bound_and_rows_of_others_do_not():
    rows = by_solver(compared([found("a", 20, 10), found("b", 15, 12), found("c", 30, 14, problem="other")]))
    assert {name: (each.outcome.bound, each.outcome.bound_source) for name, each in rows.items()} == {"a": (12, "b"), "b": (12, "b"), "c": (14, "c")}
    assert rows["a"].outcome.gap == pytest.approx(8 / 12)
    assert rows["b"].outcome.gap == pytest.approx(3 / 12)


def test_whoever_meets_a_bound_that_another_row_proved_is_optimal_if_that_is_the_only_objective():
    for objectives, status in ((1, "optimal"), (2, "feasible")):
        rows = compared([found("a", 20, 10, objectives=objectives), found("b", 30, 20, objectives=objectives)])
        assert [each.outcome.status for each in rows] == [status, "feasible"]


def test_speed_ups_are_over_the_baselines_shortest_schedule_of_the_same_problem():
    rows = compared([found("slow", 40, 1), found("slow", 30, 1, seed=1), found("a", 20, 1), found("a", 10, 1, problem="other"), unable()], baseline="slow")
    assert [(each.outcome.length_cycles, each.speedup) for each in rows] == [(40, 0.75), (30, 1.0), (20, 1.5), (None, None), (10, None)]


def test_a_run_of_the_baseline_without_a_schedule_makes_no_difference():
    rows = compared([replace(unable(), solver="slow", seed=1), found("slow", 30, 1), found("a", 20, 1)], baseline="slow")
    assert [each.speedup for each in rows] == [None, 1.0, 1.5]


def test_rows_of_one_problem_stand_together_and_keep_their_order():
    rows = compared([found("a", 1, 1), found("b", 2, 1, problem="other"), found("c", 3, 1), unable("other")])
    assert [each.outcome.solver for each in rows] == ["a", "c", "b", "unable"]


def test_a_claim_that_a_schedule_refutes_is_a_failure_without_figures():
    rows = by_solver(compared([found("liar", 20, 18), found("a", 17, 10)], baseline="liar"))
    liar = rows["liar"].outcome
    assert liar.status == FAILED
    assert liar.error == "claims that no period is below 18 (liar), but 'a' found 17"
    assert {name: getattr(liar, name) for name in NOTHING} == NOTHING
    assert (rows["a"].outcome.bound, rows["a"].speedup) == (10, None)


def test_a_schedule_refutes_that_there_is_none_in_its_own_problem():
    rows = compared([unable("p", "infeasible"), found("a", 17, 10), unable("q", "infeasible")])
    said = "claims that there is no schedule, but 'a' found one: period 17"
    assert [(each.outcome.status, each.outcome.error) for each in rows] == [(FAILED, said), ("feasible", ""), ("infeasible", "it is Sunday")]


def test_the_view_of_stored_rows_agrees_with_a_fresh_comparison():
    """Bounds, gaps and speed-ups of `spikepipe_sched.compare` from the rows of each solver alone."""
    fresh = compare(training_problem(3, 2), ["stages", "sequential", "modulo"], deterministic_limit=0.05)
    rows: list[Outcome] = []
    for each in fresh.rows:
        own = each.result
        assert own is not None
        first = own.objectives[0]
        rows.append(found(each.solver, first.value, first.bound))
    again = by_solver(compared(rows))
    for each in fresh.rows:
        view = again[each.solver]
        assert (view.outcome.value, view.outcome.bound, view.outcome.gap, view.speedup) == (each.value, each.bound, each.gap, each.speedup)


figures = st.integers(0, 4)


@given(st.lists(st.tuples(figures, figures, figures, st.booleans()), min_size=1, max_size=12), st.integers(1, 3))
def test_fronts_equal_brute_force(points: list[tuple[int, int, int, bool]], size: int):
    """In one figure that is better if smaller, one that is better if larger, and a third; two networks."""
    over = ("memory_bytes", "samples_per_s", "pes")[:size]
    rows = [
        Compared(outcome=row(str(i), network="n" if first else "m", memory_bytes=a, samples_per_s=float(b), pes=c), speedup=None)
        for i, (a, b, c, first) in enumerate(points)
    ]

    def signed(each: Compared) -> list[float]:
        own = each.outcome
        return [float(own.memory_bytes or 0), -(own.samples_per_s or 0.0), float(own.pes)][:size]

    def beaten(each: Compared) -> bool:
        others = [other for other in rows if other.outcome.network == each.outcome.network]
        return any(all(a <= b for a, b in zip(signed(other), signed(each), strict=True)) and signed(other) != signed(each) for other in others)

    best = front(rows, over)
    assert {each.outcome.key for each in best} == {each.outcome.key for each in rows if not beaten(each)}
    for network in {each.outcome.network for each in best}:
        own = [signed(each) for each in best if each.outcome.network == network]
        assert own == sorted(own)


@pytest.mark.parametrize(
    ("over", "changed", "count"),
    [
        ("length_cycles", {}, 1),
        ("length_cycles", {"unroll": 2}, 2),
        ("length_cycles", {"batch": 8}, 2),
        ("length_cycles", {"clock_hz": 5}, 2),
        ("length_cycles", {"mode": "finite"}, 2),
        ("length_cycles", {"network_key": "another of this name"}, 2),
        ("length_cycles", {"platform": "other", "processors": 9}, 1),
        ("cycles_per_sample", {"batch": 8, "unroll": 2}, 1),
        ("cycles_per_sample", {"clock_hz": 5}, 2),
        ("samples_per_s", {"clock_hz": 5, "batch": 8}, 1),
        ("traffic_bytes", {"micro_batches": 3}, 2),
    ],
)
def test_only_what_means_the_same_is_set_against_each_other(over: str, changed: dict[str, Any], count: int):
    better = row("better", length_cycles=1, cycles_per_sample=1.0, traffic_bytes=1, samples_per_s=1e12)
    worse = row("worse", **{"length_cycles": 2, "cycles_per_sample": 2.0, "traffic_bytes": 2} | changed)
    assert len(front([Compared(outcome=better, speedup=None), Compared(outcome=worse, speedup=None)], [over])) == count


def test_rows_without_a_figure_are_counted_by_what_became_of_them():
    rows = compared([found("a", 20, 10), unable(), unable("q", FAILED), unable("r")])
    assert [each.outcome.solver for each in front(rows, ["length_cycles"])] == ["a"]
    assert lacking(rows, ["length_cycles"]) == "3 of 4 rows lack length_cycles and are not shown: 2 not supported, 1 failed"
    assert lacking(rows, ["pes"]) == ""


def test_objectives_may_stand_for_their_figures_and_unknown_ones_are_refused():
    assert figure_names(["period", "delay", "pes"]) == ("length_cycles", "total_delay", "pes")
    with pytest.raises(InputError, match="no figure 'colour'; choose from length_cycles"):
        figure_names(["colour"])
    with pytest.raises(InputError, match="named twice in period, makespan"):
        figure_names(["period", "makespan"])


def test_labels_are_shown_where_they_tell_rows_apart():
    alike = compared([found("a", 20, 10), found("b", 20, 10)])
    assert telling(alike) == ["network", "processors", "solver"]
    sizes = compared([found("a", 20, 10), found("b", 20, 10, array="9x9", platform="other", seed=3)])
    assert telling(sizes) == ["network", "array", "processors", "solver", "seed"]
    platforms = compared([found("a", 20, 10), found("b", 20, 10, platform="other")])
    assert telling(platforms) == ["network", "platform", "processors", "solver"]
    clocks = compared([found("a", 20, 10), found("b", 20, 10, clock_hz=5)])
    assert telling(clocks) == ["network", "clock_hz", "processors", "solver"]


def test_the_rows_of_several_sweeps_are_each_there_once(tmp_path: Path):
    from tests.study.fakes import FakeCell

    with Store(tmp_path / "s.sqlite", create=True) as store:
        with pytest.raises(InputError, match="no outcomes yet"):
            stored(store, [])
        for key in "abc":
            store.add(row(key), None)
        store.register("one", [FakeCell(key="b"), FakeCell(key="a")])  # type: ignore[list-item]
        store.register("two", [FakeCell(key="a"), FakeCell(key="c")])  # type: ignore[list-item]
        store.register("none", [FakeCell(key="d")])  # type: ignore[list-item]
        assert [each.key for each in stored(store, [])] == ["a", "b", "c"]
        assert [each.key for each in stored(store, ["one", "two"])] == ["b", "a", "c"]
        with pytest.raises(InputError, match="no outcomes of none yet"):
            stored(store, ["none"])
        with pytest.raises(InputError, match="no sweep 'three'"):
            stored(store, ["three"])


def test_tables_have_a_line_for_every_row_and_equal_points_of_a_front_share_one():
    rows = compared([found("stages", 20, 10), found("b", 10, 10), found("c", 10, 10, seed=1), unable()])
    headers, lines, numbers = compared_table(rows, "stages")
    assert headers[-9:] == ["period", "gap", "sum of delays", "traffic bytes", "peak memory", "busy", "over stages", "seconds", "status"]
    assert [line[headers.index("over stages")] for line in lines] == ["1.00x", "2.00x", "2.00x", "-"]
    assert numbers == [i for i, header in enumerate(headers) if header not in ("network", "solver", "status")]
    headers, lines, _ = front_table(front(rows, ["length_cycles"]), ["length_cycles"])
    assert lines == [["net", "2", "b, c", "0, 1", "10"]]


def test_notes_say_what_is_missing_and_why():
    rows = compared([found("a", 20, 10), unable(), unable("q")])
    notes = compared_notes(rows, "stages")
    assert notes == [
        "3 rows of 2 problems; gaps are to the best bound that any row of a problem proved",
        "no speed-ups in 2 of them: they have no schedule of stages",
        "2 not supported: it is Sunday",
    ]
    many = compared([unable(str(i), error=f"reason {i}") for i in range(12)])
    assert compared_notes(many, "stages")[-1] == "and 2 more reasons"
    said = "1 of 3 rows: no other of the same network, mode is as good in processing elements and better in one"
    assert front_notes(rows, rows[:1], ["pes"], "stages") == [said]
    assert front_notes(rows, rows[:1], ["speedup"], "a")[1] == "speed-ups are over a"
    two = compared([found("a", 20, 10), found("a", 10, 10, problem="q", network_key="changed")])
    assert front_notes(two, two, ["pes"], "a")[-1] == compared_notes(two, "a")[-1] == "2 different networks are called net; name a sweep to see one of them"
    assert [line[-1] for line in front_table(two, ["pes"])[1]] == ["128", "128"]


def test_pages_draw_the_schedules_of_the_first_problems_and_keep_names_as_text():
    fresh = compare(training_problem(2, 2), ["stages", "sequential"])
    results: dict[str, Result] = {}

    def pages(network: str, error: str) -> list[Tags]:
        outcomes: list[Outcome] = []
        for problem in range(9):
            for each in fresh.rows:
                assert each.result is not None
                outcomes.append(found(each.solver, each.length_cycles or 0, 1, problem=str(problem), network=network))
                results[outcomes[-1].key] = each.result
        rows = compared([*outcomes, unable("0", error=error, network=network)])
        page = compared_page(network, rows, "stages", results.get)
        assert sum(f'id="gantt{i}"' in page for i in range(1, 12)) == 8
        assert "Those of 1 more problems are not drawn." in page
        return [Tags(page), Tags(front_page(network, rows, front(rows, ["pes"]), ["pes"], "stages"))]

    for harmless, hostile in zip(pages("net", "no"), pages(EVIL[0], EVIL[1]), strict=True):
        assert harmless.tags == hostile.tags
        assert [name for name, _ in harmless.attributes] == [name for name, _ in hostile.attributes]
