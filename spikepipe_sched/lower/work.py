"""Matrix products and element-wise operations of each task (GEMM shapes: M x K x N)."""

from __future__ import annotations

import math
from typing import Final, TypedDict

from spikepipe_sched.cost import Gemm, Pass, Work
from spikepipe_sched.layer import SPIKING
from spikepipe_sched.lower.plan import OPERANDS, Plan
from spikepipe_sched.lower.sites import Site
from spikepipe_sched.training import NEURON_OPS, NORM_OPS, SELF_OPS

#: T x T products of parallel neurons (PSU, IPSU, RPSU: arXiv:2402.00449; PSN: arXiv:2304.12760).
TEMPORAL_PRODUCTS: Final = {"psu": 2, "ipsu": 1, "rpsu": 3, "psn": 1}


def synapses(plan: Plan, site: Site, part: Pass, t: int, operand: str = "") -> tuple[Gemm, ...]:
    """The products of F, B or W over ``t`` time steps, recurrent weights aside.

    ``operand`` names the side of a matmul whose gradient B computes.
    """
    layer, setup, batch = site.layer, plan.setup, plan.setup.batch
    if layer.kind == "matmul":
        return (_matmul(plan, site, part, t, operand),)
    if not layer.trainable:
        return ()
    view, weight, gradient = site.producers[0].view, setup.weight_bits, setup.gradient_bits
    source, image = plan.shapes[layer.inputs[0]], layer.kind == "conv2d"
    if image:
        positions, groups, area = math.prod(site.shape[1:]), layer.groups, math.prod(layer.kernel)
        k, n = source[0] // groups * area, layer.out_channels // groups
    else:
        positions, groups, area, k, n = math.prod(site.shape[:-1]), 1, 1, source[-1], layer.out_features
    m = batch * t * positions
    # A kernel larger than its stride reads pixels again and again; in DRAM they lie once.
    pixels = batch * t * math.prod(source) // groups
    distinct = pixels if image and pixels < m * k else None
    if part == "B":
        rows, inner, cols, errors = m, n, k, None
        if image and setup.dgrad == "transposed":
            rows, inner, cols = batch * t * math.prod(source[1:]), n * area, source[0] // groups
            errors = min(m * n, rows * inner)
        share = _spikes(_error_density(plan, site), t)
        return (Gemm(m=rows, k=inner, n=cols, count=groups, left_bits=gradient, right_bits=weight, out_bits=gradient, left_values=errors, steps=t, **share),)
    if part == "F":
        share = _spikes(plan.rates[view], t)
        bits = plan.written_bits(site)
        return (Gemm(m=m, k=k, n=n, count=groups, left_bits=plan.bits(view), right_bits=weight, out_bits=bits, left_values=distinct, steps=t, **share),)
    share = _spikes(plan.rates[view], 1)  # a contracted position is one step
    return (
        Gemm(
            m=k,
            k=m,
            n=n,
            count=groups,
            left_bits=plan.bits(view),
            right_bits=gradient,
            out_bits=gradient,
            steps=t,
            left_values=distinct,
            time_axis="k",
            **share,
        ),
    )


class _Share(TypedDict):
    density: float
    activity: float


def _spikes(rate: float, t: int) -> _Share:
    """A neuron of this rate is silent over t steps with probability (1 - p)^t."""
    return {"density": 1.0 - (1.0 - rate) ** t, "activity": rate}


def _error_density(plan: Plan, site: Site) -> float:
    """Share of nonzero errors at the synapses; normalisation and products over time leave none at zero."""
    sparse = site.layer.neuron in SPIKING and not site.layer.parallel and site.layer.norm == "none"
    return plan.setup.error_density if sparse else 1.0


def _matmul(plan: Plan, site: Site, part: Pass, t: int, operand: str) -> Gemm:
    """C = A B of every sample, step and head: dA = dC B^T, dB = A^T dC."""
    layer, setup = site.layer, plan.setup
    left, right = (plan.shapes[name] for name in layer.inputs)
    rows, inner, cols = (left[0], left[1] // layer.heads, right[0]) if layer.transpose else (left[1], left[2], right[1] // layer.heads)
    bits = {"left": plan.bits(site.producers[0].view), "right": plan.bits(site.producers[1].view)}
    count = setup.batch * t * layer.heads
    spikes = _spikes(plan.rates[site.producers[0].view], 1)
    if part == "F":
        return Gemm(m=rows, k=inner, n=cols, count=count, **spikes, left_bits=bits["left"], right_bits=bits["right"], out_bits=plan.written_bits(site))
    gradient = setup.gradient_bits
    if operand == "left":
        share = _spikes(_error_density(plan, site), 1)
        return Gemm(m=rows, k=cols, n=inner, count=count, **share, left_bits=gradient, right_bits=bits["right"], out_bits=gradient)
    # dB of the transposed operand is dC^T A; both forms have the same sizes up to the order of the operands.
    return Gemm(m=inner, k=rows, n=cols, count=count, **spikes, left_bits=bits["left"], right_bits=gradient, out_bits=gradient)


def recurrence(plan: Plan, site: Site, part: Pass, t: int) -> tuple[Gemm, ...]:
    """N x N recurrent weights: step by step in F and E (the chain over time), in one product in W."""
    if site.layer.recurrence != "full":
        return ()
    setup, n = plan.setup, site.layer.out_features
    rows = setup.batch * math.prod(site.shape[:-1])
    spikes, gradient = plan.bits(site.name), setup.gradient_bits
    rate = plan.rates[site.name]
    if part == "W":
        share = _spikes(rate, 1)
        return (Gemm(m=n, k=rows * t, n=n, left_bits=spikes, right_bits=gradient, out_bits=gradient, steps=t, time_axis="k", **share),)
    share = _spikes(rate if part == "F" else _error_density(plan, site), 1)
    left, out = (spikes, setup.activation_bits) if part == "F" else (gradient, gradient)
    return (Gemm(m=rows, k=n, n=n, count=t, left_bits=left, right_bits=setup.weight_bits, out_bits=out, **share),)


def temporal(plan: Plan, site: Site, part: Pass, t: int, span: int) -> tuple[Gemm, ...]:
    """Products over time of a parallel neuron: ``t`` steps of a window with ``span`` steps in all.

    F: t x span x (batch * neurons); E the same, mirrored; W: t x (batch * neurons) x span, of the one
    T x T matrix that is learned.
    """
    setup, width = plan.setup, plan.per_step(site.shape)
    if part == "W":
        return (Gemm(m=t, k=width, n=span, left_bits=setup.gradient_bits, right_bits=setup.activation_bits, out_bits=setup.gradient_bits),)
    moving = setup.activation_bits if part == "F" else setup.gradient_bits
    return (Gemm(m=t, k=span, n=width, count=TEMPORAL_PRODUCTS[site.layer.neuron], left_bits=setup.weight_bits, right_bits=moving, out_bits=moving),)


def forward_ops(plan: Plan, site: Site, part: str = "") -> tuple[int, int]:
    """Vector operations of F in one time step, and how many kernels they are.

    ``part``: ``synapse`` (sum, normalisation) or ``neuron`` (neuron, pools) alone.
    """
    layer, elements = site.layer, plan.per_step(site.shape)
    before = [elements * (len(layer.inputs) - 1) if layer.kind == "add" else 0, elements * NORM_OPS[0] if layer.norm == "batch" else 0]
    behind = [elements * NEURON_OPS[layer.neuron][0], elements * SELF_OPS if layer.recurrence == "self" else 0]
    behind += [plan.per_step(pool.shape) for pool in site.pools]
    return _total({"": before + behind, "synapse": before, "neuron": behind}[part])


def error_ops(plan: Plan, site: Site, part: str = "") -> tuple[int, int]:
    """The same of E: sum of the gradients, pools, loss and neuron, then normalisation."""
    layer, elements = site.layer, plan.per_step(site.shape)
    sources = sum(p.site == site.name for name in site.consumers for p in plan.sites[name].producers) + len(site.outputs)
    behind = [elements * NEURON_OPS[layer.neuron][1], elements * (sources - 1), elements * SELF_OPS if layer.recurrence == "self" else 0]
    behind += [plan.per_step(pool.shape) for pool in site.pools]
    behind += [plan.per_step(plan.shapes[view]) * plan.setup.loss_ops for view in site.outputs]
    before = [elements * NORM_OPS[1] if layer.norm == "batch" else 0]
    return _total({"": before + behind, "synapse": before, "neuron": behind}[part])


def _total(kernels: list[int]) -> tuple[int, int]:
    return sum(kernels), sum(1 for ops in kernels if ops)


def forward_work(plan: Plan, site: Site, t: int) -> Work:
    """F of a whole window; also what E does again where membranes are recomputed."""
    ops, calls = forward_ops(plan, site)
    return Work(gemms=synapses(plan, site, "F", t) + recurrence(plan, site, "F", t), vector_ops=ops * t, vector_calls=calls, part="F")


def synapse_work(plan: Plan, site: Site, t: int) -> Work:
    """The part of F in front of a parallel neuron."""
    ops, calls = forward_ops(plan, site, "synapse")
    return Work(gemms=synapses(plan, site, "F", t), vector_ops=ops * t, vector_calls=calls, part="F")


def neuron_work(plan: Plan, site: Site, t: int, span: int) -> Work:
    """A parallel neuron, whose ``t`` steps take in ``span`` steps."""
    ops, calls = forward_ops(plan, site, "neuron")
    return Work(gemms=temporal(plan, site, "F", t, span), vector_ops=ops * t, vector_calls=calls, part="F")


def error_work(plan: Plan, site: Site, t: int) -> tuple[Work, ...]:
    """E at the neurons of a window: what rides on a consumer's B, or is a task of its own."""
    ops, calls = error_ops(plan, site, "neuron" if site.layer.parallel else "")
    own = Work(gemms=recurrence(plan, site, "B", t), vector_ops=ops * t, vector_calls=calls, part="B")
    return (forward_work(plan, site, t), own) if plan.recomputes(site) else (own,)


def synapse_error_work(plan: Plan, site: Site, t: int, span: int) -> Work:
    """E from a parallel neuron back to its currents."""
    ops, calls = error_ops(plan, site, "synapse")
    return Work(gemms=temporal(plan, site, "B", t, span), vector_ops=ops * t, vector_calls=calls, part="B")


def input_gradient_work(plan: Plan, site: Site, t: int, operand: str) -> tuple[Work, ...]:
    """B, and the E of the producer that rides on it."""
    own = Work(gemms=synapses(plan, site, "B", t, operand), part="B")
    producer = site.producers[OPERANDS.index(operand) if operand else 0].site
    return (own, *error_work(plan, plan.sites[producer], t)) if plan.hosts[producer] == (site.name, operand) else (own,)


def weight_gradient_work(plan: Plan, site: Site, t: int) -> Work:
    """W at the synapses."""
    ops = plan.per_step(site.shape) * t * SELF_OPS if site.layer.recurrence == "self" else 0
    return Work(gemms=synapses(plan, site, "W", t) + recurrence(plan, site, "W", t), vector_ops=ops, vector_calls=1 if ops else 0, part="W")


def temporal_gradient_work(plan: Plan, site: Site, t: int, span: int) -> Work:
    """W of the T x T weights of a parallel neuron."""
    return Work(gemms=temporal(plan, site, "W", t, span), part="W")


def update_work(plan: Plan, site: Site) -> Work:
    """U."""
    return Work(gemms=(), vector_ops=plan.parameters[site.name] * plan.setup.optimizer_ops, vector_calls=1, part="W")
