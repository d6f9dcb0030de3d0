"""What is written about the command line is what the parser knows: pages, README, CONTRIBUTING, notebooks."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from spikepipe_sched import list_networks, list_platforms, solver_names
from spikepipe_sched.cli import COMMANDS, main
from spikepipe_sched.validate.data import data_names
from spikepipe_sched.validate.policies import POLICIES
from tests.docs.__main__ import build_pages
from tests.docs.api import modules
from tests.docs.command_lines import arguments, examples, mentioned, parse, shown, spans, texts
from tests.docs.commands import Command, Option, command_page, exit_codes, read_command
from tests.docs.library import library_page
from tests.docs.solvers import linked, solvers_page

TEXTS = texts()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
#: A word in capitals, or in braces in a notebook, stands for what a reader fills in.
PLACEHOLDER = re.compile(r"\{\w+\}|[A-Z][A-Z_.]+")


class Words(HTMLParser):
    """The text of a page, what it would fetch, and where its links lead."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text = ""
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(markup)
        self.close()

    def __contains__(self, text: str) -> bool:
        """Whether it says so; blanks and tags make no difference."""
        return "".join(text.split()) in "".join(self.text.split())

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")]
        self.links += [value or "" for name, value in attrs if tag == "a" and name == "href"]


@cache
def command(name: str) -> Command:
    return read_command(name)


@cache
def page(name: str) -> Words:
    return Words(command_page(command(name), TEXTS["README.md"]))


def options(name: str) -> dict[str, Option]:
    return {typed: option for option in command(name).options for typed in option.names}


def wrong(words: list[str], *, whole: bool = True) -> str:
    """What is wrong with a command line; an empty text if nothing is. One that is not ``whole`` may lack arguments."""
    if words[0] not in COMMANDS:
        return "" if words == ["--help"] else f"there is no command '{words[0]}'"
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in (*options(words[0]), "--help")]
    if unknown:
        return f"{words[0]} has no {', '.join(unknown)}"
    if any(PLACEHOLDER.fullmatch(word) for word in words):
        return ""
    try:
        parse(words)
    except MissingArgumentError as error:
        return str(error) if whole else ""
    except CycloptsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_page_explains_every_option_that_help_shows(name, capsys):
    assert main([name, "--help"]) == 0
    typed = set(OPTION.findall(capsys.readouterr().out)) - {"--help", "--version"}
    assert typed <= set(OPTION.findall(page(name).text))
    for option in command(name).options:
        assert option.text, f"{name} {option.names[0]} has no text"
        assert all(part in page(name) for part in (option.text.replace("``", ""), *option.names, *option.choices, option.default))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_page_says_what_the_command_does_and_fetches_nothing(name):
    assert COMMANDS[name] == command(name).summary
    parts = (command(name).summary, command(name).usage, *(paragraph.replace("``", "") for paragraph in command(name).description))
    assert all(part in page(name) for part in parts)
    assert all(example in page(name) for example in examples(name, TEXTS["README.md"]))
    assert page(name).fetched == []


def test_options_stand_under_the_headings_of_help():
    assert command("solve").groups == ("Arguments", "Parameters", "Job and limits", "Network and training", "Cost model", "Search")
    assert options("solve")["--batch"].default == "16"
    assert options("solve")["-P"] is options("solve")["--processors"]
    assert options("solve")["--dgrad"].choices == ("col2im", "transposed")
    assert command("schema").usage == "spikepipe-sched schema [KIND] [OPTIONS]"
    assert command("sweep").usage == "spikepipe-sched sweep FILE --store FILE [OPTIONS]"


def test_exit_codes_are_those_of_the_command_line():
    assert re.findall(r"\b(?:0|1|2|130|141)\b", exit_codes()) == ["0", "1", "2", "130", "141"]
    assert "an interval" not in exit_codes()
    assert exit_codes().split("; ")[-1] in page("solve")


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_line_shown_fits_its_command(name):
    faults = {line: fault for line in shown(TEXTS[name]) if (fault := wrong(arguments(line)))}
    faults |= {line: fault for line in mentioned(TEXTS[name]) if (fault := wrong(arguments(line), whole=False))}
    assert not faults


def test_the_readme_shows_command_lines():
    """Lest the test above finds nothing to read."""
    lines = shown(TEXTS["README.md"])
    assert ["solve", "dvs_gesture_conv", "--processors", "4", "--time-limit", "10", "-o", "schedule.json"] in [arguments(line) for line in lines]
    assert len(lines) > 10
    assert mentioned(TEXTS["README.md"])


def test_faults_of_command_lines_are_found():
    assert wrong(["solve", "tiny", "--processors", "two"])
    assert wrong(["solve", "tiny", "--mode", "sometimes"])
    assert wrong(["solve", "tiny", "--no-such-option"]) == "solve has no --no-such-option"
    assert wrong(["resolve", "tiny"]) == "there is no command 'resolve'"
    assert wrong(["solve"])
    assert not wrong(["check", "FILE", "--json"])
    assert arguments("spikepipe-sched show a.json > out.txt  # a comment") == ["show", "a.json"]


@pytest.mark.parametrize("name", TEXTS)
def test_every_option_mentioned_alone_exists_with_the_value_it_is_given(name):
    known: dict[str, list[Option]] = {}
    for each in COMMANDS:
        for typed, option in options(each).items():
            known.setdefault(typed, []).append(option)
    for span in spans(TEXTS[name]):
        if not re.match(r"--?[a-zA-Z]", span):
            continue
        typed, value, *_ = *re.split(r"[ =]", span, maxsplit=1), ""
        assert typed in known, f"{name}: no command has {typed}"
        fits = [not option.choices or set(value.split(" ", maxsplit=1)[0].split("|")) <= {"", *option.choices} for option in known[typed]]
        assert any(fits), f"{name}: {typed} does not take {value}"


def test_defaults_told_in_the_readme_are_those_of_the_parser():
    """As in: `--margin` (1 point if not given)."""
    told = re.findall(r"`(--[a-z-]+)`[^`.;]{0,20}\(([\d.]+)[^()]* if not given\)", TEXTS["README.md"])
    assert told
    for typed, value in told:
        defaults = [float(option.default) for name in COMMANDS if (option := options(name).get(typed)) is not None]
        assert float(value) in defaults, typed


def test_the_readmes_table_names_every_command_once():
    table = TEXTS["README.md"].split("| command | does |")[1].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`([a-z-]+)`", row)) == sorted(COMMANDS)


def test_the_solvers_page_has_them_all_with_links_to_their_sources():
    markup = solvers_page()
    assert all(f"<h2>{name}</h2>" in markup for name in solver_names())
    assert '<a href="https://arxiv.org/abs/' in markup
    assert Words(markup).fetched == []
    assert linked("a <b>, doi:10.1145/1498765.1498785, arXiv:1911.09925") == (
        'a &lt;b&gt;, <a href="https://doi.org/10.1145/1498765.1498785">doi:10.1145/1498765.1498785</a>,'
        ' <a href="https://arxiv.org/abs/1911.09925">arXiv:1911.09925</a>'
    )


def test_the_library_page_has_all_that_the_commands_list():
    markup = library_page()
    names = [entry.name for entry in (*list_networks(), *list_platforms())]
    assert all(f"<td><code>{name}</code></td>" in markup for name in (*names, *data_names(), *POLICIES))
    assert Words(markup).fetched == []


def test_links_between_pages_lead_somewhere(tmp_path):
    build_pages(tmp_path)
    pages = sorted(tmp_path.rglob("*.html"))
    assert {path.stem for path in pages} >= {"index", "solvers", "library", *COMMANDS}
    for path in pages:
        words = Words(path.read_text(encoding="utf-8"))
        inside = [link for link in words.links if not link.startswith(("https://doi.org/", "https://arxiv.org/", "api/"))]
        assert [link for link in (*inside, *words.fetched) if not (path.parent / link).is_file()] == [], path.name
    for path in (tmp_path / "schemas").iterdir():
        assert json.loads(path.read_text(encoding="utf-8")).keys() & {"$schema", "$ref", "$defs", "properties"}


def test_the_reference_covers_every_module_of_the_three_packages():
    names = modules()
    assert {"spikepipe_sched.solver", "spikepipe_solvers.cpsat.model", "spikepipe_problems", "spikepipe_sched.validate.policies.policy"} <= set(names)
    assert len(names) == len(set(names))
