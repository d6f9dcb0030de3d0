"""What the cost model reads from a platform: ranges, files, and the library's own figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched.cost import CostModel, Gemm, Work, task_cost
from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import list_platforms, load_platform
from spikepipe_sched.platform import Energy, SystolicArray

FILE = """
name = "two"
clock_hz = 1_000_000
processors = ["a", "a"]

[classes.a]
rows = 8
cols = 4
lanes = 4
sram_bytes = 4096
dram_bytes_per_cycle = 2.5
vector_latency_cycles = 3
accumulator_bits = 24

[classes.a.energy]
source = "made up"
mac_pj = 2
add_pj = 0.5
vector_pj = 1.0
sram_pj_per_byte = 3.0
dram_pj_per_byte = 100.0

[interconnect]
latency_cycles = 3
bandwidth_bytes_per_cycle = 8
"""
ENERGY = Energy(mac_pj=2.0, add_pj=0.5, vector_pj=1.0, sram_pj_per_byte=3.0, dram_pj_per_byte=100.0, source="made up")


def write(folder: Path, text: str) -> str:
    path = folder / "platform.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_may_give_memories_latency_and_energies(tmp_path: Path) -> None:
    array = load_platform(write(tmp_path, FILE)).classes["a"]
    assert array == SystolicArray(
        rows=8, cols=4, lanes=4, sram_bytes=4096, dram_bytes_per_cycle=2.5, vector_latency_cycles=3, accumulator_bits=24, energy=ENERGY
    )
    bare = load_platform(write(tmp_path, FILE[: FILE.index("sram_bytes")] + FILE[FILE.index("[interconnect]") :])).classes["a"]
    assert bare == SystolicArray(rows=8, cols=4, lanes=4)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("dram_bytes_per_cycle = 2.5", "dram_bytes_per_cycle = 0", "dram_bytes_per_cycle"),
        ("dram_bytes_per_cycle = 2.5", "dram_bytes_per_cycle = inf", "dram_bytes_per_cycle"),
        ("sram_bytes = 4096", "sram_bytes = 0.5", "sram_bytes"),
        ("sram_bytes = 4096", "sram_byte = 4096", "sram_byte"),
        ("mac_pj = 2", "mac_pj = -2", "energy.mac_pj"),
        ("mac_pj = 2\n", "", "mac_pj"),
        ('source = "made up"', "", "source"),
        ('source = "made up"', 'source = ""', "energy.source"),
    ],
)
def test_a_damaged_file_gives_one_line_with_the_place(tmp_path: Path, old: str, new: str, field: str) -> None:
    assert FILE.count(old) == 1
    with pytest.raises(InputError) as error:
        load_platform(write(tmp_path, FILE.replace(old, new)))
    assert "platform.toml: " in str(error.value)
    assert field in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sram_bytes": 0}, "sram_bytes must be at least 1, got 0"),
        ({"accumulator_bits": 0}, "accumulator_bits must be at least 1, got 0"),
        ({"dram_bytes_per_cycle": 0}, "dram_bytes_per_cycle must be a number above 0, got 0"),
        ({"dram_bytes_per_cycle": float("inf")}, "dram_bytes_per_cycle must be a number above 0, got inf"),
        ({"vector_latency_cycles": -1}, "vector_latency_cycles must not be negative, got -1"),
    ],
)
def test_an_array_out_of_range_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"systolic array: {words}"):
        SystolicArray(rows=8, cols=8, **changes)


def test_energies_are_numbers_with_a_source() -> None:
    with pytest.raises(InputError, match="energy: sram_pj_per_byte must be a number that is not negative, got nan"):
        replace(ENERGY, sram_pj_per_byte=float("nan"))
    with pytest.raises(InputError, match="energy: source is empty"):
        replace(ENERGY, source="")


@pytest.mark.parametrize("name", [entry.name for entry in list_platforms()])
def test_every_library_platform_can_count_stalls_and_names_what_it_assumes(name: str) -> None:
    platform = load_platform(name)
    for array in platform.classes.values():
        assert array.sram_bytes is not None
        cost = task_cost(Work(gemms=(Gemm(m=64, k=64, n=64, left_bits=1),)), array, CostModel(stalls=True))
        assert cost.cycles > 0
        assert (cost.energy_pj is None) == (array.energy is None)
        assert array.energy is None or "doi:" in array.energy.source


@pytest.mark.parametrize(
    ("name", "rows", "cols", "clock_hz", "sram_bytes"),
    [
        ("tpu256", 256, 256, 700_000_000, (24 + 4) * 2**20),
        ("array128", 128, 128, 700_000_000, 16 * 2**20),
        ("gemmini16", 16, 16, 1_000_000_000, (256 + 64) * 2**10),
        ("eyeriss", 12, 14, 200_000_000, 108 * 2**10),
        ("array32", 32, 32, 500_000_000, 3 * 64 * 2**10),
    ],
)
def test_published_dimensions(name: str, rows: int, cols: int, clock_hz: int, sram_bytes: int) -> None:
    platform = load_platform(name)
    (array,) = platform.classes.values()
    assert (array.rows, array.cols, platform.clock_hz, array.sram_bytes) == (rows, cols, clock_hz, sram_bytes)
    assert (array.processing_elements, platform.processors) == (rows * cols, (name,) * 4)


def test_the_peak_of_tpu256_is_the_published_one() -> None:
    """92 tera-operations a second: a multiply-accumulate is two."""
    platform = load_platform("tpu256")
    assert 2 * platform.classes["tpu256"].processing_elements * platform.clock_hz == pytest.approx(92e12, rel=0.01)
