"""XML from strangers -> elements with their lines.

A document type is refused, and with it every entity of its own making: no expansion without
end, nothing fetched from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn
from xml.parsers import expat

from spikepipe_sched.errors import InputError, shown
from spikepipe_sched.files import read_limited
from spikepipe_sched.readers.text import MAX_FILE_BYTES, Line

#: Deepest nesting of elements.
MAX_DEPTH: Final = 64


@dataclass(slots=True)
class Element:
    """An element: its name without namespace, its attributes, its text without white space around, what is inside."""

    tag: str
    line: Line
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """The children of that name, in any case."""
        return [child for child in self.children if child.tag.lower() == tag]

    def attribute(self, name: str) -> str:
        """An attribute that has to be there, without white space around."""
        if name not in self.attributes:
            raise self.line.error(f"<{self.tag[:60]}> needs the attribute {name}")
        return self.attributes[name].strip()


def read_xml(path: Path, root: str) -> Element:
    """The root element of a file, which has to be of the name ``root``.

    Raises
    ------
    InputError
        With the line, if the file is no such XML.
    """
    data = read_limited(path, MAX_FILE_BYTES)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    top = Element("", Line(path, 1), {})
    open_elements: list[tuple[Element, list[str]]] = [(top, [])]  # with the pieces of their texts

    def here() -> Line:
        return Line(path, parser.CurrentLineNumber)

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > MAX_DEPTH:
            raise here().error(f"elements are nested more than {MAX_DEPTH} deep")
        element = Element(tag.rpartition(" ")[2], here(), attributes)
        open_elements[-1][0].children.append(element)
        open_elements.append((element, []))

    def end(_: str) -> None:
        element, pieces = open_elements.pop()
        element.text = "".join(pieces).strip()

    def characters(text: str) -> None:
        open_elements[-1][1].append(text)

    def doctype(*_: object) -> NoReturn:
        raise here().error("a document type (<!DOCTYPE) is not read; take it out")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, doctype
    try:
        parser.Parse(data, True)
    except InputError:
        raise
    except expat.ExpatError as error:
        raise Line(path, error.lineno).error(f"not valid XML: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError) as error:  # the encoding that the file claims to have
        raise Line(path, 1).error(f"not readable as XML: {shown(str(error))}") from None
    (found,) = top.children
    if found.tag.lower() != root:
        raise found.line.error(f"expected <{root}>, got <{found.tag[:60]}>")
    return found
