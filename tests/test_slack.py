"""What the least period found becomes: a limit a little above it, and the last objective."""

from __future__ import annotations

import networkx as nx
import pytest

from spikepipe_sched import Limits, Problem, within_slack
from spikepipe_sched.errors import InputError
from spikepipe_sched.slack import SHARE


def hundred(**options: object) -> Problem:
    """Tasks of 60 and 40 cycles; in turn on one processor they take 100."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=60)
    graph.add_node("b", cycles=40)
    return Problem.from_graph(graph, 1, **{"mode": "periodic"} | options)


@pytest.mark.parametrize(("slack", "limit"), [(0, 100), (0.01, 101), (0.019, 101), (0.29, 129), (0.57, 157), (2, 300)])
def test_the_limit_is_the_whole_number_below(slack: float, limit: int) -> None:
    """Decimal shares count as they are written: 0.29 as a float is a little less."""
    problem, least = within_slack(hundred(), slack, "sequential")
    assert least.objective == 100
    assert problem.limits.period_cycles == limit
    assert problem.objective == ("delay", "traffic", "memory", "period")


def test_a_limit_of_the_problem_that_is_tighter_stays() -> None:
    problem, _ = within_slack(hundred(limits=Limits(period_cycles=105, traffic_bytes=7)), 0.5, "sequential")
    assert problem.limits == Limits(period_cycles=105, traffic_bytes=7)


def test_without_a_schedule_the_problem_comes_back() -> None:
    problem = hundred(limits=Limits(period_cycles=99))
    same, least = within_slack(problem, 0.1, "sequential")
    assert same is problem
    assert (least.schedule, least.status) == (None, "infeasible")


@pytest.mark.parametrize(("given", "cut"), [({}, 6), ({"time_limit_s": 10.0}, 2), ({"deterministic_limit": 4.0}, 0.8)])
def test_the_first_search_takes_a_fifth(given: dict[str, float], cut: float) -> None:
    _, least = within_slack(hundred(), 0.1, "sequential", **given)
    asked = least.provenance.time_limit_s if "deterministic_limit" not in given else least.provenance.deterministic_limit
    assert asked == pytest.approx(cut)
    assert SHARE == 0.2


@pytest.mark.parametrize("slack", [-0.1, float("inf"), float("nan")])
def test_a_slack_that_is_none(slack: float) -> None:
    with pytest.raises(InputError, match="slack must be a number of at least 0"):
        within_slack(hundred(), slack, "sequential")


@pytest.mark.parametrize("options", [{"mode": "finite"}, {"objective": ("delay", "period")}])
def test_the_period_must_be_the_first_objective(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="slack needs a periodic problem whose first objective is the period"):
        within_slack(hundred(**options), 0.1, "sequential")
