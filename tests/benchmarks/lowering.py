"""How long lowering takes and how much memory, for a deep network step by step and for a million tasks; see `main`."""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import networkx as nx

import spikepipe_sched as sched
from spikepipe_sched import Layer, Network, Problem, TrainingSetup


def chain(layers: int, time_steps: int) -> Network:
    """Fully connected LIF layers of 64 neurons, one behind the other."""
    names = ["input", *(f"l{i}" for i in range(layers))]
    made = tuple(Layer(name=name, kind="linear", inputs=(before,), out_features=64, neuron="lif") for before, name in itertools.pairwise(names))
    return Network(name="chain", input_shape=(64,), time_steps=time_steps, layers=made)


def networkx_alone(graph: nx.DiGraph[str]) -> float:
    """CPU seconds that networkx takes to add the same tasks and edges with attributes that are there already."""
    nodes, edges = list(graph.nodes(data=True)), list(graph.edges(data=True))
    began = time.process_time()
    copy: nx.DiGraph[str] = nx.DiGraph()
    copy.add_nodes_from(nodes)
    copy.add_edges_from(edges)
    return time.process_time() - began


def measure(title: str, make: Callable[[], tuple[Network, TrainingSetup]], *, problem: bool) -> None:
    """Lower (and compile) one network, and print what it took."""
    network, setup = make()
    platform = sched.load_platform("array32")
    _ = sched.lower.__doc__, Problem.__doc__  # imported before the clock starts
    began = time.process_time()
    graph = sched.lower(network, setup, platform)
    lowered = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = f"{title}: {len(graph):,} tasks, {graph.number_of_edges():,} edges, lowered in {lowered:.1f} s CPU, {peak:.2f} GiB"
    if problem:
        began = time.process_time()
        Problem.from_graph(graph, platform)
        line += f"; compiled in {time.process_time() - began:.1f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
    print(f"{line}; {lowered / networkx_alone(graph):.1f} times what networkx alone takes", flush=True)


def vgg() -> tuple[Network, TrainingSetup]:
    """VGG-16 with a hundred windows of one step."""
    return replace(sched.load_network("vgg16"), time_steps=100), TrainingSetup(windows=100)


def long() -> tuple[Network, TrainingSetup]:
    """A million tasks: 3,340 layers in a hundred windows each."""
    return chain(3340, 100), TrainingSetup(windows=100, loss="step")


def deep() -> tuple[Network, TrainingSetup]:
    """A million tasks: 250,001 layers in one window each."""
    return chain(250_001, 4), TrainingSetup()


def main() -> None:
    """Print CPU time, peak memory, and the time as a multiple of networkx's own, each case in a process of its own."""
    for title, make, problem in (("vgg16, T = windows = 100", vgg, True), ("chain of windows", long, True), ("chain of layers", deep, False)):
        child = multiprocessing.get_context("spawn").Process(target=measure, args=(title, make), kwargs={"problem": problem})
        child.start()
        child.join()


if __name__ == "__main__":
    main()
