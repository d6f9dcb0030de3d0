"""The cost table adds up: against the task graph, the network's own counts, and every task priced by itself."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import pytest

from spikepipe_sched.cost import TIMINGS, CostModel, Gemm, cost_shares, task_cost
from spikepipe_sched.errors import InputError
from spikepipe_sched.export.costs import MAX_PRODUCTS, CostRow, arrays, cost_table, table_cells, table_json, term_cells, topology_table, total
from spikepipe_sched.importers import load_network, load_platform
from spikepipe_sched.importers.topology import TopologyLayer
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower import Split, lower, lower_with_works
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup

NETWORKS = ("tiny", "nmnist_mlp", "shd_recurrent", "dvs_gesture_conv", "psn_cifar", "spikformer_cifar", "hybrid_flownet", "sew_resnet18")
MODELS = (
    CostModel(),
    CostModel(timing="tight", vector=False),
    CostModel(timing="pipelined", stalls=True, sparsity="skip"),
    CostModel(stalls=True, sparsity="skip", time_batching=False),
    CostModel(sparsity="gate", time_batching=False),
)
ARRAY32, UNLIKE, EDGE8 = load_platform("array32"), load_platform("unlike"), load_platform("edge8")


def setup_for(network: Network) -> TrainingSetup:
    """Two samples; three windows, fewer where there are fewer steps, one for each step in a loop."""
    looped = any(layer.feedback for layer in network.layers)
    return TrainingSetup(batch=2, windows=network.time_steps if looped else min(3, network.time_steps))


def small_network() -> Network:
    """Two linear layers, ten steps."""
    layers = (
        Layer(name="a", kind="linear", inputs=("input",), out_features=20, neuron="lif"),
        Layer(name="b", kind="linear", inputs=("a",), out_features=7, neuron="lif", spike_rate=0.25),
        Layer(name="c", kind="linear", inputs=("b",), out_features=3, neuron="li"),
    )
    return Network(name="small", input_shape=(12,), time_steps=10, layers=layers)


# -- independent sums --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("model", MODELS)
def test_cycles_are_those_of_the_task_graph(name: str, model: CostModel) -> None:
    network = load_network(name)
    setup = setup_for(network)
    graph = lower(network, setup, UNLIKE, cost=model)
    wanted: Counter[tuple[str, str, str]] = Counter()
    for _, data in graph.nodes(data=True):
        for array, cycles in data["cycles"].items():
            wanted[array, data["layer"], data["kind"]] += cycles
    found: Counter[tuple[str, str, str]] = Counter()
    for row in cost_table(network, setup, UNLIKE, model):
        found[row.array, row.layer, row.kind] += row.cycles
    assert found == wanted


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_macs_are_the_networks_own(name: str) -> None:
    """Of the synapses: the products over time of parallel neurons are a part of their own."""
    network = load_network(name)
    found: Counter[str] = Counter()
    for row in cost_table(network, setup_for(network), ARRAY32):
        if row.kind == "F" and row.part != "neuron" and row.macs:
            found[row.layer] += row.macs
    assert found == {layer: macs * 2 * network.steps(network.layer(layer)) for layer, macs in network.macs().items()}


@pytest.mark.parametrize("model", MODELS)
def test_traffic_and_energy_are_those_of_every_task_by_itself(model: CostModel) -> None:
    network = load_network("shd_recurrent")
    setup = setup_for(network)
    _, works = lower_with_works(network, setup, ARRAY32, cost=model)
    costs = [task_cost(work, ARRAY32.classes["array32"], model) for pieces in works.values() for work in pieces]
    whole = total(cost_table(network, setup, ARRAY32, model))
    assert whole.tasks == len(works)
    assert whole.cycles == sum(cost.cycles for cost in costs)
    assert whole.sram_bytes == sum(cost.sram_bytes for cost in costs)
    assert whole.dram_bytes == sum(cost.dram_bytes for cost in costs)
    assert whole.energy_pj == pytest.approx(math.fsum(cost.energy_pj or 0 for cost in costs))
    assert whole.vector_ops == sum(work.vector_ops for pieces in works.values() for work in pieces)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("timing", TIMINGS)
def test_no_array_does_more_than_all_its_elements_can(name: str, timing: str) -> None:
    network = load_network(name)
    for model in MODELS:
        rows = cost_table(network, setup_for(network), EDGE8, replace(model, timing=timing))
        assert all(0 <= row.utilisation <= 1 for row in (*rows, total(rows)))
        assert any(row.utilisation > 0 for row in rows)


@pytest.mark.parametrize("model", MODELS)
def test_products_terms_and_shares_add_up(model: CostModel) -> None:
    network = load_network("hybrid_flownet")
    rows = cost_table(network, setup_for(network), UNLIKE, model)
    for row in rows:
        assert sum(p.m * p.k * p.n * p.count for p in row.products) == row.macs
        assert tuple(row.terms) == model.terms
        assert sum(row.terms.values()) == row.cycles
        assert row.executed_macs == row.macs or (model.sparsity == "skip" and 0 < row.executed_macs < row.macs)
        assert (row.stall_cycles is None) == (not model.stalls)
    for some in arrays(rows).values():
        assert math.fsum(row.share for row in some) == pytest.approx(1)


def test_shares_of_terms_are_those_of_the_task_graph() -> None:
    network, model = load_network("nmnist_mlp"), CostModel(stalls=True)
    setup = setup_for(network)
    shares = table_json(cost_table(network, setup, ARRAY32, model))["cost_terms"]
    assert shares == {"array32": pytest.approx(lower(network, setup, ARRAY32, cost=model).graph["cost_terms"])}


def test_parts_of_split_tasks_have_rows_of_their_own() -> None:
    network, split = small_network(), Split(kind="W", axis="m", parts=2, layer="b")
    setup = TrainingSetup(batch=2, windows=2)
    whole, cut = cost_table(network, setup, ARRAY32), cost_table(network, setup, ARRAY32, splits=(split,))
    assert [row.part for row in cut if (row.layer, row.kind) == ("b", "W")] == ["1/2", "2/2"]
    assert total(cut).macs == total(whole).macs
    assert total(cut).tasks == total(whole).tasks + 2


def test_windows_are_added_up_and_products_told_apart() -> None:
    """Ten steps in four windows of 2, 3, 2 and 3 steps."""
    rows = cost_table(small_network(), TrainingSetup(batch=2, windows=4), ARRAY32)
    (row,) = (row for row in rows if (row.layer, row.kind) == ("a", "F"))
    assert row.tasks == 4
    assert [(p.m, p.k, p.n, p.count) for p in row.products] == [(4, 12, 20, 2), (6, 12, 20, 2)]


def test_step_by_step_products_are_those_of_a_step() -> None:
    rows = cost_table(small_network(), TrainingSetup(batch=2, windows=4), ARRAY32, CostModel(time_batching=False))
    found = {(row.layer, row.kind): [(p.m, p.k, p.n, p.count) for p in row.products] for row in rows}
    assert found["a", "F"] == [(2, 12, 20, 10)]
    assert found["a", "W"] == [(12, 2, 20, 10)]


def test_skipped_positions_are_not_counted_as_done() -> None:
    """Layer c reads b, whose rate is 1/4: over a window of 2 steps 7/16 of 7 inputs, rounded up, are not silent."""
    rows = cost_table(small_network(), TrainingSetup(batch=2, windows=5), ARRAY32, CostModel(sparsity="skip"))
    (row,) = (row for row in rows if (row.layer, row.kind) == ("c", "F"))
    assert row.macs == 5 * 4 * 7 * 3
    assert row.executed_macs == 5 * 4 * math.ceil(7 * 7 / 16) * 3


def test_rows_come_layer_by_layer_in_the_order_of_the_passes() -> None:
    rows = cost_table(small_network(), TrainingSetup(batch=2), UNLIKE)
    wanted = [("a", "F"), ("a", "W"), ("a", "U"), ("b", "F"), ("b", "B"), ("b", "W"), ("b", "U"), ("c", "F"), ("c", "E"), ("c", "B"), ("c", "W"), ("c", "U")]
    assert [(row.array, row.layer, row.kind) for row in rows] == [(array, *pair) for array in ("large", "small") for pair in wanted]


# -- topologies --------------------------------------------------------------------------------------

TOPOLOGY = (
    TopologyLayer(name="a", gemm=Gemm(m=20, k=30, n=17, left_bits=8, right_bits=8, out_bits=8)),
    TopologyLayer(name="a", gemm=Gemm(m=9, k=9, n=1, count=5, left_bits=8, right_bits=8, out_bits=8)),
)


@pytest.mark.parametrize(("dataflow", "cycles"), [("os", 396), ("ws", 504), ("is", 468)])
def test_a_topology_prints_as_scale_sim_does(dataflow: str, cycles: int) -> None:
    array = replace(EDGE8.classes["edge8"], forward_dataflow=dataflow)
    first, second = topology_table(TOPOLOGY, replace(EDGE8, classes={"edge8": array}), CostModel())
    assert (first.cycles, first.scalesim_cycles) == (cycles, cycles - 1)
    assert (second.cycles, second.scalesim_cycles) == (second.cycles, second.cycles - 5)
    assert total([first, second]).scalesim_cycles == first.cycles + second.cycles - 6


@pytest.mark.parametrize("model", [CostModel(timing="paper"), CostModel(stalls=True)])
def test_scale_sim_prints_none_of_these(model: CostModel) -> None:
    rows = topology_table(TOPOLOGY, EDGE8, model)
    assert {row.scalesim_cycles for row in (*rows, total(rows))} == {None}
    assert not any(header.startswith("SCALE-Sim") for header in table_cells(rows)[0])


# -- cells and JSON ----------------------------------------------------------------------------------


def column(rows: list[CostRow], header: str) -> list[str]:
    headers, lines = table_cells(rows)
    assert all(len(line) == len(headers) for line in lines)
    return [line[headers.index(header)] for line in lines]


def test_cells_hold_every_row_and_the_total() -> None:
    rows = cost_table(small_network(), TrainingSetup(batch=2), ARRAY32, CostModel(stalls=True))
    assert column(rows, "pass") == [*(row.kind for row in rows), "total"]
    assert column(rows, "cycles") == [f"{row.cycles:,}" for row in (*rows, total(rows))]
    assert column(rows, "stalls") == [f"{row.stall_cycles:,}" for row in (*rows, total(rows))]
    assert column(rows, "energy uJ")[-1] == f"{(total(rows).energy_pj or 0) / 1e6:,.2f}"
    assert column(rows, "K")[0] == "12"
    assert column(rows, "dataflow")[2] == "-"  # an update has no product


def test_unlike_arrays_have_a_column_of_cycles_each() -> None:
    rows = cost_table(small_network(), TrainingSetup(batch=2), UNLIKE)
    for array, some in arrays(rows).items():
        assert column(rows, f"cycles {array}") == [f"{row.cycles:,}" for row in (*some, total(some))]
    headers, _ = table_cells(rows)
    assert "energy uJ" not in headers
    assert "stalls" not in headers


def test_more_products_have_more_lines_up_to_a_limit() -> None:
    """Windows of a parallel neuron take in ever more steps: eight of one step, eight different products."""
    layers = (Layer(name="n", kind="linear", inputs=("input",), out_features=3, neuron="ipsu"),)
    network = Network(name="parallel", input_shape=(4,), time_steps=8, layers=layers)
    rows = cost_table(network, TrainingSetup(batch=2, windows=8), ARRAY32)
    place, row = next((i, row) for i, row in enumerate(rows) if (row.kind, row.part) == ("F", "neuron"))
    assert [p.k for p in row.products] == list(range(1, 9))
    cells = column(rows, "K")[place : place + MAX_PRODUCTS + 1]
    assert cells == ["1", "2", "3", "4", "..."]
    assert column(rows, "dataflow")[place + MAX_PRODUCTS] == "4 more shapes"


def test_terms_have_cycles_and_shares() -> None:
    rows = cost_table(small_network(), TrainingSetup(batch=2), ARRAY32)
    shares = cost_shares((row.terms, 1) for row in rows)
    headers, lines = term_cells(rows)
    assert headers == ["cost term", "cycles", "share"]
    assert lines == [[name, f"{total(rows).terms[name]:,}", f"{100 * share:.1f} %"] for name, share in shares.items()]
    assert term_cells(cost_table(small_network(), TrainingSetup(batch=2), UNLIKE))[0][1:] == ["cycles large", "share large", "cycles small", "share small"]


def test_json_holds_what_the_rows_say() -> None:
    rows = cost_table(small_network(), TrainingSetup(batch=2), UNLIKE, CostModel(stalls=True))
    document = json.loads(json.dumps(table_json(rows)))
    assert len(document["rows"]) == len(rows)
    for row, data in zip(rows, document["rows"], strict=True):
        assert (data["layer"], data["kind"], data["cycles"], data["utilisation"]) == (row.layer, row.kind, row.cycles, row.utilisation)
        assert data["stall_cycles"] == row.stall_cycles
        assert [p["m"] for p in data["products"]] == [p.m for p in row.products]
    assert {data["array"]: data["cycles"] for data in document["totals"]} == {name: total(some).cycles for name, some in arrays(rows).items()}


def test_names_from_files_cannot_steer_the_terminal() -> None:
    layer = replace(TOPOLOGY[0], name="a\x1b[31m")
    assert "\x1b" not in column(topology_table([layer], EDGE8), "layer")[0]


def test_only_rows_of_one_array_have_a_total() -> None:
    with pytest.raises(InputError, match="there are no rows"):
        total([])
    with pytest.raises(InputError, match="several classes"):
        total(cost_table(small_network(), TrainingSetup(batch=2), UNLIKE))
