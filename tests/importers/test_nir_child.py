"""The process that opens HDF5 files: what it says, and what its parent says when it does not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_network, nir_child
from spikepipe_sched.importers.nir_file import read_structure
from tests.importers.nir_files import lif, weights, write_nir

FILES = Path(__file__).parents[1] / "data" / "nir"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit all of it")


def refusal(monkeypatch: pytest.MonkeyPatch, path: Path, body: str) -> str:
    """What the parent says when the child's reader has this body."""
    program = f"import os, sys, time\nfrom spikepipe_sched.importers import nir_child\ndef read_structure(path):\n    {body}\n"
    monkeypatch.setattr(nir_child, "PROGRAM", program + "nir_child.read_structure = read_structure\nnir_child.main()")
    with pytest.raises(InputError) as error:
        _ = load_network(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_nir(tmp_path / "net.nir", {"fc": weights(3, 4), "n": lif(3)})


@pytest.mark.parametrize("name", ["01_lif__lif_norse", "02_cnn__cnn_sinabs", "03_rnn__braille_noDelay_bias_zero"])
def test_the_child_hands_over_what_it_has_read(name: str) -> None:
    assert nir_child.read_limited_graph(FILES / f"{name}.nir") == read_structure(str(FILES / f"{name}.nir"))


def test_any_folder_and_any_name_will_do(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ein Ordner mit Ümläuten"
    folder.mkdir()
    shutil.copy(path, folder / "-c 'x'.nir")
    monkeypatch.chdir(folder)
    Path("json.py").write_text("raise RuntimeError('a module of the folder')")
    Path("h5py.py").write_text("raise RuntimeError('a module of the folder')")
    assert len(nir_child.read_limited_graph("-c 'x'.nir").nodes) == 4


def test_the_child_finds_the_modules_its_parent_finds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a folder put on sys.path in a notebook, which no environment variable tells."""
    (tmp_path / "only_on_the_parents_path.py").write_text("word = 'found'")
    monkeypatch.syspath_prepend(tmp_path)
    body = "import only_on_the_parents_path; raise nir_child.InputError(only_on_the_parents_path.word)"
    assert refusal(monkeypatch, path, body).endswith(": found")


def test_the_child_starts_fast_because_it_imports_only_what_reading_needs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "raise nir_child.InputError(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    loaded = refusal(monkeypatch, path, body).split(": ")[-1].split()
    assert "spikepipe_sched" in loaded
    assert not {"torch", "networkx", "ortools", "plotly", "scipy", "onnx", "rich", "cyclopts"} & {*loaded}


def test_a_platform_without_limits_reads_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_child, "PROGRAM", f"sys.modules['resource'] = None\n{nir_child.PROGRAM}")
    assert len(nir_child.read_limited_graph(path).nodes) == 4


@LINUX
def test_a_child_that_works_forever_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_child, "CPU_SECONDS", 1)
    assert "more than 1 s of processor time" in refusal(monkeypatch, path, "while True: pass")


def test_a_child_that_waits_forever_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_child, "WALL_SECONDS", 1)
    assert "took more than 1 s" in refusal(monkeypatch, path, "time.sleep(1000)")


@LINUX
def test_a_child_that_asks_for_too_much_memory_is_refused_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "more than 2048 MiB of memory" in refusal(monkeypatch, path, "bytearray(2 * 2**30)")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param("import ctypes; ctypes.string_at(0)", "died (SIGSEGV", marks=LINUX),
        pytest.param("os.abort()", "died (SIGABRT", marks=LINUX),
        ("os._exit(7)", "died (exit code 7)"),
        ("raise RuntimeError('of all things')", "failed (exit code 1): RuntimeError: of all things"),
    ],
)
def test_a_child_that_dies_leaves_its_last_words(path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str) -> None:
    assert words in refusal(monkeypatch, path, body)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("", "no valid answer"),
        ("{}", "an empty answer"),
        ('{"graph": 3}', "no valid answer"),
        ('{"error": "x", "more": 1}', "no valid answer"),
        ('{"graph": {"nodes": {}, "edges": [["a", "b"]]}}', "'a', which is not a node"),
        ('{"graph": {"nodes": {"a": {"name": "a", "kind": "Linear", "shapes": {"weight": [-1, 2]}}}, "edges": []}}', "no valid answer"),
        ('{"graph": {"nodes": {"a": {"name": "a", "kind": "Linear", "shapes": {"weight": [2.5]}}}, "edges": []}}', "no valid answer"),
    ],
)
def test_the_answer_is_checked_field_by_field(path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, words: str) -> None:
    assert words in refusal(monkeypatch, path, f"sys.stdout.write({answer!r}); sys.stdout.flush(); os._exit(0)")


def test_an_endless_answer_is_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_child, "REPLY_BYTES", 10_000)
    assert "more than 10000 bytes" in refusal(monkeypatch, path, "while True: os.write(1, b'x' * 1000)")


@pytest.mark.parametrize("interpreter", ["", os.path.join("no", "such", "python")])  # noqa: PTH118
def test_without_an_interpreter_the_message_says_what_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    with pytest.raises(InputError, match="in a process of their own"):
        _ = load_network(path)
