"""Traffic of a product: SCALE-Sim's counts, and a walk through every tiling and loop order."""

from __future__ import annotations

from itertools import permutations, product
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.cost import Accesses
from spikepipe_sched.cost.gemm import Layout
from spikepipe_sched.cost.memory import SHARE_PARTS, _tiles, dram_bytes, sram_accesses
from spikepipe_sched.errors import InputError
from tests.cost.reference import reference_rows

SIZE = st.integers(1, 3000)
BITS = st.sampled_from((1, 8, 16, 32))


# -- SRAM --------------------------------------------------------------------------------------------


@pytest.mark.reference
def test_reads_and_writes_are_those_of_scale_sim_but_for_its_two_defects(reference_data: Path) -> None:
    """Its OS writes R + C values a fold too many, and its WS and IS read no partial sums back."""
    for row in reference_rows(reference_data):
        found = sram_accesses(row.m, row.k, row.n, rows=row.rows, cols=row.cols, layout=row.dataflow)
        surplus = ceil(row.m / row.rows) * ceil(row.n / row.cols) * (row.rows + row.cols) if row.dataflow == "os" else 0
        assert (found.left_reads, found.right_reads, found.writes + surplus) == (row.left_reads, row.right_reads, row.writes), row
        assert found.sum_reads == found.writes - row.m * row.n


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        # 20 x 30 x 17 on 8 x 4: folds of M over rows 3, of N over columns 5, of K over rows 4, of M over columns 5
        ("os", Accesses(left_reads=600 * 5, right_reads=510 * 3, writes=340)),
        ("ws", Accesses(left_reads=600 * 5, right_reads=510, sum_reads=340 * 3, writes=340 * 4)),
        ("is", Accesses(left_reads=600, right_reads=510 * 5, sum_reads=340 * 3, writes=340 * 4)),
        ("os_transposed", Accesses(left_reads=600 * 3, right_reads=510 * 5, writes=340)),
    ],
)
def test_sram_accesses_by_hand(layout: Layout, expected: Accesses) -> None:
    assert sram_accesses(20, 30, 17, rows=8, cols=4, layout=layout) == expected
    assert expected * 2 == expected + expected


# -- DRAM --------------------------------------------------------------------------------------------


def walk(sizes: tuple[int, int, int], tile: tuple[int, int, int], order: tuple[int, ...], bits: tuple[int, int, int, int]) -> int:
    """Bits moved by the loops themselves, with room for one tile of each operand."""
    left_bits, right_bits, out_bits, sum_bits = bits
    blocks = [[min(t, size - start) for start in range(0, size, t)] for size, t in zip(sizes, tile, strict=True)]
    moved, left, right, sums = 0, None, None, None
    done: dict[tuple[int, int], int] = {}
    for at in product(*(range(len(blocks[axis])) for axis in order)):
        place = dict(zip(order, at, strict=True))
        (i, q, j), (m, k, n) = (place[0], place[1], place[2]), (blocks[axis][place[axis]] for axis in range(3))
        if left != (i, q):
            left, moved = (i, q), moved + m * k * left_bits
        if right != (q, j):
            right, moved = (q, j), moved + k * n * right_bits
        if sums != (i, j):  # what was begun before comes back, having been written when it left
            sums, moved = (i, j), moved + (2 * m * n * sum_bits if (i, j) in done else 0)
        done[i, j] = done.get((i, j), 0) + 1
        if done[i, j] == len(blocks[1]):
            moved += m * n * out_bits
    return moved


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    bits=st.tuples(BITS, BITS, st.sampled_from((8, 16)), st.sampled_from((8, 32))),
    spare=st.integers(0, 60),
)
def test_dram_traffic_is_the_least_over_all_tilings_and_loop_orders(sizes: tuple[int, int, int], bits: tuple[int, int, int, int], spare: int) -> None:
    left_bits, right_bits, out_bits, sum_bits = bits
    sram = 2 * (ceil((left_bits + right_bits + sum_bits) / 8) + spare)
    least = min(
        walk(sizes, tile, order, bits)
        for tile in product(range(1, sizes[0] + 1), range(1, sizes[1] + 1), range(1, sizes[2] + 1))
        if tile[0] * tile[1] * left_bits + tile[1] * tile[2] * right_bits + tile[0] * tile[2] * sum_bits <= sram // 2 * 8
        for order in permutations(range(3))
    )
    found = dram_bytes(*sizes, left_bits=left_bits, right_bits=right_bits, out_bits=out_bits, sum_bits=sum_bits, sram_bytes=sram)
    assert found == ceil(least / 8)


@given(size=st.integers(1, 5000))
def test_every_number_of_tiles_is_tried(size: int) -> None:
    tiles = set(_tiles(size).tolist())
    assert {ceil(size / count) for count in range(1, size + 1)} <= tiles <= set(range(1, size + 1))
    assert len(_tiles(size)) <= 2 * size**0.5 + 2


@given(m=SIZE, k=SIZE, n=SIZE, left_bits=BITS, right_bits=BITS, small=st.integers(24, 10**6), more=st.integers(0, 10**6))
def test_more_sram_never_moves_more_and_no_sram_moves_less_than_once(m: int, k: int, n: int, left_bits: int, right_bits: int, small: int, more: int) -> None:
    bits = {"left_bits": left_bits, "right_bits": right_bits, "out_bits": 16, "sum_bits": 32}
    tight, wide, unlimited = (dram_bytes(m, k, n, **bits, sram_bytes=size) for size in (small, small + more, None))
    assert tight >= wide >= unlimited == ceil((m * k * left_bits + k * n * right_bits + m * n * 16) / 8)


@given(m=SIZE, k=SIZE, n=SIZE, left_bits=BITS, right_bits=BITS, sram=st.integers(24, 10**6))
def test_the_transposed_product_moves_the_same(m: int, k: int, n: int, left_bits: int, right_bits: int, sram: int) -> None:
    one = dram_bytes(m, k, n, left_bits=left_bits, right_bits=right_bits, out_bits=16, sum_bits=32, sram_bytes=sram)
    assert one == dram_bytes(n, k, m, left_bits=right_bits, right_bits=left_bits, out_bits=16, sum_bits=32, sram_bytes=sram)


@given(m=SIZE, k=SIZE, n=SIZE, share=st.integers(1, SHARE_PARTS), sram=st.one_of(st.none(), st.integers(24, 10**6)))
def test_an_unrolled_image_moves_like_narrower_values(m: int, k: int, n: int, share: int, sram: int | None) -> None:
    """A quarter of the values are distinct: as if each had a quarter of the bits."""
    bits = {"right_bits": 16, "out_bits": 16, "sum_bits": 32, "sram_bytes": sram}
    quarter = dram_bytes(m, k, n, left_bits=32, left_values=m * k // 4, **bits)
    assert dram_bytes(m, k, n, left_bits=8, **bits) == quarter or (m * k) % 4
    less, more = (dram_bytes(m, k, n, left_bits=16, left_values=max(1, m * k * parts // SHARE_PARTS), **bits) for parts in (share, SHARE_PARTS))
    assert less <= more == dram_bytes(m, k, n, left_bits=16, **bits)


def test_what_cannot_be_counted_is_refused() -> None:
    bits = {"left_bits": 16, "right_bits": 16, "out_bits": 16, "sum_bits": 32}
    with pytest.raises(InputError, match="sram_bytes = 14 is too small: half of it must hold 64 bits"):
        dram_bytes(2, 2, 2, **bits, sram_bytes=14)
    assert dram_bytes(2, 2, 2, **bits, sram_bytes=16) > 24
    with pytest.raises(InputError, match="DRAM traffic may exceed"):
        dram_bytes(2**20, 2**20, 2**20, **bits, sram_bytes=1024)
