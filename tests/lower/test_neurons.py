"""Neuron models, recurrence and normalisation: their tasks, work and bytes by hand."""

from __future__ import annotations

from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.layer import Layer, NeuronKind
from spikepipe_sched.lower import lower_with_works
from spikepipe_sched.network import Network
from spikepipe_sched.problem import Problem
from spikepipe_sched.training import TrainingSetup

from .graphs import EDGE8, conv, graph_of, kinds, linear, macs

# Two samples, 6 -> 4 parallel neurons -> 3 LIF neurons, four steps in two windows of two.


def parallel(neuron: NeuronKind, **fields: Any) -> tuple[Layer, Layer]:
    return linear("a", "input", neuron=neuron, **fields), linear("b", "a", 3)


@pytest.mark.parametrize(("neuron", "products"), [("psu", 2), ("ipsu", 1), ("rpsu", 3), ("psn", 1)])
def test_a_parallel_neuron_multiplies_over_time(neuron: NeuronKind, products: int) -> None:
    """2 steps x (steps up to the window's end; of a dense PSN all 4) x 8 values, products times."""
    graph = graph_of(*parallel(neuron), windows=2)
    assert {task for task in kinds(graph, "F") if "(a" in task} == {"F(a,0,synapse)", "F(a,1,synapse)", "F(a,0,neuron)", "F(a,1,neuron)"}
    spans = (4, 4) if neuron == "psn" else (2, 4)
    assert [macs(graph, f"F(a,{w},neuron)") for w in (0, 1)] == [products * 2 * span * 8 for span in spans]
    assert [macs(graph, f"E(a,{w},synapse)") for w in (0, 1)] == [products * 2 * span * 8 for span in (spans if neuron == "psn" else (4, 2))]
    assert macs(graph, "F(a,0,synapse)") == 2 * 2 * 6 * 4


def test_a_parallel_neuron_has_no_chain_over_time() -> None:
    graph = graph_of(*parallel("psu"), windows=2)
    assert not graph.has_edge("F(a,0,neuron)", "F(a,1,neuron)")
    assert graph.has_edge("F(a,0,synapse)", "F(a,1,neuron)")
    assert not graph.has_edge("F(a,1,synapse)", "F(a,0,neuron)")
    assert graph.has_edge("F(a,0,neuron)", "F(b,0)")
    assert graph.has_edge("F(b,0)", "F(b,1)")  # the LIF layer behind it has one
    assert graph.edges["F(a,0,synapse)", "F(a,1,neuron)"]["tensors"] == {"a.current[0]": 2 * 4 * 2 * 2}


def test_errors_of_a_parallel_neuron_come_from_its_later_windows() -> None:
    graph = graph_of(*parallel("psu"), windows=2)
    assert graph.has_edge("B(b,1)", "E(a,0,synapse)")
    assert not graph.has_edge("B(b,0)", "E(a,1,synapse)")
    assert set(graph.successors("E(a,0,synapse)")) == {"W(a,0)"}


@pytest.mark.parametrize(("neuron", "values"), [("ipsu", 1), ("psu", 2), ("rpsu", 2)])
def test_errors_pass_the_sigmoid_of_a_parallel_unit_with_its_derivative(neuron: NeuronKind, values: int) -> None:
    graph = graph_of(*parallel(neuron), windows=2)
    assert graph.edges["B(b,1)", "E(a,0,synapse)"]["tensors"] == {"a.neuron_error[1]": values * 2 * 4 * 2 * 2}
    # The learned argument of RPSU's sigmoid acts on later steps: so does what it learns from.
    assert graph.has_edge("B(b,1)", "W(a,0,neuron)") == (neuron == "rpsu")
    assert not graph.has_edge("B(b,0)", "W(a,1,neuron)")


def test_a_dense_parallel_neuron_waits_for_all_windows() -> None:
    graph = graph_of(*parallel("psn"), windows=2)
    assert graph.has_edge("F(a,1,synapse)", "F(a,0,neuron)")
    assert graph.has_edge("B(b,0)", "E(a,1,synapse)")


@pytest.mark.parametrize(("neuron", "learned"), [("psu", 0), ("ipsu", 20), ("rpsu", 20), ("psn", 20)])
def test_learned_weights_over_time_have_a_gradient_and_a_delay(neuron: NeuronKind, learned: int) -> None:
    """4 x 4 weights and 4 offsets beside 6 x 4 synapses, 2 bytes each."""
    graph = graph_of(*parallel(neuron), windows=2)
    assert graph.nodes["U(a)"]["weight_bytes"] == 2 * (24 + learned)
    assert ("W(a,0,neuron)" in graph) == (learned > 0)
    if learned:
        spans = (4, 4) if neuron == "psn" else (2, 4)
        assert [macs(graph, f"W(a,{w},neuron)") for w in (0, 1)] == [2 * 8 * span for span in spans]
        assert graph.edges["W(a,0,neuron)", "U(a)"]["tensors"] == {"a.temporal_gradient": 40}
        assert graph.edges["W(a,0,synapse)", "U(a)"]["tensors"] == {"a.gradient": 48}
        for reader in ("F(a,0,neuron)", "E(a,0,synapse)"):
            assert graph.edges["U(a)", reader]["delay_layer"] == "a"
            assert graph.edges["U(a)", reader]["tensors"] == {"a.temporal": 40}
    else:
        assert not graph.has_edge("U(a)", "F(a,0,neuron)")


def test_a_parallel_neuron_without_synapses_learns_over_time_alone() -> None:
    graph = graph_of(linear("a", "input", neuron="none"), Layer(name="n", kind="neuron", inputs=("a",), neuron="psn"), linear("b", "n"))
    assert graph.nodes["U(n)"]["weight_bytes"] == 2 * 20
    assert "W(n,0,neuron)" in graph
    assert "W(n,0,synapse)" not in graph
    assert not {task for task in kinds(graph, "B") if "(n" in task}


def test_the_sigmoid_of_a_parallel_unit_keeps_its_argument() -> None:
    kept = {neuron: graph_of(*parallel(neuron)).nodes["F(a,0,neuron)"]["stash_bytes"] for neuron in ("psu", "rpsu", "ipsu", "psn")}  # type: ignore[arg-type]
    values = 2 * 4 * 4 * 2
    assert kept == {"psu": 2 * values, "rpsu": 2 * values, "ipsu": values, "psn": values}


def test_self_recurrence_is_element_wise() -> None:
    """One weight a neuron: no product, two operations more in F, E and W each."""
    plain = graph_of(*parallel("lif"), windows=2)
    graph = graph_of(*parallel("lif", recurrence="self"), windows=2)
    assert all(macs(graph, task) == macs(plain, task) for task in graph)
    assert graph.nodes["U(a)"]["weight_bytes"] == 2 * (24 + 4)
    more = {task: graph.nodes[task]["cycles"]["edge8"] - plain.nodes[task]["cycles"]["edge8"] for task in ("F(a,0)", "B(b,0)", "W(a,0)", "F(b,0)")}
    assert more == {"F(a,0)": 2 * 16 // 8, "B(b,0)": 2 * 16 // 8, "W(a,0)": 2 * 16 // 8, "F(b,0)": 0}
    assert graph.edges["U(a)", "B(b,0)"]["tensors"] == {"a.recurrent": 8}


@pytest.mark.parametrize("recurrence", ["full", "self"])
def test_recurrent_weight_gradients_read_the_last_spikes_of_the_window_before(recurrence: str) -> None:
    graph = graph_of(*parallel("lif", recurrence=recurrence), windows=2)
    assert graph.edges["F(a,0)", "W(a,1)"]["tensors"] == {"a.last[0]": 1}
    assert graph.edges["F(a,0)", "F(a,1)"]["tensors"] == {"a.state[0]": 16, "a.last[0]": 1}
    assert not graph.has_edge("F(a,1)", "W(a,0)")


def test_self_recurrent_convolutions_have_a_weight_for_every_neuron() -> None:
    graph = graph_of(conv("a", "input", 2, recurrence="self"), shape=(1, 4, 4))
    assert graph.nodes["U(a)"]["weight_bytes"] == 2 * (9 * 2 + 2 * 16)


def test_normalisation_keeps_its_input_and_two_weights_a_channel() -> None:
    plain, graph = (graph_of(conv("a", "input", 2, norm=norm), conv("b", "a", 2), shape=(1, 4, 4)) for norm in ("none", "batch"))
    values = 2 * 4 * 32
    assert graph.nodes["F(a,0)"]["stash_bytes"] - plain.nodes["F(a,0)"]["stash_bytes"] == 2 * values
    assert graph.nodes["F(a,0)"]["cycles"]["edge8"] - plain.nodes["F(a,0)"]["cycles"]["edge8"] == 4 * values // 8
    assert graph.nodes["B(b,0)"]["cycles"]["edge8"] - plain.nodes["B(b,0)"]["cycles"]["edge8"] == 7 * values // 8
    assert graph.edges["U(a)", "B(b,0)"]["tensors"] == {"a.norm": 2 * 4}
    assert graph.nodes["U(a)"]["weight_bytes"] == 2 * (18 + 4)


def test_relu_keeps_a_bit_and_no_state() -> None:
    graph = graph_of(linear("a", "input", neuron="relu"), linear("b", "a"), windows=2)
    assert not graph.has_edge("F(a,0)", "F(a,1)")
    assert graph.edges["F(a,0)", "B(b,0)"]["tensors"] == {"a.stash[0]": 2}
    assert graph.edges["F(a,0)", "F(b,0)"]["tensors"] == {"a.out[0]": 2 * 4 * 2 * 2}  # real values


def test_neurons_directly_behind_the_input_or_a_pool() -> None:
    first = Layer(name="n", kind="neuron", inputs=("input",), neuron="lif")
    graph = graph_of(first, linear("a", "n"), windows=2)
    assert kinds(graph, "E") == {"E(a,0)", "E(a,1)"}  # nothing in front of a has weights
    assert set(graph.successors("F(n,0)")) == {"F(n,1)", "F(a,0)", "W(a,0)"}
    pool = Layer(name="p", kind="avgpool2d", inputs=("a",), kernel=(2, 2), stride=(2, 2))
    graph = graph_of(
        conv("a", "input", 2, neuron="none"), pool, Layer(name="n", kind="neuron", inputs=("p",), neuron="lif"), conv("b", "n", 1), shape=(1, 4, 4)
    )
    assert graph.has_edge("B(b,0)", "E(a,0)")
    assert graph.edges["F(a,0)", "F(n,0)"]["tensors"] == {"p.out[0]": 2 * 8 * 4 * 2}


@pytest.mark.parametrize(
    ("fields", "setup", "bits"),
    [
        ({}, {}, 1 + 16),  # a spike and its membrane
        ({}, {"membrane": "recompute"}, 1),
        ({"norm": "batch"}, {}, 1 + 16 + 16),
        ({"neuron": "none"}, {}, 16),
        ({"neuron": "psn", "norm": "batch"}, {}, 16 + 16),  # currents before and after
    ],
)
def test_products_write_the_output_and_what_the_backward_pass_needs(fields: dict[str, Any], setup: dict[str, Any], bits: int) -> None:
    net = Network(name="net", input_shape=(6,), time_steps=4, layers=(linear("a", "input", **fields), linear("b", "a")))
    _, works = lower_with_works(net, TrainingSetup(**setup), EDGE8)
    task = "F(a,0,synapse)" if "F(a,0,synapse)" in works else "F(a,0)"
    assert works[task][0].gemms[0].out_bits == bits


def test_a_parallel_neuron_with_nothing_to_train_in_front_passes_no_error_on() -> None:
    graph = graph_of(Layer(name="n", kind="neuron", inputs=("input",), neuron="psn"), linear("a", "n"))
    assert "W(n,0,neuron)" in graph
    assert "E(n,0,synapse)" not in graph


def test_a_leaky_integrator_keeps_nothing() -> None:
    """It is linear in its input: the loss reads its output, the error needs no membrane."""
    graph = graph_of(linear("a", "input"), linear("b", "a", neuron="li"))
    assert graph.nodes["F(b,0)"]["stash_bytes"] == 0
    assert graph.edges["F(b,0)", "E(b,0)"]["tensors"] == {"b.out[0]": 2 * 4 * 4 * 2}


def test_the_two_halves_of_a_concatenation_of_one_layer_have_gradients_of_their_own() -> None:
    layers = (linear("a", "input"), Layer(name="f", kind="flatten", inputs=("a",)), Layer(name="c", kind="concat", inputs=("a", "f")))
    graph = graph_of(*layers, linear("b", "c"))
    assert graph.edges["B(b,0)", "E(a,0)"]["tensors"] == {"c.error.a[0]": 64, "c.error.f[0]": 64}


def test_a_max_pool_keeps_what_it_read_in_its_own_bits() -> None:
    """Behind an average over four spikes: three bits a value."""
    average = Layer(name="p", kind="avgpool2d", inputs=("a",), kernel=(2, 2), stride=(2, 2))
    most = Layer(name="q", kind="maxpool2d", inputs=("p",), kernel=(2, 2), stride=(2, 2))
    graph = graph_of(conv("a", "input", 2), average, most, conv("b", "q", 1), shape=(1, 8, 8))
    assert graph.nodes["F(a,0)"]["stash_bytes"] == 2 * 4 * (128 * 2 + 32 * 3 // 8)


def test_tasks_read_the_weights_that_their_edges_bring() -> None:
    graph = graph_of(linear("a", "input", norm="batch", recurrence="full"), linear("b", "a"))
    for task, data in graph.nodes(data=True):
        brought = sum(edge["bytes"] for _, _, edge in graph.in_edges(task, data=True) if "delay_layer" in edge)
        assert data["weight_bytes"] == (brought if data["kind"] != "U" else sum(2 * n for n in ([24, 16, 8] if task == "U(a)" else [16])))


@pytest.mark.parametrize(
    ("fields", "share"), [({}, 0.25), ({"norm": "batch"}, 1.0), ({"neuron": "psu"}, 1.0), ({"neuron": "none"}, 1.0), ({"neuron": "iir"}, 0.25)]
)
def test_errors_are_sparse_only_where_nothing_spreads_them(fields: dict[str, Any], share: float) -> None:
    net = Network(name="net", input_shape=(6,), time_steps=4, layers=(linear("a", "input"), linear("b", "a", **fields), linear("c", "b")))
    _, works = lower_with_works(net, TrainingSetup(error_density=0.25, windows=4), EDGE8)
    gemm = works["B(b,0)"][0].gemms[0]
    assert (gemm.density, gemm.activity) == (share, share)


def test_weight_gradients_contract_single_steps_and_forward_products_windows() -> None:
    net = Network(name="net", input_shape=(6,), time_steps=4, layers=(linear("a", "input"), linear("b", "a")))
    _, works = lower_with_works(net, TrainingSetup(spike_rate=0.5), EDGE8)
    assert works["F(b,0)"][0].gemms[0].density == 1 - 0.5**4
    assert works["W(b,0)"][0].gemms[0].density == 0.5


def test_real_inputs_are_read_in_full() -> None:
    for coding, bits, share in (("spikes", 1, 0.1), ("direct", 16, 1.0)):
        net = Network(name="net", input_shape=(6,), time_steps=1, layers=(linear("a", "input"),), coding=coding)  # type: ignore[arg-type]
        _, works = lower_with_works(net, TrainingSetup(), EDGE8)
        gemm = works["F(a,0)"][0].gemms[0]
        assert (gemm.left_bits, gemm.activity) == (bits, share)


def test_recomputed_membranes_need_the_weights_of_their_forward_pass() -> None:
    graph = graph_of(linear("a", "input"), linear("b", "a"), membrane="recompute")
    assert Problem.from_graph(graph, EDGE8, mode="periodic").weights == "stash"
    with pytest.raises(InputError, match="weights='latest' does not go with membrane='recompute'"):
        Problem.from_graph(graph, EDGE8, mode="periodic", weights="latest")
