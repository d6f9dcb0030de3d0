"""The cost of a task: its matrix products one after the other, then its element-wise work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from spikepipe_sched.cost.gemm import Layout, best_layout
from spikepipe_sched.cost.memory import Accesses, dram_bytes, sram_accesses
from spikepipe_sched.cost.work import CostModel, Gemm, Pass, Work
from spikepipe_sched.errors import require
from spikepipe_sched.platform import Dataflow, Energy, SystolicArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCost:
    """What a piece of work costs on one array.

    Parameters
    ----------
    cycles
        Its duration: the sum of ``terms``.
    terms
        Cycles by term of the cost model, for every term that is switched on; `CostModel.terms`.
    dataflows
        How each product is laid out.
    accesses
        Values moved between the array and its SRAM.
    sram_bytes, dram_bytes
        Bytes moved between the array and its SRAM, and between SRAM and DRAM (0 where it was not asked for).
    executed_macs
        Multiply-accumulates that take the array's time: all but those that are skipped.
    energy_pj
        Picojoules; None where the platform gives no energies, or where traffic was not asked for.
    """

    cycles: int
    terms: dict[str, int]
    dataflows: tuple[Layout, ...]
    accesses: Accesses
    sram_bytes: int
    dram_bytes: int
    executed_macs: int
    energy_pj: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProductCost:
    """Cost of the products of one `Gemm`."""

    folded: int  # dense, all time steps in one product
    stepwise: int  # dense, as many products as the model asks for
    cycles: int  # with what is skipped left out
    stalls: int
    layout: Layout
    accesses: Accesses
    sram_bits: int
    dram_bytes: int
    executed: int  # multiply-accumulates
    multiplications: float  # those that energy is spent on


def task_cost(work: Work, array: SystolicArray, model: CostModel, *, traffic: bool = True) -> TaskCost:
    """Cost of ``work`` on ``array`` under the assumptions of ``model``.

    Without ``traffic`` the least DRAM traffic is looked for only where stalls need it: the search
    takes longer than all the rest, and refuses an SRAM that holds no tile.

    Raises
    ------
    InputError
        If ``model`` counts stalls and the array names no DRAM bandwidth, or a number is too large.
    """
    require(
        not model.stalls or array.dram_bytes_per_cycle is not None,
        "cost model: memory stalls need the DRAM bandwidth of every array; add dram_bytes_per_cycle to each [classes] table of the platform",
    )
    flows: dict[Pass, Dataflow] = {"F": array.forward_dataflow, "B": array.backward_dataflow, "W": array.gradient_dataflow}
    traffic = traffic or model.stalls
    products = [_product(gemm, array, model, flows[work.part], traffic=traffic) for gemm in work.gemms]
    found = {
        model.gemm_term: sum(p.folded for p in products),
        "step by step": sum(p.stepwise - p.folded for p in products),
        "sparsity": sum(p.cycles - p.stepwise for p in products),
        "memory stalls": sum(p.stalls for p in products),
        "vector": work.vector_calls * array.vector_latency_cycles - (-work.vector_ops // array.lanes),
    }
    terms = {name: found[name] for name in model.terms}
    sram = sum(-(-p.sram_bits // 8) for p in products)
    dram = sum(p.dram_bytes for p in products)
    return TaskCost(
        cycles=sum(terms.values()),
        terms=terms,
        dataflows=tuple(p.layout for p in products),
        accesses=sum((p.accesses for p in products), Accesses()),
        sram_bytes=sram,
        dram_bytes=dram,
        executed_macs=sum(p.executed for p in products),
        energy_pj=None if array.energy is None or not traffic else _energy_pj(work, products, array.energy, sram, dram),
    )


def _product(gemm: Gemm, array: SystolicArray, model: CostModel, dataflow: Dataflow, *, traffic: bool) -> _ProductCost:
    """Time, traffic and multiplications of one `Gemm`."""
    m, k, n = gemm.m, gemm.k, gemm.n

    def best(m: int, k: int) -> tuple[int, Layout]:
        return best_layout(m, k, n, rows=array.rows, cols=array.cols, dataflow=dataflow, timing=model.timing)

    folded, steps, density = best(m, k)[0] * gemm.count, 1, gemm.density
    if not model.time_batching and gemm.steps > 1:
        steps = gemm.steps
        m, k = (m // steps, k) if gemm.time_axis == "m" else (m, k // steps)
        density = min(gemm.density, gemm.activity)  # the window is one step: 1 - (1 - p)^1
    products = gemm.count * steps
    stepwise = best(m, k)[0] * products
    # Rounded first, lest the error of a float product adds a position: ceil(100 * 0.07) is 7.
    kept = max(1, math.ceil(round(k * density, 6))) if model.sparsity == "skip" else k
    each, layout = best(m, kept)
    bits = {"left_bits": gemm.left_bits, "right_bits": gemm.right_bits, "out_bits": gemm.out_bits, "sum_bits": array.accumulator_bits}
    image = None if gemm.left_values is None else -(-gemm.left_values // steps)
    # Silent positions are known only once they are read.
    moved = dram_bytes(m, k, n, **bits, sram_bytes=array.sram_bytes, left_values=image) if traffic else 0
    # Where time is contracted, all products but the first add to the result of the ones before.
    adding = gemm.count * (steps - 1) if gemm.time_axis == "k" else 0
    read_back = -(-m * n * gemm.out_bits // 8) if traffic else 0
    accesses = sram_accesses(m, kept, n, rows=array.rows, cols=array.cols, layout=layout)
    sums = accesses.sum_reads + accesses.writes - m * n
    sram_bits = accesses.left_reads * gemm.left_bits + accesses.right_reads * gemm.right_bits + sums * array.accumulator_bits + m * n * gemm.out_bits
    active = gemm.activity if model.sparsity == "gate" else 1.0
    return _ProductCost(
        folded=folded,
        stepwise=stepwise,
        cycles=each * products,
        stalls=(products - adding) * _stall(each, moved, array, model) + adding * _stall(each, moved + read_back, array, model),
        layout=layout,
        accesses=accesses * products + Accesses(sum_reads=m * n * adding),
        sram_bits=sram_bits * products + m * n * gemm.out_bits * adding,
        dram_bytes=moved * products + read_back * adding,
        executed=m * kept * n * products,
        multiplications=m * kept * n * products * active,
    )


def _stall(cycles: int, moved: int, array: SystolicArray, model: CostModel) -> int:
    """Cycles that DRAM takes longer than the array: max(compute, bytes / bandwidth) - compute.

    The next tile is fetched while this one is computed (double buffering), so only what does not fit
    behind the computation of the whole product is waited for: the roofline model's memory side
    (Williams et al., doi:10.1145/1498765.1498785). The first tile is not charged.
    """
    if not model.stalls or array.dram_bytes_per_cycle is None:
        return 0
    return max(0, math.ceil(Fraction(moved) / Fraction(array.dram_bytes_per_cycle)) - cycles)


def _energy_pj(work: Work, products: list[_ProductCost], energy: Energy, sram: int, dram: int) -> float:
    """A 1-bit operand adds or does not: no multiplication (Horowitz, ISSCC 2014, doi:10.1109/ISSCC.2014.6757323)."""
    computing = sum(
        p.multiplications * (energy.add_pj if 1 in (gemm.left_bits, gemm.right_bits) else energy.mac_pj) for gemm, p in zip(work.gemms, products, strict=True)
    )
    return computing + work.vector_ops * energy.vector_pj + sram * energy.sram_pj_per_byte + dram * energy.dram_pj_per_byte
