"""Rows that SCALE-Sim itself wrote: cycles and SRAM accesses of single products."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRow:
    m: int
    k: int
    n: int
    rows: int
    cols: int
    dataflow: Literal["os", "ws", "is"]
    cycles: int
    left_reads: int
    right_reads: int
    writes: int


def reference_rows(folder: Path) -> list[ReferenceRow]:
    """All rows of the reference file."""
    with (folder / "scalesim_sample.csv").open(newline="") as file:
        rows = [
            ReferenceRow(
                m=int(row["M"]),
                k=int(row["K"]),
                n=int(row["N"]),
                rows=int(row["array_rows"]),
                cols=int(row["array_cols"]),
                dataflow=cast('Literal["os", "ws", "is"]', row["dataflow"]),
                cycles=int(row["ss_compute_cycles"]),
                left_reads=int(row["sram_ifmap_reads"]),
                right_reads=int(row["sram_filter_reads"]),
                writes=int(row["sram_ofmap_writes"]),
            )
            for row in csv.DictReader(file)
        ]
    assert len(rows) > 100
    return rows
