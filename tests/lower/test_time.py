"""Time: steps of a layer's own, hybrids, truncated back-propagation, recomputed membranes, loops."""

from __future__ import annotations

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower.windows import cut_time, meeting

from .graphs import conv, graph_of, kinds, linear, macs

THREE = (linear("a", "input"), linear("b", "a", 3), linear("c", "b", 2))


def test_windows_without_a_step_are_left_out() -> None:
    assert [(w.index, w.first, w.last) for w in cut_time(2, 4)] == [(1, 0, 1), (3, 1, 2)]


def test_windows_meet_where_they_overlap_in_time() -> None:
    """Six steps in three windows against four in three: 0-1-2-4 quarters against 0-2-4-6 sixths."""
    six, four = cut_time(6, 3), cut_time(4, 3)
    assert [(w.first, w.last) for w in four] == [(0, 1), (1, 2), (2, 4)]
    found = {index: [w.index for w in windows] for index, windows in meeting(six, four).items()}
    assert found == {0: [0, 1], 1: [1, 2], 2: [2]}


def test_a_layer_of_fewer_steps_waits_for_every_window_that_overlaps() -> None:
    graph = graph_of(linear("a", "input"), linear("b", "a", time_steps=1), linear("c", "b"), windows=2)
    assert {v for v in graph if "(b," in v and v[0] == "F"} == {"F(b,1)"}
    assert {u for u in graph.predecessors("F(b,1)") if u[0] == "F"} == {"F(a,0)", "F(a,1)"}
    assert graph.has_edge("F(b,1)", "F(c,0)")
    assert graph.has_edge("F(b,1)", "F(c,1)")
    assert macs(graph, "F(b,1)") == 2 * 1 * 4 * 4
    assert {u for u in graph.predecessors("E(b,1)") if u[0] == "B"} == {"B(c,0)", "B(c,1)"}  # windows differ: E does not ride
    assert {u for u in graph.predecessors("E(a,0)") if u[0] == "B"} == {"B(b,1)"}


def test_an_ann_front_end_runs_once_and_feeds_every_window() -> None:
    front = (conv("a", "input", 2, neuron="relu", time_steps=1), conv("b", "a", 2, neuron="relu", time_steps=1))
    graph = graph_of(*front, conv("c", "b", 2), shape=(1, 4, 4), windows=4)
    assert kinds(graph, "F") == {"F(a,3)", "F(b,3)", "F(c,0)", "F(c,1)", "F(c,2)", "F(c,3)"}
    assert {u for u in graph.predecessors("F(c,0)") if u[0] == "F"} == {"F(b,3)"}
    assert graph.edges["F(b,3)", "F(c,0)"]["tensors"] == {"b.out[3]": 2 * 2 * 16 * 2}
    assert macs(graph, "F(a,3)") == 2 * 16 * 9 * 2


def test_truncated_back_propagation_cuts_the_chain_of_errors() -> None:
    whole, cut = graph_of(*THREE, windows=4, loss="step"), graph_of(*THREE, windows=4, loss="step", bptt_steps=2)
    gone = set(whole.edges) - set(cut.edges)
    assert gone == {("B(b,2)", "B(b,1)"), ("B(c,2)", "B(c,1)"), ("E(c,2)", "E(c,1)")}
    assert set(cut.edges) <= set(whole.edges)
    assert all(whole.nodes[v] == cut.nodes[v] for v in whole if v not in {u for u, _ in gone})


def test_truncation_shortens_the_products_over_time_backwards_alone() -> None:
    layers = (linear("a", "input", neuron="psu"), linear("b", "a"))
    whole, cut = graph_of(*layers, windows=4), graph_of(*layers, windows=4, bptt_steps=2)
    assert [macs(whole, f"E(a,{w},synapse)") for w in range(4)] == [2 * 8 * span for span in (4, 3, 2, 1)]
    assert [macs(cut, f"E(a,{w},synapse)") for w in range(4)] == [2 * 8 * span for span in (2, 1, 2, 1)]
    assert [macs(cut, f"F(a,{w},neuron)") for w in range(4)] == [2 * 8 * span for span in (1, 2, 3, 4)]


def test_truncation_inside_a_window_is_refused() -> None:
    with pytest.raises(InputError, match=r"bptt_steps=2 cuts through window 0 of layer 'a' \(steps 0\.\.3 of 4\); choose windows .* such as windows=2"):
        graph_of(*THREE, bptt_steps=2)
    with pytest.raises(InputError, match="bptt_steps must be at least 1"):
        graph_of(*THREE, bptt_steps=0)


def test_recomputing_reads_the_inputs_and_the_state_before_in_place_of_a_stash() -> None:
    stored, again = graph_of(*THREE, windows=2), graph_of(*THREE, windows=2, membrane="recompute")
    assert again.nodes["F(b,1)"]["stash_bytes"] == 0
    assert stored.edges["F(b,1)", "B(c,1)"]["tensors"]["b.stash[1]"] == 2 * 3 * 2 * 2
    assert again.edges["F(a,1)", "B(c,1)"]["tensors"] == {"a.out[1]": 2}
    assert again.edges["F(b,0)", "B(c,1)"]["tensors"] == {"b.state[0]": 12}
    assert again.edges["U(b)", "B(c,1)"]["delay_layer"] == "b"
    assert macs(again, "B(c,1)") == macs(stored, "B(c,1)") + macs(stored, "F(b,1)")
    more = again.nodes["B(c,1)"]["cycles"]["edge8"] - stored.nodes["B(c,1)"]["cycles"]["edge8"]
    assert more == stored.nodes["F(b,1)"]["cycles"]["edge8"]


def test_parallel_neurons_have_no_membrane_to_recompute() -> None:
    layers = (linear("a", "input", neuron="psn"), linear("b", "a", neuron="none"))
    stored, again = graph_of(*layers), graph_of(*layers, membrane="recompute")
    assert dict(stored.nodes(data=True)) == dict(again.nodes(data=True))


def test_a_loop_over_two_layers_reads_the_step_before() -> None:
    """a + (weights of the sum's own spikes, a step before): mirrored backwards."""
    layers = (linear("a", "input", neuron="none"), Layer(name="s", kind="add", inputs=("a", "r"), feedback=("r",), neuron="lif"))
    graph = graph_of(*layers, linear("r", "s", neuron="none"), linear("out", "s"), windows=4)
    assert {u for u in graph.predecessors("F(s,2)") if u[0] == "F"} == {"F(a,2)", "F(s,1)", "F(r,1)"}
    assert {u for u in graph.predecessors("F(s,0)") if u[0] == "F"} == {"F(a,0)"}
    assert set(graph.predecessors("E(r,1)")) == {"E(s,2)"}
    assert set(graph.predecessors("E(r,3)")) == set()  # nothing comes back to the last step
    assert {u for u in graph.predecessors("E(s,1)") if u[0] in "EB"} == {"B(r,1)", "B(out,1)", "E(s,2)"}


def test_a_loop_the_input_does_not_reach() -> None:
    """Linear weights from a neuron back to itself, and nothing else."""
    layers = (Layer(name="w", kind="linear", inputs=("n",), feedback=("n",), out_features=4), Layer(name="n", kind="neuron", inputs=("w",), neuron="lif"))
    graph = graph_of(*layers, linear("out", "n"), windows=4)
    assert graph.has_edge("F(n,0)", "F(w,1)")
    assert graph.has_edge("B(w,2)", "E(n,1)")
    assert macs(graph, "W(w,0)") == 2 * 4 * 4


def test_looped_layers_need_the_same_time_steps() -> None:
    layers = (linear("a", "input", neuron="none"), Layer(name="s", kind="add", inputs=("a", "r"), feedback=("r",), neuron="lif", time_steps=2))
    with pytest.raises(
        InputError, match="layers 's' and 'r' lie on a cycle through time: layer 's' has 2 time steps of its own there; all need the network's 4"
    ):
        graph_of(*layers, linear("r", "s", neuron="none"), windows=4)


def test_a_neuron_that_looks_ahead_cannot_lie_on_a_loop() -> None:
    layers = (linear("a", "input", neuron="none"), Layer(name="s", kind="add", inputs=("a", "m"), feedback=("m",), neuron="lif"))
    with pytest.raises(InputError, match="parallel neuron of layer 'm' needs all steps at once; take 'ipsu'"):
        graph_of(*layers, linear("m", "s", neuron="psn"), windows=4)
    assert "F(m,3,neuron)" in graph_of(*layers, linear("m", "s", neuron="ipsu"), windows=4)


def test_a_layer_on_a_loop_cannot_have_steps_of_its_own_even_inside() -> None:
    layers = (linear("a", "input", neuron="none"), Layer(name="s", kind="add", inputs=("a", "r"), feedback=("r",), neuron="lif"))
    with pytest.raises(InputError, match="layer 'm' has 1 time steps of its own there"):
        graph_of(*layers, linear("m", "s", time_steps=1), linear("r", "m"), windows=4)


def test_a_layer_that_feeds_itself_is_named_once() -> None:
    with pytest.raises(InputError, match="layer 's' lies on a cycle through time, which needs windows of one step: choose windows=4"):
        graph_of(linear("a", "input"), Layer(name="s", kind="add", inputs=("a", "s"), feedback=("s",), neuron="lif"))


def test_a_loop_at_the_end_of_the_network_is_read_out() -> None:
    """Nothing but the loop reads its last layer: the loss does."""
    layers = (linear("a", "input"), Layer(name="s", kind="add", inputs=("a", "b"), feedback=("b",), neuron="lif"), linear("b", "s"))
    graph = graph_of(*layers, windows=4)
    assert {f"F(b,{w})" for w in range(4)} <= set(graph.predecessors("E(b,3)"))
    plain = graph_of(*layers, linear("out", "s"), windows=4)
    assert not {u for u in plain.predecessors("E(b,2)") if u == "F(b,0)"}  # here it only closes the loop


def test_truncation_that_no_window_can_meet_says_why() -> None:
    with pytest.raises(InputError, match=r"layer 'b' .*; its 3 time steps of its own must be cut there as well as the network's 2"):
        graph_of(linear("a", "input"), linear("b", "a", time_steps=3), time_steps=2, windows=2, bptt_steps=1)
