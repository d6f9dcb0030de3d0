"""E, B and W of every window: first the tasks of all layers, then the edges between them.

Three simplifications. The gradients of biases, norms and thresholds, a few values that E has at hand,
go to the update with those of W. Where no gradient comes back (to the last step of a layer that
only closes a loop), its tasks multiply zeros like any others. And what a PSU or RPSU multiplies twice
over time, through its sigmoid, counts in the window it belongs to, though others compute it again.
"""

from __future__ import annotations

from spikepipe_sched.layer import INPUT, LEARNED, Shape
from spikepipe_sched.lower.forward import read_current, read_output, read_producers, read_state, read_weights, seen_windows
from spikepipe_sched.lower.graph import GraphBuilder
from spikepipe_sched.lower.plan import OPERANDS, Plan, byte_count, task_name
from spikepipe_sched.lower.sites import Producer, Site
from spikepipe_sched.lower.windows import Window
from spikepipe_sched.lower.work import error_work, input_gradient_work, synapse_error_work, temporal_gradient_work, weight_gradient_work


def add_tasks(plan: Plan, graph: GraphBuilder, site: Site) -> None:
    """The tasks E, B and W of one layer."""
    name, layer = site.name, site.layer
    for place, window in enumerate(plan.windows[name]):
        w, t = window.index, window.steps
        if plan.hosts[name] is None:
            part = "neuron" if layer.parallel else ""
            graph.add(plan.carrier(site, window), kind="E", layer=name, window=w, part=part, works=plan.once(error_work, site, t))
        if _reaches_synapses(site):
            works = plan.once(synapse_error_work, site, t, sum(other.steps for other in _later(plan, site, place)))
            graph.add(plan.synapse_error(site, window), kind="E", layer=name, window=w, part="synapse", works=works)
        for part, _ in _gradients(plan, site):
            works = plan.once(input_gradient_work, site, t, part)
            graph.add(task_name("B", name, w, part), kind="B", layer=name, window=w, part=part, works=works)
        if layer.trainable:
            part = "synapse" if layer.neuron in LEARNED else ""
            works = plan.once(weight_gradient_work, site, t)
            graph.add(task_name("W", name, w, part), kind="W", layer=name, window=w, part=part, works=works)
        if layer.neuron in LEARNED:
            works = plan.once(temporal_gradient_work, site, t, sum(other.steps for other in seen_windows(plan, site, place)))
            graph.add(task_name("W", name, w, "neuron"), kind="W", layer=name, window=w, part="neuron", works=works)


def add_edges(plan: Plan, graph: GraphBuilder, site: Site) -> None:
    """What the tasks E, B and W of one layer read."""
    name, setup, elements = site.name, plan.setup, plan.per_step(site.shape)
    for place, window in enumerate(plan.windows[name]):
        w, t, carrier = window.index, window.steps, plan.carrier(site, window)
        _keep(graph, plan.output_task(site, window), carrier, f"{name}.stash[{w}]")
        later = plan.next_in_segment(site, place)
        if site.layer.stateful and later is not None:
            size = byte_count(elements, setup.gradient_bits)
            graph.connect(plan.carrier(site, later), carrier, {f"{name}.state_grad[{later.index}]": size})
        _gather_gradients(plan, graph, site, carrier, window)
        if plan.recomputes(site):
            read_producers(plan, graph, site, carrier, window)
            read_state(plan, graph, site, carrier, place)
            read_weights(plan, graph, site, carrier, "weights")
        read_weights(plan, graph, site, carrier, "recurrent", *(() if site.layer.parallel else ("norm",)))
        if site.layer.parallel:
            _temporal_edges(plan, graph, site, place)
        error = plan.synapse_error(site, window)
        delta = {f"{name}.error[{w}]": byte_count(elements * t, setup.gradient_bits)}
        if not _reaches_synapses(site) and site.layer.parallel:
            continue  # only the weights over time learn
        for part, _ in _gradients(plan, site):
            dgrad = task_name("B", name, w, part)
            graph.connect(error, dgrad, delta)
            if part:  # of a product each operand's gradient takes the other operand
                read_producers(plan, graph, site, dgrad, window, only=site.producers[1 - OPERANDS.index(part)])
            read_weights(plan, graph, site, dgrad, "weights")
        if site.layer.trainable:
            task = task_name("W", name, w, "synapse" if site.layer.neuron in LEARNED else "")
            graph.connect(error, task, delta)
            read_producers(plan, graph, site, task, window)
            if site.layer.recurrence != "none":
                if window.steps > 1:  # the outputs of its last step are for the window behind
                    read_output(plan, graph, site, window, task, name)
                read_state(plan, graph, site, task, place, membrane=False)
            _send_gradient(plan, graph, site, task, "gradient", ("weights", "recurrent", "norm"))


def _reaches_synapses(site: Site) -> bool:
    """Whether a parallel neuron's error goes on to its currents: something there, or upstream, has weights."""
    return site.layer.parallel and (site.layer.trainable or site.has_dgrad)


def _gradients(plan: Plan, site: Site) -> list[tuple[str, Producer]]:
    """The B tasks of a layer, by part: they exist where something upstream has weights."""
    if site.layer.kind == "matmul":
        return [(part, p) for part, p in zip(OPERANDS, site.producers, strict=True) if p.site != INPUT and plan.sites[p.site].needs_error]
    return [("", site.producers[0])] if site.layer.trainable and site.has_dgrad else []


def _later(plan: Plan, site: Site, place: int) -> tuple[Window, ...]:
    """The windows whose errors come back to a parallel neuron's window: `seen_windows`, mirrored, within its segment."""
    windows, segment = plan.windows[site.name], plan.segments[site.name]
    reach = windows if site.layer.neuron == "psn" else windows[place:]
    return tuple(w for w in reach if segment[w.index] == segment[windows[place].index])


def _keep(graph: GraphBuilder, source: str, target: str, tensor: str) -> None:
    stash = graph.graph.nodes[source]["stash_bytes"]
    if stash:
        graph.connect(source, target, {tensor: stash})


def _temporal_edges(plan: Plan, graph: GraphBuilder, site: Site, place: int) -> None:
    """E at the synapses reads the errors at the neurons; W of the T x T weights those and the currents."""
    name, window = site.name, plan.windows[site.name][place]
    error = task_name("E", name, window.index, "synapse")

    # The error goes back through the sigmoid of a PSU or RPSU, too: its derivative comes along.
    carried = 2 if site.layer.neuron in ("psu", "rpsu") else 1

    def read_error(other: Window, target: str) -> None:
        size = byte_count(carried * plan.per_step(site.shape) * other.steps, plan.setup.gradient_bits)
        graph.connect(plan.carrier(site, other), target, {f"{name}.neuron_error[{other.index}]": size})

    if _reaches_synapses(site):
        for other in _later(plan, site, place):
            read_error(other, error)
        _keep(graph, task_name("F", name, window.index, "synapse"), error, f"{name}.norm_stash[{window.index}]")
        read_weights(plan, graph, site, error, "temporal", "norm")
    if site.layer.neuron in LEARNED:
        task = task_name("W", name, window.index, "neuron")
        for other in _later(plan, site, place) if site.layer.neuron == "rpsu" else (window,):  # the sigmoid acts on later steps
            read_error(other, task)
        for other in seen_windows(plan, site, place):  # of all segments, as recurrent weights take the step before
            read_current(plan, graph, site, other, task)
        _send_gradient(plan, graph, site, task, "temporal_gradient", ("temporal",))


def _send_gradient(plan: Plan, graph: GraphBuilder, site: Site, task: str, tensor: str, parts: tuple[str, ...]) -> None:
    """A gradient has as many values as the weights it belongs to."""
    counts = plan.weight_counts[site.name]
    values = sum(counts.get(part, 0) for part in parts)
    graph.connect(task, task_name("U", site.name), {f"{site.name}.{tensor}": byte_count(values, plan.setup.gradient_bits)})


def _gather_gradients(plan: Plan, graph: GraphBuilder, site: Site, carrier: str, window: Window) -> None:
    """What E reads: the gradients its consumers send back, and the loss."""
    for consumer in (plan.sites[name] for name in site.consumers):
        for index, producer in enumerate(consumer.producers):
            if producer.site != site.name:
                continue
            for theirs in plan.reading_windows(consumer, producer, window):
                source, tensor, shape = _gradient_from(plan, consumer, index, theirs)
                size = byte_count(plan.per_step(shape) * theirs.steps, plan.setup.gradient_bits)
                if source != carrier:
                    graph.connect(source, carrier, {f"{tensor}[{theirs.index}]": size})
    for view in site.outputs:
        # The loss of a spike-rate code needs the outputs of all windows.
        for other in plan.windows[site.name] if plan.setup.loss == "sequence" else (window,):
            read_output(plan, graph, site, other, carrier, view)


def _gradient_from(plan: Plan, consumer: Site, index: int, window: Window) -> tuple[str, str, Shape]:
    """The task of a consumer that has the gradient of its ``index``-th input, the tensor's name, and its shape."""
    name, view = consumer.name, consumer.producers[index].view
    if consumer.layer.kind == "matmul":
        return task_name("B", name, window.index, OPERANDS[index]), f"{name}.{OPERANDS[index]}_grad", plan.shapes[view]
    if consumer.layer.trainable:
        return task_name("B", name, window.index), f"{name}.input_grad", plan.shapes[view]
    source = plan.synapse_error(consumer, window)
    if consumer.layer.kind == "concat":  # only this producer's channels come back
        return source, f"{name}.error.{consumer.layer.inputs[index]}", plan.shapes[consumer.layer.inputs[index]]
    return source, f"{name}.error", consumer.shape
