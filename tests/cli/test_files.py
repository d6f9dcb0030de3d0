"""``show``, ``check`` and ``export``: the commands that read a schedule file."""

from __future__ import annotations

import json

import pytest


def test_check_confirms_a_valid_file(run, schedule_file):
    done = run("check", schedule_file)
    assert done.code == 0
    assert "valid" in done.out
    assert json.loads(run("check", schedule_file, "--json").out) == {"valid": True, "violations": []}


@pytest.fixture
def wrong_file(schedule_file, tmp_path):
    """A schedule file in which all tasks start at once."""
    document = json.loads(schedule_file.read_text())
    for task in document["schedule"]["tasks"]:
        task["start_cycles"] = 0
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    return path


def test_check_lists_every_violation(run, wrong_file):
    done = run("check", wrong_file)
    assert done.code == 1
    found = json.loads(run("check", wrong_file, "--json").out)
    assert not found["valid"]
    kinds = {violation["kind"] for violation in found["violations"]}
    assert {"overlap", "precedence"} <= kinds
    assert len(done.out.splitlines()) == len(found["violations"]) + 1
    for violation in found["violations"]:
        assert violation["message"] in done.out


def test_show_draws_every_processor(run, schedule_file):
    done = run("show", schedule_file, "--width", 80)
    assert done.code == 0
    assert all(name in done.out for name in ("p0", "p1", "tiny", "period"))
    assert all(len(line) <= 80 for line in done.out.splitlines() if "|" in line)


def test_show_json_is_the_file(run, schedule_file):
    assert json.loads(run("show", schedule_file, "--json").out) == json.loads(schedule_file.read_text())


def test_export_chrome_is_a_trace(run, schedule_file, tmp_path):
    printed = run("export", schedule_file, "--format", "chrome")
    assert json.loads(printed.out)["traceEvents"]
    file = tmp_path / "trace.json"
    assert run("export", schedule_file, "--format", "chrome", "-o", file).code == 0
    assert json.loads(file.read_text()) == json.loads(printed.out)


def test_export_html_is_a_page_of_its_own(run, schedule_file, tmp_path):
    file = tmp_path / "page.html"
    assert run("export", schedule_file, "--format", "html", "-o", file).code == 0
    page = file.read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "F(fc1,0)" in page
    assert '<script src="http' not in page


def test_nothing_to_export_is_bad_input(run, tmp_path):
    file = tmp_path / "none.json"
    run("solve", "tiny", "--solver", "stages", "--max-period", 10, "-o", file)
    done = run("export", file, "--format", "html")
    assert done.code == 2
    assert "no schedule" in done.err
