"""A page for every command, from what the parser knows of it: nothing is written twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from importlib import import_module
from inspect import Parameter, cleandoc
from typing import cast

from cyclopts import Argument, Group

import spikepipe_sched.cli
from spikepipe_sched.cli import COMMANDS, build_app
from spikepipe_sched.export.html import page
from tests.docs.command_lines import examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An argument or an option as it is typed; ``kind`` names its values, and is empty where it takes none."""

    group: str
    names: tuple[str, ...]
    kind: str
    choices: tuple[str, ...]
    default: str
    required: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What ``spikepipe-sched NAME --help`` says."""

    name: str
    summary: str
    description: tuple[str, ...]
    options: tuple[Option, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Headings of the options, in the order of ``--help``."""
        return tuple(dict.fromkeys(option.group for option in self.options))

    @property
    def usage(self) -> str:
        """The line to type: what it cannot do without, then the rest."""
        given = [option.names[0] if option.required else f"[{option.names[0]}]" for option in self.options if not option.names[0].startswith("-")]
        needed = [
            f"{option.names[0]} {option.kind.upper() or '|'.join(option.choices)}"
            for option in self.options
            if option.required and option.names[0].startswith("-")
        ]
        return " ".join(["spikepipe-sched", self.name, *given, *needed, "[OPTIONS]"])


def read_command(name: str) -> Command:
    """Ask the parser."""
    arguments = build_app([name])[name].assemble_argument_collection(parse_docstring=True)
    leaves = [argument for argument in arguments if argument.names != ("*",)]  # * is a group that dissolves into its fields
    ranks = {"Arguments": -2, "Parameters": -1}
    options = [_option(argument) for argument in leaves]
    order = {group.name: ranks.get(group.name, group.sort_key if isinstance(group.sort_key, int) else 0) for group in map(_group, leaves)}
    function = getattr(import_module(f"spikepipe_sched.cli.{name.replace('-', '_')}"), name.replace("-", "_"))
    about = cleandoc(function.__doc__ or "").split("\n\nParameters\n---")[0]
    summary, *description = (" ".join(paragraph.split()) for paragraph in about.split("\n\n"))
    return Command(name=name, summary=summary, description=tuple(description), options=tuple(sorted(options, key=lambda option: order.get(option.group, 0))))


def _option(argument: Argument) -> Option:
    default = argument.field_info.default
    kind = argument.field_info.annotation if argument.hint is None else argument.hint
    choices = tuple(argument.get_choices() or ())
    flag = kind is bool
    shown = default is not Parameter.empty and default is not None and not flag
    return Option(
        group=_group(argument).name,
        names=tuple(argument.names),
        kind="" if flag or choices else _values(kind),
        choices=choices,
        default=str(default) if shown else "on" if flag and default is True else "",
        required=bool(argument.required),
        text=" ".join((argument.parameter.help or "").split()),
    )


def _group(argument: Argument) -> Group:
    """The heading it stands under."""
    (group,) = cast("tuple[Group]", argument.parameter.group)  # what the parser has resolved is a tuple
    return group


def _values(kind: object) -> str:
    """How the values of a type are called."""
    words = {"str": "text", "int": "whole number", "float": "number", "Path": "file"}
    names = re.findall(r"\w+", kind.__name__ if isinstance(kind, type) else str(kind))
    return next((words[name] for name in names if name in words), names[-1] if names else "")


def exit_codes() -> str:
    """What the exit codes of all commands mean, from the command line's own words."""
    found = re.search(r"^Exit codes: (.*?)(?:\n\n|\Z)", cleandoc(spikepipe_sched.cli.__doc__ or ""), flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


def command_page(command: Command, readme: str) -> str:
    """The page; examples are those of ``readme``."""
    paragraphs = "".join(f"<p>{code(paragraph)}</p>" for paragraph in (command.summary, *command.description))
    sections = [("Usage", f"<pre>{escape(command.usage)}</pre>{paragraphs}")]
    sections += [(group, _table([option for option in command.options if option.group == group])) for group in command.groups]
    lines = examples(command.name, readme)
    if lines:
        sections.append(("Examples", f"<pre>{escape(chr(10).join(lines))}</pre>"))
    codes = "".join(f"<li>{code(part)}</li>" for part in exit_codes().split("; "))
    others = " · ".join(f'<a href="{name}.html">{name}</a>' for name in COMMANDS if name != command.name)
    sections += [("Exit codes", f"<ul>{codes}</ul>"), ("Other commands", f'<p><a href="../index.html">Overview</a> · {others}</p>')]
    return page(f"spikepipe-sched {command.name}", sections)


def _table(options: list[Option]) -> str:
    rows = "".join(
        f'<tr id="{escape(option.names[0].lstrip("-"))}"><td style="white-space:nowrap">{"<br>".join(f"<code>{escape(name)}</code>" for name in option.names)}</td>'
        f"<td>{escape(' | '.join(option.choices) or option.kind)}</td><td>{'required' if option.required else escape(option.default)}</td>"
        f"<td>{code(option.text)}</td></tr>"
        for option in options
    )
    return f'<div class="wide"><table><thead><tr><th></th><th>values</th><th>default</th><th>what it does</th></tr></thead><tbody>{rows}</tbody></table></div>'


def code(text: str) -> str:
    """Escaped, with what stands in double backticks, and options, as code."""
    marked = re.sub(r"``(.+?)``", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"(?<![\w>-])(--[a-z][a-z-]*[a-z])(?![^<]*</code>)", r"<code>\1</code>", marked)
