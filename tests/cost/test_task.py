"""The cost of a task by hand, term by term, and what may never happen."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched.cost import TIMINGS, Accesses, CostModel, Gemm, Pass, Work, gemm_cycles, task_cost
from spikepipe_sched.errors import InputError
from spikepipe_sched.platform import Dataflow, Energy, SystolicArray

ENERGY = Energy(mac_pj=2.0, add_pj=0.5, vector_pj=1.0, sram_pj_per_byte=3.0, dram_pj_per_byte=100.0, source="made up")
ARRAY = SystolicArray(rows=8, cols=8, lanes=10, sram_bytes=1024, dram_bytes_per_cycle=4, vector_latency_cycles=7, energy=ENERGY)


@st.composite
def gemms(draw: st.DrawFn) -> Gemm:
    steps, axis = draw(st.integers(1, 8)), draw(st.sampled_from(("m", "k")))
    m, k, n = (draw(st.integers(1, 400)) for _ in range(3))
    share = st.floats(0, 1)
    return Gemm(
        m=m * steps if axis == "m" else m,
        k=k * steps if axis == "k" else k,
        n=n,
        count=draw(st.integers(1, 5)),
        left_bits=draw(st.sampled_from((1, 16))),
        steps=steps,
        time_axis=axis,
        density=draw(share),
        activity=draw(share),
    )


WORKS = st.builds(
    Work,
    gemms=st.lists(gemms(), max_size=3).map(tuple),
    vector_ops=st.integers(0, 1000),
    vector_calls=st.integers(0, 3),
    part=st.sampled_from(("F", "B", "W")),
)
MODELS = st.builds(
    CostModel,
    timing=st.sampled_from(tuple(TIMINGS)),
    vector=st.booleans(),
    stalls=st.booleans(),
    sparsity=st.sampled_from(("none", "gate", "skip")),
    time_batching=st.booleans(),
)
ARRAYS = st.builds(
    SystolicArray,
    rows=st.integers(1, 40),
    cols=st.integers(1, 40),
    forward_dataflow=st.sampled_from(("auto", "os", "ws", "is")),
    sram_bytes=st.one_of(st.none(), st.integers(32, 10**5)),
    dram_bytes_per_cycle=st.one_of(st.integers(1, 100), st.floats(0.1, 100)),
    vector_latency_cycles=st.integers(0, 9),
    energy=st.just(ENERGY),
)


def terms(work: Work, array: SystolicArray = ARRAY, **switches: Any) -> dict[str, int]:
    return task_cost(work, array, CostModel(**switches)).terms


# -- by hand -----------------------------------------------------------------------------------------


def test_each_pass_uses_its_own_dataflow_and_vector_work_is_rounded_up() -> None:
    array = SystolicArray(rows=8, cols=8, forward_dataflow="os", backward_dataflow="ws", gradient_dataflow="is", lanes=10)
    product = Gemm(m=20, k=30, n=17, count=2)
    assert product.macs == 2 * 20 * 30 * 17
    parts: tuple[Pass, ...] = ("F", "B", "W")
    costs = [task_cost(Work(gemms=(product,), vector_ops=21, part=part), array, CostModel()) for part in parts]
    assert [cost.terms for cost in costs] == [{"gemm (scalesim)": 2 * c, "vector": 3} for c in (396, 504, 468)]
    assert [cost.dataflows for cost in costs] == [("os",), ("ws",), ("is",)]
    assert all(cost.energy_pj is None for cost in costs)
    nothing = task_cost(Work(gemms=()), array, CostModel())
    assert (nothing.cycles, nothing.dram_bytes, nothing.accesses) == (0, 0, Accesses())


def test_every_call_of_the_vector_unit_waits_for_its_first_result() -> None:
    work = Work(gemms=(), vector_ops=21, vector_calls=2)
    assert terms(work)["vector"] == 2 * 7 + 3
    assert "vector" not in terms(work, vector=False)


def test_stalls_are_what_dram_takes_longer_than_the_array() -> None:
    """8 x 8 x 8 takes 22 cycles in OS; 24 bytes of spikes and weights... each moves once."""
    array = replace(ARRAY, forward_dataflow="os", dram_bytes_per_cycle=2.5)
    work = Work(gemms=(Gemm(m=8, k=8, n=8, count=3, left_bits=1),))
    cost = task_cost(work, array, CostModel(stalls=True))
    moved = 8 * 8 // 8 + 8 * 8 * 2 + 8 * 8 * 2
    assert (moved, cost.dram_bytes) == (264, 3 * 264)
    assert cost.terms == {"gemm (scalesim)": 3 * 22, "memory stalls": 3 * (ceil(264 / 2.5) - 22), "vector": 0}
    assert task_cost(work, replace(array, dram_bytes_per_cycle=12), CostModel(stalls=True)).terms["memory stalls"] == 0


def test_skipping_shortens_the_contracted_dimension() -> None:
    array = replace(ARRAY, forward_dataflow="os")
    work = Work(gemms=(Gemm(m=8, k=100, n=8, count=2, left_bits=1, density=0.07, activity=0.02),))
    found = terms(work, array, sparsity="skip")
    assert (found["gemm (scalesim)"], found["sparsity"]) == (2 * 114, 2 * (7 - 100))
    assert terms(work, array, sparsity="gate") == terms(work, array)


def test_a_silent_operand_still_takes_one_position() -> None:
    work = Work(gemms=(Gemm(m=8, k=100, n=8, density=0.0, activity=0.0),))
    assert task_cost(work, replace(ARRAY, forward_dataflow="os"), CostModel(sparsity="skip")).cycles == 8 + 8 + 1 - 2


def test_a_product_per_step_fills_and_drains_the_array_each_time() -> None:
    """16 samples x 4 steps x 10 x 8: WS streams 64 rows at once, or 16 four times; two folds of K."""
    array = replace(ARRAY, forward_dataflow="ws", gradient_dataflow="os", sram_bytes=None)
    forward = Work(gemms=(Gemm(m=64, k=10, n=8, steps=4, left_bits=1, density=0.9, activity=0.5),))
    assert terms(forward, array, time_batching=False)["step by step"] == 4 * 2 * (22 + 16) - 2 * (22 + 64)
    # One step is silent more often than four: 5 of 10 positions are left, in one fold, not 9 in two.
    skipped = terms(forward, array, time_batching=False, sparsity="skip")
    assert skipped["sparsity"] == 4 * (22 + 16) - 4 * 2 * (22 + 16)
    # The sum over the steps of a weight gradient is read again in all steps but the first.
    gradient = Work(gemms=(Gemm(m=10, k=64, n=8, steps=4, time_axis="k", left_bits=1),), part="W")
    stepwise, batched = (task_cost(gradient, array, CostModel(time_batching=one)) for one in (False, True))
    assert stepwise.terms["step by step"] == 4 * 2 * (14 + 16) - 2 * (14 + 64)
    assert batched.dram_bytes == 10 * 64 // 8 + 2 * 64 * 8 + 2 * 10 * 8
    assert stepwise.dram_bytes == batched.dram_bytes + (3 + 3) * 2 * 10 * 8  # three more writes and three reads
    assert stepwise.accesses.sum_reads == 3 * 10 * 8


def test_energy_by_hand() -> None:
    """A 1-bit operand is added, others are multiplied; gating saves the zeros' share."""
    array = replace(ARRAY, forward_dataflow="ws", sram_bytes=None)
    spikes = Gemm(m=4, k=16, n=8, count=2, left_bits=1, activity=0.25)
    work = Work(gemms=(spikes,), vector_ops=9)
    cost = task_cost(work, array, CostModel())
    # Two folds of K, one of N: sums are written twice and read once at 32 bits, the result leaves at 16.
    assert cost.accesses == Accesses(left_reads=2 * 64, right_reads=2 * 128, sum_reads=2 * 32, writes=2 * 64)
    sram = 2 * (64 // 8 + 128 * 2 + 32 * 4 + 32 * 4 + 32 * 2)
    dram = 2 * (64 // 8 + 128 * 2 + 32 * 2)
    assert (cost.sram_bytes, cost.dram_bytes) == (sram, dram)
    rest = 9 * 1.0 + sram * 3.0 + dram * 100.0
    assert cost.energy_pj == pytest.approx(2 * 512 * 0.5 + rest)
    assert task_cost(work, array, CostModel(sparsity="gate")).energy_pj == pytest.approx(2 * 512 * 0.5 * 0.25 + rest)
    multiplied = task_cost(replace(work, gemms=(replace(spikes, left_bits=16),)), array, CostModel())
    assert multiplied.energy_pj == pytest.approx(2 * 512 * 2.0 + 9 + 3 * multiplied.sram_bytes + 100 * multiplied.dram_bytes)


# -- always ------------------------------------------------------------------------------------------


@given(work=WORKS, array=ARRAYS, model=MODELS)
def test_terms_sum_to_the_cycles_and_have_the_sign_they_promise(work: Work, array: SystolicArray, model: CostModel) -> None:
    cost = task_cost(work, array, model)
    assert sum(cost.terms.values()) == cost.cycles >= 0
    assert tuple(cost.terms) == model.terms
    assert cost.terms.get("sparsity", 0) <= 0
    assert all(cost.terms.get(name, 0) >= 0 for name in ("step by step", "memory stalls", "vector"))
    assert len(cost.dataflows) == len(work.gemms)
    flows: dict[Pass, Dataflow] = {"F": array.forward_dataflow, "B": array.backward_dataflow, "W": array.gradient_dataflow}
    flow = flows[work.part]
    dense = [g.count * gemm_cycles(g.m, g.k, g.n, rows=array.rows, cols=array.cols, dataflow=flow, timing=model.timing) for g in work.gemms]
    assert cost.terms[model.gemm_term] == sum(dense)


@given(work=WORKS, array=ARRAYS, model=MODELS, shares=st.lists(st.floats(0.1, 200), min_size=2, max_size=4).map(sorted))
def test_more_bandwidth_never_costs_time(work: Work, array: SystolicArray, model: CostModel, shares: list[float]) -> None:
    cycles = [task_cost(work, replace(array, dram_bytes_per_cycle=share), replace(model, stalls=True)).cycles for share in shares]
    assert all(more <= less for less, more in pairwise(cycles))


@given(work=WORKS, array=ARRAYS, model=MODELS, sizes=st.lists(st.integers(32, 10**5), min_size=2, max_size=4).map(sorted))
def test_more_sram_costs_neither_time_nor_traffic_nor_energy(work: Work, array: SystolicArray, model: CostModel, sizes: list[int]) -> None:
    costs = [task_cost(work, replace(array, sram_bytes=size), replace(model, stalls=True)) for size in (*sizes, None)]
    for less, more in pairwise(costs):
        assert more.cycles <= less.cycles
        assert more.dram_bytes <= less.dram_bytes
        assert more.energy_pj is not None
        assert less.energy_pj is not None
        assert more.energy_pj <= less.energy_pj


@given(work=WORKS, array=ARRAYS, model=MODELS)
def test_sparsity_saves_time_if_skipped_and_energy_if_gated(work: Work, array: SystolicArray, model: CostModel) -> None:
    none, gate, skip = (task_cost(work, array, replace(model, sparsity=kind)) for kind in ("none", "gate", "skip"))
    assert gate.cycles == none.cycles
    assert none.energy_pj is not None
    assert gate.energy_pj is not None
    assert gate.energy_pj <= none.energy_pj
    assert skip.cycles - skip.terms.get("memory stalls", 0) <= none.cycles - none.terms.get("memory stalls", 0)
    assert skip.cycles <= none.cycles
    assert skip.dram_bytes == none.dram_bytes


@given(work=WORKS, array=ARRAYS, model=MODELS)
def test_one_time_step_has_nothing_to_batch(work: Work, array: SystolicArray, model: CostModel) -> None:
    one = replace(work, gemms=tuple(replace(gemm, steps=1) for gemm in work.gemms))
    batched, stepwise = (task_cost(one, array, replace(model, time_batching=on)) for on in (True, False))
    assert stepwise.terms["step by step"] == 0
    assert (batched.cycles, batched.dram_bytes, batched.energy_pj) == (stepwise.cycles, stepwise.dram_bytes, stepwise.energy_pj)


def test_a_task_that_waits_for_dram_picks_its_dataflow_as_one_that_does_not() -> None:
    work = Work(gemms=(Gemm(m=500, k=20, n=30),))
    assert task_cost(work, ARRAY, CostModel(stalls=True)).dataflows == task_cost(work, ARRAY, CostModel()).dataflows == ("ws",)


def test_work_can_be_looked_up() -> None:
    """The lowering prices equal work once."""
    assert {Work(gemms=(Gemm(m=1, k=2, n=3),)): 1}[Work(gemms=(Gemm(m=1, k=2, n=3),))] == 1


# -- misuse ------------------------------------------------------------------------------------------


def test_stalls_need_a_bandwidth() -> None:
    with pytest.raises(InputError, match="add dram_bytes_per_cycle to each"):
        task_cost(Work(gemms=()), SystolicArray(rows=8, cols=8), CostModel(stalls=True))


def test_a_product_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(InputError, match=r"takes more than 2\^62 cycles"):
        task_cost(Work(gemms=(Gemm(m=2**40, k=2**20, n=2**20),)), ARRAY, CostModel())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Gemm(m=0, k=1, n=1), "matrix product: m must be at least 1, got 0"),
        (lambda: Gemm(m=1, k=1, n=1, left_bits=0), "left_bits must be at least 1"),
        (lambda: Gemm(m=10, k=1, n=1, steps=4), "m = 10 does not hold 4 time steps of equal size"),
        (lambda: Gemm(m=4, k=10, n=1, steps=4, time_axis="k"), "k = 10 does not hold 4 time steps"),
        (lambda: Gemm(m=4, k=1, n=1, time_axis="n"), "time_axis must be m or k, got 'n'"),  # pyright: ignore[reportArgumentType]
        (lambda: Gemm(m=1, k=1, n=1, density=1.5), "density must be between 0 and 1, got 1.5"),
        (lambda: Gemm(m=1, k=1, n=1, activity=float("nan")), "activity must be between 0 and 1, got nan"),
        (lambda: Work(gemms=(), vector_ops=-1), "work: vector_ops must not be negative"),
        (lambda: Work(gemms=(), part="U"), "work: part must be F, B or W, got 'U'"),  # pyright: ignore[reportArgumentType]
        (lambda: CostModel(timing="fast"), "timing must be one of scalesim, paper"),  # pyright: ignore[reportArgumentType]
        (lambda: CostModel(sparsity="all"), "sparsity must be none, gate or skip; got 'all'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_parameters_out_of_range_are_named(build: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build()


def test_traffic_is_looked_for_where_it_is_asked_for_or_stalls_need_it() -> None:
    """An SRAM that holds no tile does not matter to cycles without stalls."""
    work, small = Work(gemms=(Gemm(m=4, k=4, n=4),), vector_ops=5), replace(ARRAY, sram_bytes=8)
    found = task_cost(work, small, CostModel(), traffic=False)
    assert (found.cycles, found.dram_bytes, found.energy_pj) == (task_cost(work, ARRAY, CostModel()).cycles, 0, None)
    for options in ({"traffic": True, "model": CostModel()}, {"traffic": False, "model": CostModel(stalls=True)}):
        with pytest.raises(InputError, match="sram_bytes = 8 is too small"):
            task_cost(work, small, **options)  # type: ignore[arg-type]
