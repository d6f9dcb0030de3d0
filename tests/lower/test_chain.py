"""The lowering: a hand-computed example, conserved work, and every edge rule on its own."""

from __future__ import annotations

import math

import networkx as nx
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import list_networks, load_network
from spikepipe_sched.lower import lower, lower_with_works
from spikepipe_sched.network import Layer, Network
from spikepipe_sched.training import TrainingSetup

from .graphs import EDGE8, conv, graph_of, kinds, linear

CHAIN = (linear("a", "input", 4), linear("b", "a", 3))


@pytest.fixture
def chain() -> nx.DiGraph:
    """6 -> 4 -> 3 neurons, batch 2, two windows of two steps."""
    return graph_of(*CHAIN, windows=2)


# -- a hand-computed example -----------------------------------------------------------------------


def test_chain_has_exactly_these_tasks_and_edges(chain: nx.DiGraph) -> None:
    """Design: F, B, W, U per layer; E rides on B except at the output; no B at the first layer."""
    windows = (0, 1)
    expected = {("F(a,0)", "F(a,1)"), ("F(b,0)", "F(b,1)"), ("E(b,1)", "E(b,0)"), ("B(b,1)", "B(b,0)"), ("U(a)", "U(a)"), ("U(b)", "U(b)")}
    expected |= {(f"F(b,{w})", f"E(b,{v})") for w in windows for v in windows}
    for w in windows:
        expected |= {(f"F(a,{w})", f"F(b,{w})"), (f"F(a,{w})", f"B(b,{w})"), (f"F(a,{w})", f"W(b,{w})")}
        expected |= {(f"E(b,{w})", f"B(b,{w})"), (f"E(b,{w})", f"W(b,{w})"), (f"B(b,{w})", f"W(a,{w})")}
        expected |= {(f"W(a,{w})", "U(a)"), (f"W(b,{w})", "U(b)"), ("U(a)", f"F(a,{w})"), ("U(b)", f"F(b,{w})"), ("U(b)", f"B(b,{w})")}
    assert set(chain.edges) == expected
    assert kinds(chain, "E") == {"E(b,0)", "E(b,1)"}
    assert kinds(chain, "B") == {"B(b,0)", "B(b,1)"}


@pytest.mark.parametrize(
    ("task", "macs", "cycles"),
    [
        ("F(a,0)", 4 * 6 * 4, (8 + 8 + 6 - 2) + 8 * 4 * 2 // 8),
        ("F(b,1)", 4 * 4 * 3, (8 + 8 + 4 - 2) + 6 * 4 * 2 // 8),
        ("E(b,0)", 0, 6 * (4 + 4) * 2 // 8),  # LIF backward and the loss
        ("B(b,0)", 4 * 3 * 4, (8 + 8 + 3 - 2) + 8 * 4 * 2 // 8),  # carries E(a,0)
        ("W(a,0)", 6 * 4 * 4, 8 + 8 + 4 - 2),
        ("W(b,0)", 4 * 4 * 3, 8 + 8 + 4 - 2),
        ("U(a)", 0, 24 * 4 // 8),
        ("U(b)", 0, math.ceil(12 * 4 / 8)),
    ],
)
def test_macs_and_cycles_by_hand(chain: nx.DiGraph, task: str, macs: int, cycles: int) -> None:
    assert (chain.nodes[task]["macs"], chain.nodes[task]["cycles"]) == (macs, {"edge8": cycles})


@pytest.mark.parametrize(
    ("edge", "tensors"),
    [
        (("F(a,0)", "F(b,0)"), {"a.out[0]": 2}),  # 2 samples x 4 neurons x 2 steps x 1 bit
        (("F(a,0)", "W(b,0)"), {"a.out[0]": 2}),
        (("F(a,0)", "B(b,0)"), {"a.stash[0]": 32}),  # membranes, 16 bit
        (("F(a,0)", "F(a,1)"), {"a.state[0]": 16}),  # one step of membranes
        (("B(b,1)", "B(b,0)"), {"a.state_grad[1]": 16}),
        (("B(b,0)", "W(a,0)"), {"a.error[0]": 32}),
        (("E(b,0)", "B(b,0)"), {"b.error[0]": 24}),
        (("W(a,1)", "U(a)"), {"a.gradient": 48}),
        (("U(a)", "F(a,1)"), {"a.weights": 48}),
        (("U(a)", "U(a)"), {"a.weights": 48, "a.optimizer": 48}),
    ],
)
def test_bytes_by_hand(chain: nx.DiGraph, edge: tuple[str, str], tensors: dict[str, int]) -> None:
    assert chain.edges[edge]["tensors"] == tensors
    assert chain.edges[edge]["bytes"] == sum(tensors.values())
    assert chain.edges[edge]["lag"] == 0


# -- edge rules ------------------------------------------------------------------------------------


def test_update_waits_for_itself_one_iteration_before(chain: nx.DiGraph) -> None:
    assert {chain.edges[u, u]["distance"] for u in kinds(chain, "U")} == {1}


def test_weights_travel_with_the_delay_of_their_layer(chain: nx.DiGraph) -> None:
    delayed = {(u, v): d["delay_layer"] for u, v, d in chain.edges(data=True) if "delay_layer" in d}
    assert {v for (u, v) in delayed if u == "U(b)"} == {"F(b,0)", "F(b,1)", "B(b,0)", "B(b,1)"}
    assert {v for (u, v) in delayed if u == "U(a)"} == {"F(a,0)", "F(a,1)"}
    assert all(layer == u[2:-1] for (u, _), layer in delayed.items())
    assert all("distance" not in chain.edges[edge] for edge in delayed)


def test_weight_and_activation_gradients_are_independent() -> None:
    graph = graph_of(*CHAIN, linear("c", "b", 2), windows=2)
    inside = nx.DiGraph([(u, v) for u, v, d in graph.edges(data=True) if d.get("distance") == 0])
    for w in (0, 1):
        assert not nx.has_path(inside, f"W(b,{w})", f"B(b,{w})")
        assert not nx.has_path(inside, f"B(b,{w})", f"W(b,{w})")


def test_weight_gradients_of_a_layer_are_independent_of_each_other(chain: nx.DiGraph) -> None:
    assert all(set(chain.successors(task)) == {f"U({chain.nodes[task]['layer']})"} for task in kinds(chain, "W"))


def test_step_loss_reads_its_own_window_only() -> None:
    graph = graph_of(*CHAIN, windows=2, loss="step")
    assert not graph.has_edge("F(b,0)", "E(b,1)")
    assert graph.has_edge("F(b,1)", "E(b,1)")


def test_no_state_no_chain_over_time() -> None:
    graph = graph_of(linear("a", "input", neuron="none"), linear("b", "a", neuron="none"), windows=2)
    assert not any(graph.has_edge(*edge) for edge in (("F(a,0)", "F(a,1)"), ("E(b,1)", "E(b,0)"), ("B(b,1)", "B(b,0)"), ("F(a,0)", "B(b,0)")))


def test_skip_gives_the_producer_an_error_task_of_its_own() -> None:
    """Two consumers: E(a) gathers both gradients; on the branches E rides nowhere but into the add."""
    graph = graph_of(linear("a", "input"), linear("b", "a"), Layer(name="s", kind="add", inputs=("a", "b")), linear("c", "s"))
    assert kinds(graph, "E") == {"E(a,0)", "E(b,0)", "E(c,0)"}  # E(s) rides on B(c)
    assert set(graph.predecessors("E(a,0)")) == {"B(b,0)", "B(c,0)", "F(a,0)"}
    assert set(graph.predecessors("E(b,0)")) == {"B(c,0)", "F(b,0)"}
    assert set(graph.predecessors("F(s,0)")) == {"F(a,0)", "F(b,0)"}
    assert not {task for task, data in graph.nodes(data=True) if data["layer"] == "s" and data["kind"] in "BWU"}
    assert set(graph.successors("E(a,0)")) == {"W(a,0)"}


def test_sums_of_spikes_take_the_bits_of_their_count() -> None:
    graph = graph_of(linear("a", "input"), linear("b", "a"), Layer(name="s", kind="add", inputs=("a", "b")), linear("c", "s"))
    assert graph.edges["F(a,0)", "F(b,0)"]["bytes"] == 4  # 2 x 4 values x 4 steps x 1 bit
    assert graph.edges["F(s,0)", "F(c,0)"]["bytes"] == 8  # 0, 1 or 2


def test_average_pool_takes_the_bits_of_its_count_and_max_pool_one() -> None:
    for kind, bits in (("avgpool2d", 3), ("sumpool2d", 3), ("maxpool2d", 1)):
        pool = Layer(name="p", kind=kind, inputs=("a",), kernel=(2, 2), stride=(2, 2))  # type: ignore[arg-type]
        graph = graph_of(conv("a", "input", 2), pool, conv("b", "p", 2), shape=(1, 4, 4))
        assert graph.edges["F(a,0)", "F(b,0)"]["tensors"] == {"p.out[0]": 2 * 2 * 4 * 4 * bits // 8}
        assert not {task for task, data in graph.nodes(data=True) if data["layer"] == "p"}


def test_concat_sends_each_producer_its_own_channels() -> None:
    graph = graph_of(conv("a", "input", 2), conv("b", "a", 3), Layer(name="s", kind="concat", inputs=("a", "b")), conv("c", "s", 1), shape=(1, 4, 4))
    per_channel = 2 * 16 * 4 * 2
    assert graph.edges["B(c,0)", "E(b,0)"]["bytes"] == 3 * per_channel
    assert graph.edges["B(c,0)", "E(a,0)"]["bytes"] == 2 * per_channel


def test_recurrent_layer_reads_its_weights_in_both_directions() -> None:
    """F and E add t products n x N x N, W one N x (n t) x N; E needs the weights."""
    plain = graph_of(linear("a", "input"), linear("b", "a", 3), windows=2)
    graph = graph_of(linear("a", "input", recurrence="full"), linear("b", "a", 3), windows=2)
    assert graph.edges["U(a)", "B(b,0)"]["delay_layer"] == "a"
    assert not plain.has_edge("U(a)", "B(b,0)")
    extra = {task: graph.nodes[task]["macs"] - plain.nodes[task]["macs"] for task in ("F(a,0)", "B(b,0)", "W(a,0)", "F(b,0)", "W(b,0)")}
    assert extra == {"F(a,0)": 2 * 2 * 4 * 4, "B(b,0)": 2 * 2 * 4 * 4, "W(a,0)": 4 * (2 * 2) * 4, "F(b,0)": 0, "W(b,0)": 0}
    assert graph.has_edge("F(a,0)", "W(a,0)")
    assert graph.nodes["U(a)"]["weight_bytes"] == (24 + 16) * 2


def test_a_recurrent_output_layer_has_the_weights_edge_on_its_own_error() -> None:
    graph = graph_of(linear("a", "input", recurrence="full"))
    assert graph.edges["U(a)", "E(a,0)"]["delay_layer"] == "a"
    assert not kinds(graph, "B")


def test_pools_and_flatten_in_front_of_the_first_layer_belong_to_the_data_loader() -> None:
    pool = Layer(name="p", kind="sumpool2d", inputs=("input",), kernel=(2, 2), stride=(2, 2))
    graph = graph_of(pool, conv("a", "p", 2), shape=(1, 8, 8))
    assert graph.nodes["F(a,0)"]["macs"] == 2 * 4 * 16 * 9 * 2
    assert set(graph.predecessors("F(a,0)")) == {"U(a)"}


# -- products of convolutions ----------------------------------------------------------------------


def test_grouped_convolution_is_one_product_per_group() -> None:
    graph = graph_of(conv("a", "input", 4), conv("b", "a", 6, groups=2), shape=(1, 4, 4), windows=2)
    per_group = (2 * 2 * 16) * (2 * 9) * 3
    assert {graph.nodes[task]["macs"] for task in ("F(b,0)", "B(b,0)", "W(b,0)")} == {2 * per_group}
    assert graph.nodes["W(b,0)"]["cycles"]["edge8"] == 2 * min(3 * 1 * (8 + 8 + 64 - 2), 8 * 1 * (16 + 8 + 18 - 2), 8 * 3 * (16 + 8 + 3 - 2))


def test_transposed_dgrad_multiplies_the_zeros_of_the_stride() -> None:
    layers = (conv("a", "input", 4), conv("b", "a", 6, stride=(2, 2)))
    col2im = graph_of(*layers, shape=(1, 8, 8))
    transposed = graph_of(*layers, shape=(1, 8, 8), dgrad="transposed")
    assert col2im.nodes["B(b,0)"]["macs"] == (2 * 4 * 16) * 6 * (4 * 9)
    assert transposed.nodes["B(b,0)"]["macs"] == (2 * 4 * 64) * (6 * 9) * 4
    assert {v for v in col2im if col2im.nodes[v]["macs"] != transposed.nodes[v]["macs"]} == {"B(b,0)"}


# -- windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [entry.name for entry in list_networks()])
def test_work_is_the_same_for_every_windows_setting(name: str) -> None:
    """MACs per kind and layer do not depend on how time is cut, but for products over time."""
    network = load_network(name)
    if any(layer.feedback for layer in network.layers):
        pytest.skip("its loop allows windows of one step alone")

    def work(windows: int) -> dict[tuple[str, str], int]:
        total: dict[tuple[str, str], int] = {}
        for _, data in lower(network, TrainingSetup(windows=windows), EDGE8).nodes(data=True):
            key = (data["kind"], data["layer"])
            if network.layer(data["layer"]).parallel and data["part"] == "neuron":
                continue
            total[key] = total.get(key, 0) + data["macs"]
        return total

    whole = work(1)
    limit = min(network.time_steps, 20)
    assert all(work(windows) == whole for windows in {2, 3, 4, 7, limit} if windows <= limit)


def test_windows_have_floor_borders_and_uneven_sizes() -> None:
    assert TrainingSetup(windows=4).window_steps(10) == (2, 3, 2, 3)
    graph = graph_of(*CHAIN, time_steps=5, windows=2)
    assert [graph.nodes[f"F(a,{w})"]["macs"] for w in (0, 1)] == [2 * 2 * 24, 2 * 3 * 24]


def test_more_windows_than_steps_are_refused() -> None:
    with pytest.raises(InputError, match="windows=5 is more than the network's 4 time steps"):
        graph_of(*CHAIN, windows=5)


def test_shape_errors_name_the_layer() -> None:
    with pytest.raises(InputError, match="layer 'b'"):
        graph_of(conv("a", "input", 4), linear("b", "a"), shape=(1, 4, 4))


def test_a_sum_of_nothing_but_the_input_is_refused() -> None:
    layers = (Layer(name="f", kind="flatten", inputs=("input",)), Layer(name="s", kind="add", inputs=("input", "f")), linear("a", "s"))
    with pytest.raises(InputError, match=r"layer 's'.*network's input"):
        graph_of(*layers)


def test_node_attributes_are_complete(chain: nx.DiGraph) -> None:
    keys = {"kind", "layer", "window", "part", "cycles", "macs", "weight_bytes", "output_bytes", "stash_bytes"}
    assert all(set(data) == keys for _, data in chain.nodes(data=True))
    assert chain.graph["samples_per_iteration"] == 2
    assert chain.graph["layers"] == ("a", "b")


def test_the_image_that_a_convolution_unrolls_lies_in_dram_once() -> None:
    """3 x 3 at stride 1 reads every pixel nine times; a 2 x 2 kernel at stride 2 reads it once."""
    net = Network(
        name="net", input_shape=(3, 8, 8), time_steps=2, layers=(conv("a", "input", 4), conv("b", "a", 2, kernel=(2, 2), stride=(2, 2), padding=(0, 0)))
    )
    _, works = lower_with_works(net, TrainingSetup(batch=2), EDGE8)
    products = {task: works[task][0].gemms[0] for task in ("F(a,0)", "W(a,0)", "F(b,0)", "B(b,0)")}
    assert {task: gemm.left_values for task, gemm in products.items()} == {"F(a,0)": 4 * 3 * 64, "W(a,0)": 4 * 3 * 64, "F(b,0)": None, "B(b,0)": None}
