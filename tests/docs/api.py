"""The reference of the Python packages, by pdoc from their docstrings."""

from __future__ import annotations

import pkgutil
import warnings
from importlib import import_module
from pathlib import Path

PACKAGES = ("spikepipe_sched", "spikepipe_solvers", "spikepipe_problems")


def build_api(output: Path) -> None:
    """Write a page per module.

    Raises
    ------
    UserWarning
        If a name that a package offers cannot be found, or a docstring cannot be read.
    """
    import pdoc.render

    for name in modules():
        module = import_module(name)
        for public in getattr(module, "__all__", ()):  # names that load on first use are loaded: pdoc looks at what is there
            setattr(module, public, getattr(module, public))
        if hasattr(module, "__all__") and hasattr(module, "__path__"):  # pdoc would hide all modules that are not in this list
            vars(module)["__all__"] = sorted({*module.__all__, *(info.name for info in pkgutil.iter_modules(module.__path__))} - {"__main__"})
    pdoc.render.configure(docformat="numpy", template_directory=Path(__file__).parent / "theme", footer_text="spikepipe_sched", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Fields of named tuples, and aliases made of strings, are known by name alone outside their module; they are shown as written.
        warnings.filterwarnings("ignore", message="Error parsing type annotation")
        pdoc.pdoc(*PACKAGES, output_directory=output)
    for path in output.rglob("*.html"):  # pdoc's NumPy form knows no literal blocks: it shows them, and both colons before
        path.write_text(path.read_text(encoding="utf-8").replace("::</p>", ":</p>"), encoding="utf-8")


def modules() -> list[str]:
    """All modules of the three packages."""
    found: list[str] = list(PACKAGES)
    for name in PACKAGES:
        found += [info.name for info in pkgutil.walk_packages(import_module(name).__path__, f"{name}.") if not info.name.endswith(".__main__")]
    return found
