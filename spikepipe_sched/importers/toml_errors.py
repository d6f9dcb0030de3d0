"""What is wrong with a TOML file, told to its author: the place, what was expected, what was found.

msgspec says which rule was broken and where; the words come from the file's own structure
(`msgspec.inspect`), so that a field added there is explained here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, inspect

_AT: Final = re.compile(r"(.*?)(?: - at (`key` in )?`(\$[\w.\[\]]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_LONGEST: Final = 40

T = TypeVar("T", bound=inspect.Type)


def explain(message: str, raw: dict[str, Any], kind: type[Struct]) -> str:
    """One line for msgspec's ``message`` about ``raw``, which was to become a ``kind``."""
    place = _Place(value=raw, rule=inspect.type_info(kind), path="$", label="")
    # A field at the top may have any name, even one that reads like the path of another.
    at_top = any(message == f"Object contains unknown field `{name}`" for name in raw)
    parts = _AT.fullmatch(message)
    assert parts is not None  # both of its groups may be missing
    what, key, path = (message, None, None) if at_top else parts.groups()
    for step in _STEP.finditer(path or ""):
        place = place.item(int(step[2])) if step[2] else place.field(step[1]) if step[1] else place.value_that_fails()
    if key:
        text = f"expected {_words(_one(place.rule, inspect.DictType).key_type)} as a name, got {_found(place.key_that_fails())}"
    elif found := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        known = place.fields()
        text = f"unknown field {_found(found[1])}" + (_near(found[1], known) or f"; known: {', '.join(known)}")
    elif found := re.fullmatch(r"Object missing required field `(\w+)`", what):
        text = f"the field '{found[1]}' is missing: {_words(place.fields()[found[1]])}"
    else:
        text = f"expected {_words(place.rule)}, got {_found(place.value)}{_near(place.value, _choices(place.rule))}"
    return f"{place.label}{place.path}: {text}"


def printable(text: str) -> str:
    """``text`` on one line, with what a terminal cannot show as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A value of the file, the rule it was to follow, its JSON path, and the layer it belongs to."""

    value: Any
    rule: inspect.Type
    path: str
    label: str

    def field(self, name: str) -> _Place:
        return _Place(value=self.value[name], rule=self.fields()[name], path=f"{self.path}.{name}", label=self.label)

    def item(self, index: int) -> _Place:
        value, path = self.value[index], f"{self.path}[{index}]"
        name = value.get("name") if self.path == "$.layers" and isinstance(value, dict) else None
        label = f"layer {_found(name)} at " if isinstance(name, str) else self.label
        return _Place(value=value, rule=_one(self.rule, inspect.ListType).item_type, path=path, label=label)

    def value_that_fails(self) -> _Place:
        """The first of a table's values that does not convert: msgspec does not say which it was."""
        item = _one(self.rule, inspect.DictType).value_type
        assert isinstance(item, inspect.StructType)
        name, value = next((name, value) for name, value in self.value.items() if not _converts(value, item.cls))
        return _Place(value=value, rule=item, path=f"{self.path}.{name if name.isidentifier() else _found(name)}", label=self.label)

    def key_that_fails(self) -> str:
        """The first of a table's names that is not allowed."""
        rule = _one(self.rule, inspect.DictType).key_type
        assert isinstance(rule, inspect.StrType)
        longest = rule.max_length or sys.maxsize
        return next(name for name in self.value if not ((rule.min_length or 0) <= len(name) <= longest and re.search(rule.pattern or "", name)))

    def fields(self) -> dict[str, inspect.Type]:
        """The fields that may stand here and their types; of several kinds of table, those of the kind that the table names."""
        structs = [member for member in _members(self.rule) if isinstance(member, inspect.StructType)]
        tag_field = structs[0].tag_field
        chosen = [struct for struct in structs if tag_field is None or struct.tag == self.value.get(tag_field)]
        fields: dict[str, inspect.Type] = {}
        if tag_field is not None:
            fields[tag_field] = inspect.LiteralType(tuple(struct.tag for struct in structs))
        for struct in chosen:
            fields |= {field.encode_name: field.type for field in struct.fields}
        return fields


def _members(rule: inspect.Type) -> tuple[inspect.Type, ...]:
    """The alternatives of a union without "nothing", which TOML cannot write; else the rule itself."""
    return tuple(member for member in rule.types if not isinstance(member, inspect.NoneType)) if isinstance(rule, inspect.UnionType) else (rule,)


def _one(rule: inspect.Type, kind: type[T]) -> T:
    """The one alternative of that kind."""
    (found,) = (member for member in _members(rule) if isinstance(member, kind))
    return found


def _converts(value: object, kind: type[Struct]) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _choices(rule: inspect.Type) -> list[str]:
    return [str(value) for member in _members(rule) if isinstance(member, inspect.LiteralType) for value in member.values]


def _near(name: object, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean '{close[0]}'?" if close else ""


def _words(rule: inspect.Type) -> str:
    """What may stand there: ``a whole number from 1 to 2^31``."""
    match rule:
        case inspect.UnionType():
            return " or ".join(dict.fromkeys(_words(member) for member in _members(rule)))
        case inspect.LiteralType():
            return f"one of {', '.join(_choices(rule))}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_range(rule)}"
        case inspect.FloatType():
            return f"a number{_range(rule)}"
        case inspect.StrType(max_length=None):
            return "text that is not empty" if rule.min_length else "text"
        case inspect.StrType():
            return f"text of {rule.min_length or 0} to {rule.max_length} {'printable ' if rule.pattern else ''}characters"
        case inspect.ListType():
            least, most = rule.min_length or 0, rule.max_length
            many = "" if most is None else f"{most} " if least == most else f"{least} to {most} "
            return f"a list of {many}values, each {_words(rule.item_type)}"
        case inspect.DictType():
            return f"a table of {'one or more ' if rule.min_length else ''}tables with names of your own"
        case _:
            return "a table"


def _range(rule: inspect.IntType | inspect.FloatType) -> str:
    """`` from 1 to 2^31``, `` above 0 and up to 8``; the file's numbers have an upper bound."""
    least = f" above {rule.gt:g} and up" if rule.gt is not None else f" from {rule.ge:g}" if rule.ge is not None else " up"
    most = rule.le or 0
    power = int(most).bit_length() - 1
    return f"{least} to {f'2^{power}' if power > 20 and most == 2**power else f'{most:g}' if isinstance(rule, inspect.FloatType) else int(most)}"


def _found(value: object) -> str:
    """A value of the file, shortened, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 2**64 else f"a number beyond {'' if value > 0 else '-'}2^64"
    if isinstance(value, str | float):
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]}...{text[-1]}"
    if isinstance(value, list):
        return (
            f"[{', '.join(_found(item) for item in value)}]"
            if len(value) <= 5 and not any(isinstance(v, list | dict) for v in value)
            else f"a list of {len(value)}"
        )
    if isinstance(value, dict):
        return "a table" if value else "an empty table"
    return "a date or time"
