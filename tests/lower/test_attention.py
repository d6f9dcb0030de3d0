"""Spiking self-attention: products of two activations."""

from __future__ import annotations

from spikepipe_sched.layer import Layer

from .graphs import graph_of, kinds, linear, macs

# Three tokens of four features, two heads, two samples, four steps.
BLOCK = (
    linear("q", "input"),
    linear("k", "input"),
    linear("v", "input"),
    Layer(name="qk", kind="matmul", inputs=("q", "k"), transpose=True, heads=2),
    Layer(name="attn", kind="matmul", inputs=("qk", "v"), heads=2, neuron="lif"),
    linear("proj", "attn"),
)


def test_a_product_has_a_gradient_for_each_operand_and_no_weights() -> None:
    graph = graph_of(*BLOCK, shape=(3, 4))
    assert set(kinds(graph, "B")) == {"B(qk,0,left)", "B(qk,0,right)", "B(attn,0,left)", "B(attn,0,right)", "B(proj,0)"}
    assert set(kinds(graph, "W")) == {"W(q,0)", "W(k,0)", "W(v,0)", "W(proj,0)"}
    assert {graph.nodes[task]["part"] for task in ("B(qk,0,left)", "B(qk,0,right)")} == {"left", "right"}


def test_products_have_their_macs() -> None:
    """Scores: 2 heads x 3 x 2 x 3 of each sample and step; context: 2 heads x 3 x 3 x 2."""
    graph = graph_of(*BLOCK, shape=(3, 4))
    assert {macs(graph, t) for t in ("F(qk,0)", "B(qk,0,left)", "B(qk,0,right)", "F(attn,0)", "B(attn,0,left)", "B(attn,0,right)")} == {8 * 2 * 18}
    assert macs(graph, "F(q,0)") == 8 * 3 * 4 * 4


def test_each_gradient_reads_the_other_operand() -> None:
    graph = graph_of(*BLOCK, shape=(3, 4))
    assert {u for u in graph.predecessors("B(qk,0,left)") if u[0] == "F"} == {"F(k,0)", "F(q,0)"}  # k, and the stash of q's neurons
    assert graph.edges["F(k,0)", "B(qk,0,left)"]["tensors"] == {"k.out[0]": 2 * 12 * 4 // 8}
    assert graph.edges["F(q,0)", "B(qk,0,left)"]["tensors"] == {"q.stash[0]": 2 * 12 * 4 * 2}
    assert {u for u in graph.predecessors("B(attn,0,right)") if u[0] == "F"} == {"F(qk,0)", "F(v,0)"}
    assert graph.has_edge("B(attn,0,left)", "B(qk,0,left)")  # the error of the scores rides on the product's gradient
    assert set(graph.successors("B(qk,0,left)")) == {"W(q,0)"}


def test_products_of_spikes_count_them_in_few_bits() -> None:
    """A score sums two products of spikes: 0..2; the context three products of a score and a spike: 0..6."""
    graph = graph_of(*BLOCK, shape=(3, 4))
    assert graph.edges["F(qk,0)", "F(attn,0)"]["tensors"] == {"qk.out[0]": 2 * 18 * 4 * 2 // 8}
    without = graph_of(*BLOCK[:4], Layer(name="attn", kind="matmul", inputs=("qk", "v"), heads=2), linear("proj", "attn"), shape=(3, 4))
    assert without.edges["F(attn,0)", "F(proj,0)"]["tensors"] == {"attn.out[0]": 2 * 12 * 4 * 3 // 8}


def test_linear_layers_work_on_every_token() -> None:
    mean = Layer(name="mean", kind="mean", inputs=("proj",))
    graph = graph_of(*BLOCK, mean, linear("head", "mean", 5), shape=(3, 4), windows=2)
    assert macs(graph, "F(proj,0)") == 2 * 2 * 3 * 4 * 4
    assert macs(graph, "F(head,0)") == 2 * 2 * 4 * 5
    assert graph.edges["F(proj,0)", "F(head,0)"]["tensors"] == {"mean.out[0]": 2 * 4 * 2 * 2 // 8}  # a mean counts up to three spikes


def test_an_operand_without_weights_upstream_needs_no_gradient() -> None:
    layers = (Layer(name="n", kind="neuron", inputs=("input",), neuron="lif"), linear("k", "input"))
    graph = graph_of(*layers, Layer(name="qk", kind="matmul", inputs=("n", "k"), transpose=True), shape=(3, 4))
    assert kinds(graph, "B") == {"B(qk,0,right)"}
