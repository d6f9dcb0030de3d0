"""ONNX graphs at random, against what they were built with and ONNX's own shape inference, and damaged bytes."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import RepairWarning, load_network
from spikepipe_sched.network import Network
from tests.importers.onnx_models import Model, attention, lenet, onnx, residual, structure


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_windows_have_the_output_size_that_onnx_infers(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Random pools and convolutions against ONNX's own shape inference: the same size, or refused."""
    pool = data.draw(st.booleans())
    size, kernel, stride = data.draw(st.integers(4, 20)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    before, after = (data.draw(st.integers(0, kernel - 1)) for _ in range(2))
    attributes: dict[str, Any] = {"strides": [stride, 1], "pads": [before, 0, after, 0]}
    model = Model(1, 2, size, size)
    if pool:
        model.conv(model.node("MaxPool", "x", kernel_shape=[kernel, 1], ceil_mode=data.draw(st.integers(0, 1)), **attributes), "c", 1, 2, 1, 1)
    else:
        model.conv("x", "c", 1, 2, kernel, 1, **attributes)
    inferred = onnx.shape_inference.infer_shapes(model.proto(), strict_mode=True)
    expected = tuple(dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim)[1:]
    try:
        network, _ = model.load(tmp_path_factory.getbasetemp())
    except InputError as error:
        assert "no even padding" in str(error)  # noqa: PT017
    else:
        assert network.shapes()["c"] == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_networks_have_the_parameters_they_were_built_with(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    channels, size = data.draw(st.integers(1, 4)), data.draw(st.integers(6, 12))
    model, source, expected = Model("n", channels, size, size), "x", 0
    for index in range(data.draw(st.integers(1, 3))):
        out, kernel, groups = data.draw(st.integers(1, 3)) * channels, data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, channels]))
        bias, norm = data.draw(st.booleans()), data.draw(st.booleans())
        source = model.conv(source, f"c{index}", out, channels // groups, kernel, kernel, bias=bias, group=groups, pads=[kernel // 2] * 4)
        expected += out * (channels // groups) * kernel * kernel + bias * out + norm * 2 * out
        source = model.norm(source, f"n{index}", out) if norm else source
        source = model.node("Relu", source) if data.draw(st.booleans()) else source
        channels = out
    sizes = [channels * size * size, *data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))]
    source = model.node("Flatten", source)
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        source = model.gemm(source, f"f{index}", out, fan_in)
        expected += fan_in * out + out
    network, repairs = model.load(tmp_path_factory.getbasetemp())
    assert sum(network.parameters().values()) == expected
    assert network.shapes()[network.layers[-1].name] == (sizes[-1],)
    assert repairs == []


SEEDS = [structure(lenet(Model(1, 1, 28, 28))), structure(residual(Model(4, 2, 8, 8))), structure(attention(Model(2, 6, 8)))]
EDITS = st.lists(st.tuples(st.sampled_from(["set", "insert", "delete"]), st.integers(0, 2**16), st.integers(0, 255)), max_size=5)


@settings(max_examples=300, deadline=None)
@given(seed=st.sampled_from(SEEDS), edits=EDITS)
@example(seed=SEEDS[0].replace(b"MaxPool", b"Max\nool"), edits=[])  # a line break in a name
@example(seed=SEEDS[0].replace(b"MaxPool", b"Max\xffool"), edits=[])  # not UTF-8
@example(seed=SEEDS[0].replace(b"conv1.weight", b"conv1.wei\xff\x01t"), edits=[])
def test_damaged_bytes_are_refused_in_one_line_or_make_a_network(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, edits: list[tuple[str, int, int]]
) -> None:
    damaged = bytearray(seed)
    for kind, place, byte in edits:
        at = place % len(damaged)
        damaged[at : at + (kind != "insert")] = b"" if kind == "delete" else bytes([byte])
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(damaged))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        try:
            network = load_network(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert isinstance(network, Network)
