"""Reads SCALE-Sim's topology files (CSV): a list of layers, each one matrix product or convolution.

A file of convolutions, or one of matrix products::

    Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
    Conv1, 224, 224, 11, 11, 3, 96, 4,

    Layer, M, N, K,
    fc1, 16, 512, 2312,

SCALE-Sim reads by position and skips the first line, whatever it says; here the headers must stand
for the columns that are there, in capitals or not. Files also write ``Stride height, Stride width``
for ``Strides``, add ``Sparsity`` or ``Batch size``, leave the last comma out and put a comment
(``#``) behind it. As in SCALE-Sim (``topology_utils.py`` of v2 and v3, arXiv:2504.15377):

- a dimension of the output is ceil((H - k + s) / s): a part of a stride at the border counts as a
  whole one, which frameworks leave out;
- maps are given with their padding; there is no batch;
- a convolution with ``DP`` in its name is depthwise: a product for every channel, each one channel deep.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from spikepipe_sched.cost import Gemm
from spikepipe_sched.errors import InputError, require
from spikepipe_sched.files import read_limited
from spikepipe_sched.importers.toml_errors import printable
from spikepipe_sched.importers.warning import RepairWarning
from spikepipe_sched.network import MAX_ELEMENTS

MAX_FILE_BYTES: Final = 4 * 2**20
MAX_LAYERS: Final = 10_000
MAX_NAME: Final = 200
#: SCALE-Sim counts words, one byte each.
WORD_BITS: Final = 8

#: Spellings of each column, in order. SCALE-Sim's own files have these, and write them in every mixture of cases.
_CONV: Final = (
    ("layer name", "layer"),
    ("ifmap height",),
    ("ifmap width",),
    ("filter height",),
    ("filter width",),
    ("channels", "num channels"),
    ("num filter", "num filters"),
    ("strides", "stride", "stride height"),
)
_GEMM: Final = (("layer", "layer name"), ("m",), ("n",), ("k",))
_STRIDE_WIDTH: Final = "stride width"
_BATCH: Final = ("batch size", "batch")
_SPARSITY: Final = ("sparsity", "sparsity ratio", "sparsitysupport", "sparsity support")
_FORMS: Final = "'Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides' or 'Layer, M, N, K'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyLayer:
    """A line of a topology file: its name, and its product; several of the same size where it is depthwise."""

    name: str
    gemm: Gemm


def read_topology(path: str | os.PathLike[str]) -> tuple[TopologyLayer, ...]:
    """Read a topology file.

    Raises
    ------
    InputError
        If it is damaged or too large; the message says file and line.

    Warns
    -----
    RepairWarning
        If it asks for structured sparsity of the weights, which is not modelled: products are dense.
    """
    name = os.fspath(path)
    require(not Path(path).is_dir(), f"{name}: this is a folder, not a file")
    require(Path(path).is_file(), f"{name}: there is no such file")
    try:
        text = read_limited(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text (byte {error.start})") from None
    lines = _lines(text)
    number, header = next(lines, (1, []))
    columns = _columns(header, f"{name}, line {number}")
    layers: list[TopologyLayer] = []
    sparse: list[int] = []
    for number, cells in lines:
        where = f"{name}, line {number}"
        require(len(layers) < MAX_LAYERS, f"{where}: more than {MAX_LAYERS} layers")
        values = _values(cells, columns, where)
        if values.pop("sparsity", "") not in ("", "1:1"):
            sparse.append(number)
        title = printable(values.pop("layer"))
        require(0 < len(title) <= MAX_NAME, f"{where}: a layer needs a name of 1 to {MAX_NAME} characters")
        sizes = {key: _whole(cell, key, where) for key, cell in values.items()}
        batch = sizes.get("batch size", 1)
        require(batch == 1, f"{where}: a batch of {batch} is not read; repeat the line, or multiply M (the height of the map) by it")
        layers.append(TopologyLayer(name=title, gemm=_product(title, sizes, where)))
    require(layers, f"{name}: it holds no layers")
    if sparse:
        text = f"{name}: the sparsity of line {sparse[0]}{f' and {len(sparse) - 1} more' if len(sparse) > 1 else ''} is not modelled; products are dense"
        warnings.warn(text, RepairWarning, stacklevel=2)
    return tuple(layers)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that holds something; comments and what a last comma leaves are cut off."""
    for number, line in enumerate(text.split("\n"), start=1):
        cells = [cell.strip() for cell in line.partition("#")[0].split(",")]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield number, cells


def _columns(header: list[str], where: str) -> tuple[str, ...]:
    """What each column holds, by the first of its spellings."""
    found = [" ".join(cell.lower().split()) for cell in header]
    expected = _GEMM if found[1:2] == ["m"] else _CONV
    require(len(found) >= len(expected), f"{where}: not the header of a SCALE-Sim topology; expected {_FORMS}")
    for place, (cell, spellings) in enumerate(zip(found, expected, strict=False), start=1):
        require(cell in spellings, f"{where}: column {place} is called '{printable(header[place - 1])[:40]}', not '{spellings[0]}'; expected {_FORMS}")
    columns = ["layer", *(spellings[0] for spellings in expected[1:])]
    for place, cell in enumerate(found[len(expected) :], start=len(expected) + 1):
        kind = "batch size" if cell in _BATCH else "sparsity" if cell in _SPARSITY else cell
        fits = kind in ("batch size", "sparsity") or (kind == _STRIDE_WIDTH and expected is _CONV)
        require(fits, f"{where}: column {place}, '{printable(header[place - 1])[:40]}', is not known; known there: stride width, batch size, sparsity")
        require(kind not in columns, f"{where}: column {place} is a second '{kind}'")
        columns.append(kind)
    return tuple(columns)


def _values(cells: list[str], columns: tuple[str, ...], where: str) -> dict[str, str]:
    """Cells by column; a ratio such as 2:4 at the end is a sparsity, with or without a header."""
    if len(cells) == len(columns) + 1 and ":" in cells[-1] and "sparsity" not in columns:
        columns = (*columns, "sparsity")
    optional = sum(column in ("sparsity", "batch size") for column in columns)
    fits = len(columns) - optional <= len(cells) <= len(columns)
    require(fits, f"{where}: {len(cells)} values, but the header names {len(columns)} columns")
    return dict(zip(columns, cells, strict=False))


def _whole(cell: str, column: str, where: str) -> int:
    """A whole number from 1 to 2^40."""
    digits = cell.isascii() and cell.isdecimal() and len(cell.lstrip("0")) <= 13
    if not digits or not 1 <= int(cell.lstrip("0") or "0") <= MAX_ELEMENTS:
        raise InputError(f"{where}: {column} must be a whole number from 1 to 2^40, got '{printable(cell)[:40]}'")
    return int(cell.lstrip("0"))


def _product(name: str, sizes: dict[str, int], where: str) -> Gemm:
    """One product, or those of a depthwise convolution."""
    product = partial(Gemm, left_bits=WORD_BITS, right_bits=WORD_BITS, out_bits=WORD_BITS)
    if "m" in sizes:
        return product(m=sizes["m"], k=sizes["k"], n=sizes["n"])
    strides = sizes["strides"], sizes.get(_STRIDE_WIDTH, sizes["strides"])
    pixels = area = image = 1
    for side, stride in zip(("height", "width"), strides, strict=True):
        size, kernel = sizes[f"ifmap {side}"], sizes[f"filter {side}"]
        require(kernel <= size, f"{where}: filter {side} {kernel} is larger than ifmap {side} {size}; the map is given with its padding")
        pixels *= -(-(size - kernel + stride) // stride)
        area *= kernel
        image *= size
    deep, count = (1, sizes["channels"]) if "DP" in name else (sizes["channels"], 1)
    for axis, extent in (("M", pixels), ("K", area * deep)):
        require(extent <= MAX_ELEMENTS, f"{where}: the product has {axis} = {extent}, more than 2^40")
    return product(m=pixels, k=area * deep, n=sizes["num filter"], count=count, left_values=min(image, pixels * area) * deep)
