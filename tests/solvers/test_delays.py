"""Search for small delays at a fixed period: its kernels against the checker, an LP and brute force."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Limits, Problem, TrainingSetup, check, load_network, load_platform, lower, solve
from spikepipe_sched.check import layer_delays, violations
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget
from spikepipe_sched.traffic import flows, traffic_bytes
from spikepipe_solvers.balance import balance, loads
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.decode import Decoder, schedule_of
from spikepipe_solvers.delays.anneal import anneal
from spikepipe_solvers.delays.energy import accept, evaluate, missed, traffic
from spikepipe_solvers.delays.greedy import BEST_START, anneal_priorities, make_arcs
from spikepipe_solvers.delays.packing import draw, mend, rebuild, relieve
from spikepipe_solvers.delays.search import LARGE, _Search, improve_delays
from spikepipe_solvers.delays.tables import BEST_PROCESSOR, LATE_STAGE, PHASE, PROCESSOR, STAGE, Ints, State, Tables, make_state, make_tables
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.retime import retime
from tests.oracle import Oracle, TooLarge, random_problem
from tests.solvers.instances import arrays, network_problem, residual_problem, ring, unlike
from tests.solvers.retiming import least_delay

LOGS = -np.log((np.arange(64) + 0.5) / 64)


def packed(problem: Problem, slack: int, seed: int) -> tuple[Tables, State, Ints]:
    """Random processors, packed in topological order at the least period that holds them, and ``slack`` cycles more."""
    rng = random.Random(seed)
    duration = problem.instance.duration
    processor = np.array([rng.choice(np.flatnonzero(row >= 0).tolist()) for row in duration])
    tables, order = make_tables(problem, max(1, int(loads(duration, processor).max())) + slack)
    state = make_state(tables, seed)
    state.copy[:, PROCESSOR] = processor[order]
    rebuild(tables, state, np.arange(len(order)))
    state.energy[:] = evaluate(tables, state, 0.0)
    accept(state)
    return tables, state, order


def schedule_from(tables: Tables, order: Ints, state: State, stages: int) -> Schedule:
    """The state's packing with the stages of a column, in the problem's numbering."""
    placed, start = np.empty_like(order), np.empty_like(order)
    placed[order], start[order] = state.copy[:, PROCESSOR], state.copy[:, stages] * tables.period + state.copy[:, PHASE]
    return Schedule(processor=placed, start=start, period=tables.period).normalised()


def some_problem(rng: random.Random) -> Problem:
    """Chains, skips, unlike processors, transfers, several copies."""
    windows, platform = rng.choice([1, 2]), arrays(rng.randint(1, 4), latency=rng.randint(0, 50))
    kind = rng.randrange(4)
    if kind == 0:
        return residual_problem()
    if kind == 1:
        return network_problem(windows=windows, platform=platform, unroll=2)
    return network_problem(windows=windows, platform=unlike() if kind == 2 else platform)


@given(st.integers(0, 10_000), st.integers(0, 60))
def test_decoding_is_feasible_at_any_period_that_holds_the_loads(seed: int, slack: int) -> None:
    """Whatever the assignment, priorities and slack: no overlap, no precedence violation; retiming never adds delay."""
    rng = random.Random(seed)
    problem = network_problem(windows=rng.choice([1, 2]), platform=arrays(rng.randint(1, 4), latency=rng.randint(0, 50)))
    count = problem.instance.size
    processor = [rng.randrange(len(problem.processors)) for _ in range(count)]
    period = int(loads(problem.instance.duration, np.array(processor)).max()) + slack
    decoder = Decoder(problem)
    start = decoder.fixed(period, processor, decoder.sequence([rng.random() for _ in range(count)]))
    schedule = schedule_of(processor, start, period)
    assert check(problem, schedule) == ()
    retimed = retime(problem, schedule)
    assert check(problem, retimed.normalised()) == ()
    assert layer_delays(problem, retimed)[0].sum() <= layer_delays(problem, schedule)[0].sum()


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_packings_stay_feasible_and_their_delays_are_the_checkers(seed: int, slack: int) -> None:
    """After packing and after every few steps of annealing; only copies that update in turn may miss each other."""
    problem = some_problem(random.Random(seed))
    tables, state, order = packed(problem, slack, seed)
    for _ in range(4):
        evaluate(tables, state, 0.0)
        schedule = schedule_from(tables, order, state, LATE_STAGE)
        wrong = {violation.kind for violation in check(problem, schedule)}
        late = any(missed(tables, state, e) > 0 for e in range(len(tables.far)))
        assert wrong == ({"precedence"} if late else set())
        assert state.total[0] == layer_delays(problem, schedule)[0].sum()
        assert np.array_equal(state.load, loads(tables.duration, state.copy[:, PROCESSOR]))
        anneal(tables, state, 15, 0.5, 1.0, 0.0, LOGS)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_stages_by_two_passes_have_the_delays_of_the_linear_programme(seed: int, slack: int) -> None:
    """Early inputs, then late readers: as good as the minimum-cost flow on lowered networks, whatever the packing."""
    problem = network_problem(windows=seed % 3 + 1, platform=arrays(seed % 4 + 1, latency=seed % 50))
    tables, state, order = packed(problem, slack, seed)
    anneal(tables, state, 20, 0.5, 1.0, 0.0, LOGS)
    schedule = schedule_from(tables, order, state, STAGE)
    assert layer_delays(problem, schedule)[0].sum() == least_delay(problem, schedule)
    late = Schedule(processor=schedule.processor, start=schedule.start + tables.period * np.argsort(order), period=tables.period)
    assert layer_delays(problem, retime(problem, late.normalised()))[0].sum() == least_delay(problem, schedule)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_traffic_of_a_packing_is_that_of_the_specification(seed: int) -> None:
    """Each tensor once per pair of processors."""
    problem = network_problem(windows=2, platform=arrays(4))
    tables, state, order = packed(problem, 0, seed)
    processor = np.empty_like(order)
    processor[order] = state.copy[:, PROCESSOR]
    none = np.zeros(len(problem.layers), dtype=np.int64)
    assert traffic(tables, state) == traffic_bytes(problem, flows(problem, none, none), processor)


@pytest.mark.parametrize("make", [lambda: network_problem(windows=2), lambda: network_problem(unroll=2)])
def test_compiled_and_plain_kernels_agree_bit_for_bit(make: Callable[[], Problem]) -> None:
    """All arrays after list scheduling, mending, packing and annealing."""
    problem = make()
    states = []
    for fast in (False, True):
        duration = problem.instance.duration
        tables, _ = make_tables(problem, int(loads(duration, balance(duration)).max()))
        state, arcs = make_state(tables, 7), make_arcs(tables)
        state.energy[:] = 1e18
        last = anneal_priorities.pick(fast=fast)(tables, state, arcs, 20, 5, 0.3, 0.99, LOGS)
        state.copy[:, PROCESSOR] = state.copy[:, BEST_PROCESSOR]
        state.load[:] = loads(tables.duration, state.copy[:, PROCESSOR])
        fits = relieve.pick(fast=fast)(tables, state, tables.period + tables.period // 10, 300)
        tables = tables._replace(period=int(state.load.max()))
        fits &= mend.pick(fast=fast)(tables, state, np.argsort(arcs.copy[:, BEST_START], kind="stable"), 1, 1e-6)
        last += anneal.pick(fast=fast)(tables, state, 300, 0.3, 0.99, 1e-6, LOGS)
        states.append((last, fits, *state, *arcs))
    for plain, compiled in zip(*states, strict=True):
        assert np.array_equal(plain, compiled)


def test_random_numbers_fill_their_range_evenly() -> None:
    """Every residue of ten comes up about as often."""
    state = np.array([12345])
    seen = np.bincount([draw(state, 10) for _ in range(5000)], minlength=10)
    assert len(seen) == 10
    assert seen.min() > 400
    assert seen.max() < 600


def searched(problem: Problem, period: int, *, work: float = 0.2, seed: int = 1, target: int = 0, start: Schedule | None = None) -> Incumbent:
    """What the search makes of some deterministic work."""
    incumbent = Incumbent(problem, "test")
    if start is not None:
        assert incumbent.offer(start, "start")
    improve_delays(
        incumbent, period, Clock(Budget(time_limit_s=60.0, deterministic_limit=work)), seed, assignments=[balance(problem.instance.duration)], target=target
    )
    return incumbent


def test_the_search_is_never_worse_than_its_start_and_depends_on_the_seed_alone() -> None:
    """Two runs agree in every start; both beat the packing they are given or keep it."""
    problem = network_problem(windows=4)
    tables, state, order = packed(problem, 0, 3)
    start = schedule_from(tables, order, state, STAGE)
    first, second = (searched(problem, tables.period, start=start) for _ in range(2))
    assert first.key <= (tables.period, int(layer_delays(problem, start)[0].sum()), *first.key[2:])
    assert first.schedule is not None
    assert second.schedule is not None
    assert np.array_equal(first.schedule.start, second.schedule.start)
    assert np.array_equal(first.schedule.processor, second.schedule.processor)


def test_the_search_stops_at_its_target() -> None:
    """A target that the first packing meets costs next to no work."""
    problem = network_problem()
    period = int(loads(problem.instance.duration, balance(problem.instance.duration)).max())
    clock = Clock(Budget(time_limit_s=60.0, deterministic_limit=1.0))
    incumbent = Incumbent(network_problem(objective=("delay",)), "test")
    improve_delays(incumbent, period, clock, 1, assignments=[balance(problem.instance.duration)], target=100)
    assert incumbent.schedule is not None
    assert clock.left() > 0.9


def test_the_search_finds_nothing_at_a_period_below_the_load() -> None:
    """Nor does it waste the clock on it."""
    problem = network_problem()
    clock = Clock(Budget(time_limit_s=60.0, deterministic_limit=1.0))
    incumbent = Incumbent(problem, "test")
    improve_delays(incumbent, 10, clock, 1)
    assert incumbent.schedule is None
    assert clock.left() == 1.0


def test_nothing_is_compiled_in_a_short_time_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain Python finds a schedule instead."""
    monkeypatch.setattr(Kernel, "ready", False)
    monkeypatch.delattr(Kernel, "compiled")
    problem = network_problem(windows=4, unroll=2)
    assert problem.instance.size > LARGE
    incumbent = Incumbent(problem, "test")
    assignment = balance(problem.instance.duration)
    improve_delays(incumbent, int(loads(problem.instance.duration, assignment).max()), Clock(Budget(time_limit_s=0.3)), 1, assignments=[assignment])
    assert incumbent.schedule is not None


def test_the_pace_of_a_search_whose_rounds_take_no_time_stays_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ring()
    search = _Search(Incumbent(problem, "test"), 100, Clock(Budget()), 0, (), 0)
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)
    for _ in range(1000):
        search._spent(1, 0.0, anneal)
    assert search._part(1) > 10**6


def test_a_kernel_is_ready_once_it_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stays so on disk, for a kernel that is made anew."""
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    first, second = Kernel(draw.function), Kernel(draw.function)
    assert not first.ready
    first.compiled(np.array([1]), 10)
    assert first.ready
    assert second.ready


def test_an_interrupt_while_a_kernel_is_compiled_is_heard_once_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a callback of LLVM it would be printed and lost."""
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    kernel = Kernel(draw.function)
    compiled: Any = kernel.compiled
    compile_for = type(compiled).compile

    def interrupted(self: Any, signature: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return compile_for(self, signature)

    monkeypatch.setattr(type(compiled), "compile", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        kernel.compiled(np.array([1]), 10)
    assert compiled.signatures
    assert signal.getsignal(signal.SIGINT) is before


def test_edges_to_later_iterations_are_deadlines() -> None:
    """The recurrence of the ring holds at its least period, which packing alone would break."""
    problem = ring()
    incumbent = searched(problem, 6)
    assert incumbent.schedule is not None
    assert violations(problem, incumbent.schedule) == ()


def test_staleness_limits_guide_the_search() -> None:
    """One layer may be late, the other must not."""
    graph: nx.DiGraph[str] = nx.DiGraph(layers=["a", "b"])
    for layer in "ab":
        for kind, cycles in (("F", 3), ("W", 5), ("U", 1)):
            graph.add_node(f"{kind}{layer}", kind=kind, layer=layer, cycles=cycles)
        graph.add_edge(f"F{layer}", f"W{layer}")
        graph.add_edge(f"W{layer}", f"U{layer}")
        graph.add_edge(f"U{layer}", f"F{layer}", delay_layer=layer)
    graph.add_edge("Fa", "Fb")
    graph.add_edge("Wb", "Wa")
    problem = Problem.from_graph(graph, 2, mode="periodic", limits=Limits(layer_delay=(("b", 1),)))
    incumbent = searched(problem, 9)
    assert incumbent.schedule is not None
    assert incumbent.key[:2] == (9, 3)


def test_the_search_meets_brute_force_on_small_problems() -> None:
    """At the least period of all, the least sum of delays, over random problems without limits on memory or traffic."""
    met = 0
    for seed in range(40):
        problem = random_problem(seed, "periodic")
        limits = problem.limits
        if any(p.memory_bytes for p in problem.processors) or limits.traffic_bytes is not None or len(problem.instance.delay_edge) == 0:
            continue
        try:
            best = Oracle(problem).optimum()
        except TooLarge:
            continue
        if best is None:
            continue
        incumbent = searched(problem, best[0], work=0.05, target=best[1])
        assert incumbent.key[:2] == best[:2], seed
        met += 1
    assert met >= 5


def test_exact_search_of_small_problems_leaves_time_for_local_search() -> None:
    """The portfolio reaches the least sum of delays where the heuristic alone does."""
    platform = load_platform("array32").with_array(16, 16).with_processors(4)
    problem = Problem.from_graph(lower(load_network("nmnist_mlp"), TrainingSetup(batch=16, windows=4), platform), platform)
    period, delay = solve(problem, "auto", deterministic_limit=10).objectives[:2]
    assert (period.gap, delay.gap) == (0, 0)
