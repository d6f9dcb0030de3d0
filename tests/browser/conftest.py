"""Pages in a real browser: Debian's Chromium, driven by playwright, one for all tests, without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

#: Opens a page from its HTML: (html, color_scheme="light", width=1280).
Open = Callable[..., "Page"]
#: A browser that does what it is told, and looks for nothing on its own.
_QUIET = ("sandbox", "first-run"), ("gpu", "quic", "background-networking", "component-update", "sync")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The one browser."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -c constraints.txt '.[dev]' in the repository")
    path = os.environ.get("SPIKEPIPE_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in SPIKEPIPE_CHROMIUM")
    switches = [f"--no-{name}" for name in _QUIET[0]] + [f"--disable-{name}" for name in _QUIET[1]]
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=switches)
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens pages; whatever they do, none may ask for anything else, open a dialog, or write an error."""
    asked: list[str] = []
    wrong: list[str] = []
    contexts = []

    def refuse(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def start(html: str, *, color_scheme: Any = "light", width: int = 1280) -> Page:
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(offline=True, color_scheme=color_scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", refuse)
        page.goto(file.as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert not wrong
    assert asked == [(tmp_path / f"page{i}.html").as_uri() for i in range(len(contexts))]
