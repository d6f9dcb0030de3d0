"""Network x TrainingSetup x Platform -> task graph (back-propagation through time).

For every layer l with weights and every window w the graph holds the forward task F(l,w), the
activation gradient B(l,w), the weight gradient W(l,w), and one update U(l); E(l,w), the error at
the layer's synapses, is a task of its own only where it cannot ride on the B that feeds it. Layers
without weights have F and E; a product of two activations has a B for each operand and no W.
A parallel neuron has no chain over time: its F is split into ``part`` synapse and neuron (T x T
products over the windows up to its own), its E likewise, and learned T x T weights have a W.

Node attributes: ``kind`` (F, E, B, W, U), ``layer``, ``window`` (-1 for U), ``part``, ``cycles``
({processor class: cycles}), ``macs``, ``weight_bytes``, ``output_bytes``, ``stash_bytes``.
Edge attributes: ``tensors`` ({name: bytes}), ``bytes`` (their sum), ``lag``, and either
``distance`` (iterations the edge spans) or ``delay_layer`` (the layer whose gradient delay it is).
A tensor is known by its name: edges that carry the same one carry the same bytes, and a name
that several tasks produce is their sum (the weight gradient).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from spikepipe_sched.collector import paused_collector
from spikepipe_sched.cost import CostModel, Work
from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.lower.backward import add_edges, add_tasks
from spikepipe_sched.lower.forward import lower_forward
from spikepipe_sched.lower.graph import GraphBuilder, TaskGraph
from spikepipe_sched.lower.plan import Plan, byte_count, task_name
from spikepipe_sched.lower.split import Split, split_tasks
from spikepipe_sched.network import Network
from spikepipe_sched.order import topological_order
from spikepipe_sched.platform import Platform
from spikepipe_sched.step import callable_module
from spikepipe_sched.training import TrainingSetup

__all__ = ["Split", "TaskGraph", "byte_count", "lower", "lower_with_works", "task_name"]


def lower(network: Network, setup: TrainingSetup, platform: Platform, *, cost: CostModel | None = None, splits: Sequence[Split] = ()) -> TaskGraph:
    """The task graph of one iteration, annotated with cycles and bytes.

    Parameters
    ----------
    cost
        What the cycles are made of; the closed form of SCALE-Sim and the vector unit if not given.
    splits
        Tasks that are cut into parts, which may then run on different processors.

    Raises
    ------
    InputError
        If the windows do not fit the time steps or the network cannot be lowered.
    """
    graph, _ = lower_with_works(network, setup, platform, cost=cost, splits=splits)
    return graph


def lower_with_works(
    network: Network, setup: TrainingSetup, platform: Platform, *, cost: CostModel | None = None, splits: Sequence[Split] = ()
) -> tuple[TaskGraph, dict[str, tuple[Work, ...]]]:
    """`lower`, and the pieces of work of every task: matrix products and element-wise operations."""
    with paused_collector():
        builder = GraphBuilder(platform, CostModel() if cost is None else cost)
        graph = _build(Plan(network, setup), builder, tuple(splits))
        _refuse_cycles(network, graph)
    return graph, builder.works


def _build(plan: Plan, builder: GraphBuilder, splits: tuple[Split, ...]) -> TaskGraph:
    for site in plan.sites.values():
        lower_forward(plan, builder, site)
    trained = [site for site in reversed(plan.sites.values()) if site.needs_error]
    for site in trained:
        add_tasks(plan, builder, site)
    for site in trained:
        add_edges(plan, builder, site)
    split_tasks(plan, builder, splits)
    setup = plan.setup
    return builder.finish(
        name=plan.network.name,
        samples_per_iteration=setup.batch,
        windows=setup.windows,
        membrane=setup.membrane,
        layers=tuple(plan.sites),
        network=plan.network,
        training=setup,
    )


def _refuse_cycles(network: Network, graph: TaskGraph) -> None:
    """Prove that tasks of one iteration do not wait for each other in a circle."""
    place = {task: i for i, task in enumerate(graph)}
    source, target = array("q"), array("q")
    for task, edges in graph.adjacency():
        inside = [place[other] for other, data in edges.items() if data.get("distance") == 0]
        source.extend([place[task]] * len(inside))
        target.extend(inside)
    if topological_order(len(place), np.array(source), np.array(target)) is None:  # a defect of the lowering, never of the input
        raise SpikepipeError(f"lowering '{network.name}' made a cycle inside an iteration")


callable_module(__name__, lower)
