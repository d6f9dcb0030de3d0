"""Pages read as a browser does, and names that try to break out of them."""

from __future__ import annotations

from html.parser import HTMLParser

from spikepipe_sched.problem import Problem
from tests.helpers import platform, training_graph

EVIL = ("</script><img src=x onerror=alert(1)>", "'\"><svg onload=alert(2)>", "<!--<script>", "%{y}<b>&lt;")


class Tags(HTMLParser):
    """Tags and attributes as a browser sees them: text inside scripts is no markup."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def ids(self) -> list[str | None]:
        """All identifiers."""
        return [value for name, value in self.attributes if name == "id"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)


def evil_problem() -> Problem:
    graph = training_graph(names=EVIL)
    graph.graph["name"] = EVIL[0]
    return Problem.from_graph(graph, platform())
