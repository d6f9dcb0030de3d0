"""What a task computes, and what its cost is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spikepipe_sched.cost.timings import TIMINGS, Timing
from spikepipe_sched.errors import InputError, require

Pass = Literal["F", "B", "W"]
Sparsity = Literal["none", "gate", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """``count`` matrix products of the same size, one after the other: M x K times K x N.

    Parameters
    ----------
    m, k, n
        Sizes of one product.
    count
        How many there are.
    left_bits, right_bits, out_bits
        Bits of one value of the M x K operand, the K x N operand and the result.
    left_values
        Distinct values of the left operand of one product, where it is an image that im2col unrolls;
        M * K if not given.
    steps, time_axis
        So many time steps of equal size are folded into dimension ``m`` (F, B) or ``k`` (W).
    density
        Share of the contracted positions that are not silent: 1 - (1 - p)^t where a position is a
        neuron that spikes with probability p in each of the t steps of a window (F, B), p where it
        is a single step of a sample (W).
    activity
        Share of nonzero values in the left operand: p.
    """

    m: int
    k: int
    n: int
    count: int = 1
    left_bits: int = 16
    right_bits: int = 16
    out_bits: int = 16
    left_values: int | None = None
    steps: int = 1
    time_axis: Literal["m", "k"] = "m"
    density: float = 1.0
    activity: float = 1.0

    def __post_init__(self) -> None:
        if min(self.m, self.k, self.n, self.count, self.left_bits, self.right_bits, self.out_bits, self.steps) < 1:
            name = next(name for name in ("m", "k", "n", "count", "left_bits", "right_bits", "out_bits", "steps") if getattr(self, name) < 1)
            raise InputError(f"matrix product: {name} must be at least 1, got {getattr(self, name)}")
        if self.time_axis not in ("m", "k"):
            raise InputError(f"matrix product: time_axis must be m or k, got '{self.time_axis}'")
        folded = self.m if self.time_axis == "m" else self.k
        if folded % self.steps:
            raise InputError(f"matrix product: {self.time_axis} = {folded} does not hold {self.steps} time steps of equal size")
        if self.left_values is not None and self.left_values < 1:
            raise InputError(f"matrix product: left_values must be at least 1, got {self.left_values}")
        if not (0 <= self.density <= 1 and 0 <= self.activity <= 1):
            name, share = ("activity", self.activity) if 0 <= self.density <= 1 else ("density", self.density)
            raise InputError(f"matrix product: {name} must be between 0 and 1, got {share}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates, zeros included."""
        return self.m * self.k * self.n * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Matrix products, then element-wise work, one after the other.

    Parameters
    ----------
    gemms
        The products.
    vector_ops, vector_calls
        Element-wise operations, and how often the vector unit is started for them.
    part
        Selects the array's dataflow: forward (F), activation-gradient (B) or weight-gradient (W).
    """

    gemms: tuple[Gemm, ...]
    vector_ops: int = 0
    vector_calls: int = 0
    part: Pass = "F"

    def __post_init__(self) -> None:
        for name in ("vector_ops", "vector_calls"):
            require(getattr(self, name) >= 0, f"work: {name} must not be negative, got {getattr(self, name)}")
        require(self.part in ("F", "B", "W"), f"work: part must be F, B or W, got '{self.part}'")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Which terms make up the cycles of a task.

    Parameters
    ----------
    timing
        Formula for the matrix products; see `spikepipe_sched.cost.timings`.
    vector
        Count element-wise work: ``vector_latency_cycles`` per call + ceil(operations / lanes).
    stalls
        A product takes no less time than its traffic with DRAM; see `spikepipe_sched.cost.memory`.
    sparsity
        ``gate``: a zero in the left operand saves the energy of its multiplications, no time.
        ``skip``: positions that are silent over the whole window are left out of the contracted
        dimension, in equal shares by every row of the array: ceil(K * density) remain, one at
        least. That is the most skipping can save; unequal rows would wait for the slowest.
    time_batching
        All time steps of a window in one product (PTB, Lee et al., HPCA 2022,
        doi:10.1109/HPCA53966.2022.00031). Without it: a product per step; only that step's silence
        can then be skipped, and the sum over the steps of a weight gradient is read and written
        in each.
    """

    timing: Timing = "scalesim"
    vector: bool = True
    stalls: bool = False
    sparsity: Sparsity = "none"
    time_batching: bool = True

    def __post_init__(self) -> None:
        require(self.timing in TIMINGS, f"cost model: timing must be one of {', '.join(TIMINGS)}; got '{self.timing}'")
        require(self.sparsity in ("none", "gate", "skip"), f"cost model: sparsity must be none, gate or skip; got '{self.sparsity}'")

    @property
    def gemm_term(self) -> str:
        """Name of the term of dense products with all time steps folded in."""
        return f"gemm ({self.timing})"

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all terms that are switched on, in the order they are added."""
        chosen = (
            (self.gemm_term, True),
            ("step by step", not self.time_batching),
            ("sparsity", self.sparsity == "skip"),
            ("memory stalls", self.stalls),
            ("vector", self.vector),
        )
        return tuple(name for name, on in chosen if on)
