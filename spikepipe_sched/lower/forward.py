"""F of every window, and U: tasks and the edges between them."""

from __future__ import annotations

from spikepipe_sched.layer import INPUT
from spikepipe_sched.lower.graph import GraphBuilder
from spikepipe_sched.lower.plan import Plan, byte_count, task_name
from spikepipe_sched.lower.sites import Producer, Site
from spikepipe_sched.lower.windows import Window
from spikepipe_sched.lower.work import forward_work, neuron_work, synapse_work, update_work


def lower_forward(plan: Plan, graph: GraphBuilder, site: Site) -> None:
    """Add U(l) and F(l,w), and what they read; the producers, loops aside, are there."""
    if site.has_weights:
        _update(plan, graph, site)
    for place, window in enumerate(plan.windows[site.name]):
        task = _parallel(plan, graph, site, place) if site.layer.parallel else _whole(plan, graph, site, place)
        read_producers(plan, graph, site, task, window)


def read_output(plan: Plan, graph: GraphBuilder, site: Site, window: Window, target: str, view: str) -> None:
    """``target`` reads the output of ``site`` in a window, as seen behind its pools."""
    size = byte_count(plan.per_step(plan.shapes[view]) * window.steps, plan.bits(view))
    graph.connect(plan.output_task(site, window), target, {f"{view}.out[{window.index}]": size})


def read_producers(plan: Plan, graph: GraphBuilder, site: Site, target: str, window: Window, *, only: Producer | None = None) -> None:
    """``target`` reads what F(site, window) reads: outputs of the producers, the network's input being free."""
    for producer in site.producers if only is None else (only,):
        if producer.site == INPUT:
            continue
        for theirs in plan.read_windows(site, producer, window):
            read_output(plan, graph, plan.sites[producer.site], theirs, target, producer.view)


def read_weights(plan: Plan, graph: GraphBuilder, site: Site, target: str, *parts: str) -> None:
    """``target`` reads these of the layer's weights, with the layer's delay."""
    sizes = plan.weight_bytes[site.name]
    tensors = {f"{site.name}.{part}": sizes[part] for part in parts if part in sizes}
    if tensors:
        graph.connect(task_name("U", site.name), target, tensors, delay_layer=site.name)


def read_state(plan: Plan, graph: GraphBuilder, site: Site, target: str, place: int, *, membrane: bool = True) -> None:
    """``target`` reads what the window before left: membranes, and for a recurrent layer its last spikes."""
    if place == 0 or not site.layer.stateful:
        return
    before, elements = plan.windows[site.name][place - 1], plan.per_step(site.shape)
    tensors = {f"{site.name}.state[{before.index}]": byte_count(elements, plan.setup.membrane_bits)} if membrane else {}
    if site.layer.recurrence != "none":
        tensors[f"{site.name}.last[{before.index}]"] = byte_count(elements, plan.bits(site.name))
    if tensors:
        graph.connect(plan.output_task(site, before), target, tensors)


def _update(plan: Plan, graph: GraphBuilder, site: Site) -> None:
    name, setup, count = site.name, plan.setup, plan.parameters[site.name]
    own = plan.weight_bytes[site.name]
    task = task_name("U", name)
    graph.add(task, kind="U", layer=name, works=plan.once(update_work, site), weight_bytes=sum(own.values()))
    tensors = {f"{name}.{part}": size for part, size in own.items()}
    tensors[f"{name}.optimizer"] = byte_count(count * setup.optimizer_state, setup.weight_bits)
    graph.connect(task, task, {tensor: size for tensor, size in tensors.items() if size}, distance=1)


def _whole(plan: Plan, graph: GraphBuilder, site: Site, place: int) -> str:
    window, weights = plan.windows[site.name][place], plan.weight_bytes[site.name]
    task = plan.output_task(site, window)
    graph.add(
        task,
        kind="F",
        layer=site.name,
        window=window.index,
        works=plan.once(forward_work, site, window.steps),
        stash_bytes=plan.stash_bytes(site, window.steps),
    )
    read_state(plan, graph, site, task, place)
    read_weights(plan, graph, site, task, *weights)
    return task


def _parallel(plan: Plan, graph: GraphBuilder, site: Site, place: int) -> str:
    """The synapses, and the products over time behind them; returns the task that reads the producers."""
    name, setup, window, elements = site.name, plan.setup, plan.windows[site.name][place], plan.per_step(site.shape)
    t, weights = window.steps, [part for part in plan.weight_bytes[site.name] if part != "temporal"]
    synapse, neuron = task_name("F", name, window.index, "synapse"), plan.output_task(site, window)
    stash = byte_count(elements * t, setup.activation_bits) if site.layer.norm == "batch" else 0
    works = plan.once(synapse_work, site, t)
    graph.add(synapse, kind="F", layer=name, window=window.index, part="synapse", works=works, stash_bytes=stash)
    read_weights(plan, graph, site, synapse, *weights)

    seen = seen_windows(plan, site, place)
    # The membrane, and in PSU and RPSU the argument of the sigmoid, which would take a product to compute again.
    kept = 2 if site.layer.neuron in ("psu", "rpsu") else 1
    works = plan.once(neuron_work, site, t, sum(w.steps for w in seen))
    stash = plan.stash_bytes(site, t) + byte_count(kept * elements * t, setup.membrane_bits)
    graph.add(neuron, kind="F", layer=name, window=window.index, part="neuron", works=works, stash_bytes=stash)
    read_weights(plan, graph, site, neuron, "temporal")
    for other in seen:
        read_current(plan, graph, site, other, neuron)
    return synapse


def seen_windows(plan: Plan, site: Site, place: int) -> tuple[Window, ...]:
    """The windows whose currents a parallel neuron's window takes in."""
    windows = plan.windows[site.name]
    return windows if site.layer.neuron == "psn" else windows[: place + 1]


def read_current(plan: Plan, graph: GraphBuilder, site: Site, window: Window, target: str) -> None:
    """``target`` reads the synaptic currents of a parallel neuron in a window."""
    size = byte_count(plan.per_step(site.shape) * window.steps, plan.setup.activation_bits)
    graph.connect(task_name("F", site.name, window.index, "synapse"), target, {f"{site.name}.current[{window.index}]": size})
