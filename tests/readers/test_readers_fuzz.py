"""Files from strangers: whatever a task graph's file holds, it is a problem or one clear line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, Problem, load_problem
from tests.readers.samples import SAMPLES, Sample

#: What damage puts into a file: numbers at the limits, pieces of every syntax, and bytes that are no text.
ODD = (
    *(b"0", b"-1", b"1", b"2", b"3.5", b"1e9", b"nan", b"4398046511104", b"9" * 30, b"9" * 5000, b"0x10", b"+3", "٣".encode()),
    *(b"\x00", b"\xff\xfe", b"\xc3", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\n", b"\t", b" ", b"\x0b", b"\x85", "\u2028".encode()),
    *(b"#", b"//", b"/*", b"*/", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b";", b"->", b"--", b"=", b":", b"+", b"<", b">", b"{" * 300, b"a -> b -> a"),
    *(
        b"<a>",
        b"</graph>",
        b"<!DOCTYPE a>",
        b"<![CDATA[",
        b"&amp;",
        b"&x;",
        b'<rt name="a"/>',
        b"limit=",
        b'<edge source="2" target="1"/>',
        b"<node/>",
        b'encoding="latin-1"',
    ),
    *(
        b"[pair]",
        b"[[pair]]",
        b"[a.b]",
        b'"v"',
        b"chunks = 2\n",
        b"F = [1, 2]\n",
        b"stages",
        b"subgraph",
        b"node [weight=2]",
        b"strict",
        b"weight",
        b"TargetSystem=1",
    ),
)
#: Errors of the file as a whole: no line has them.
WHOLE = (
    "it is empty",
    "there are no tasks",
    "tasks wait for each other",
    "the file does not say on how many processors",
    "problem: ",
)

edits = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "change", "delete", "repeat", "swap", "cut")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 40),
        st.sampled_from(ODD) | st.binary(min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, damage: list[tuple[str, float, int, bytes]]) -> bytes:
    for kind, where, length, new in damage:
        at = int(where * len(content))
        before, piece, after = content[:at], content[at : at + length], content[at + length :]
        if kind == "swap":  # two lines change places
            lines = content.split(b"\n")
            i, j = int(where * len(lines)), length % len(lines)
            lines[i], lines[j] = lines[j], lines[i]
            content = b"\n".join(lines)
        else:
            content = {
                "put": before + new + content[at:],
                "change": before + new + after,
                "delete": before + after,
                "repeat": before + piece * 2 + after,
                "cut": before,
            }[kind]
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def outcome(load: Callable[[], Problem]) -> str:
    """Nothing if a problem comes of it, else the error's message."""
    try:
        assert type(load()) is Problem
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@given(damage=edits)
@settings(max_examples=150)
@pytest.mark.filterwarnings("ignore::spikepipe_sched.RepairWarning")
def test_a_damaged_file_is_a_problem_or_one_line_that_names_it(folder: Path, sample: Sample, damage: list[tuple[str, float, int, bytes]]) -> None:
    message = outcome(lambda: sample.load(folder, damaged(sample.text.encode(), damage)))
    if not message:
        return
    assert message.isprintable()
    assert len(message) < 1000
    path, rest = message[: len(str(folder / sample.name))], message[len(str(folder / sample.name)) :]
    assert path == str(folder / sample.name)
    assert sample.name.endswith(".toml") or re.match(r":\d+: ", rest) or rest[2:].startswith(WHOLE)


@given(damage=edits)
@settings(max_examples=150)
def test_a_damaged_resource_file_is_a_problem_or_one_line_that_names_a_file(folder: Path, damage: list[tuple[str, float, int, bytes]]) -> None:
    sample = next(sample for sample in SAMPLES if sample.beside is not None)
    assert sample.beside is not None
    units, graph = folder / "damaged.xml", folder / sample.name
    units.write_bytes(damaged(sample.beside[1].encode(), damage))
    graph.write_text(sample.text, encoding="utf-8")
    message = outcome(lambda: load_problem(graph, resources=units))
    assert not message or (message.isprintable() and re.match(rf"{folder}/[a-z.]+:(\d+:)? ", message))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_files_that_are_too_large_are_refused_unread(tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("readers.text", "readers.xml_tree", "importers.toml"):
        monkeypatch.setattr(f"spikepipe_sched.{limit}.MAX_FILE_BYTES", 10)
    with pytest.raises(InputError, match=f"{sample.beside[0] if sample.beside else sample.name}.*(at most 10|larger than)"):
        sample.load(tmp_path)
