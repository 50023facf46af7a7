"""The API reference: a page for each package of `mmusim`, from its docstrings.

A package that lists public names in `__all__` shows these; any other shows its own modules.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import mmusim

HIDDEN: Final = {"tests", "cli"}
"""Tests are no API, and the command line has a page of its own."""


def write(folder: Path) -> None:
    """Write a page for each package and an index; leave pages alone that are as they should be."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = [info.name for info in pkgutil.iter_modules(mmusim.__path__) if info.ispkg]
    pages = {name: _page(name) for name in packages if name not in HIDDEN}
    pages["index"] = _index(pages)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.stem not in pages:
            path.unlink()


def _index(pages: dict[str, str]) -> str:
    packages = [
        f"| [mmusim.{name}]({name}.md) | {_summary(import_module(f'mmusim.{name}'))} |"
        for name in pages
    ]
    names = [
        f"| `{name}` | [{_home(name)}]({_home(name).split('.')[1]}.md) "
        f"| {_summary(getattr(mmusim, name))} |"
        for name in mmusim.__all__
    ]
    return "\n".join(
        [
            "# Python API\n",
            "Python does what the command line does. `import mmusim` gives these names:\n",
            "| name | defined in | what it is |\n|---|---|---|",
            *names,
            "\nEach package is for one stage or one task:\n",
            "| package | what it is for |\n|---|---|",
            *packages,
            "\n```{toctree}\n:hidden:\n",
            *pages,
            "```\n",
        ]
    )


def _home(name: str) -> str:
    return str(getattr(mmusim, name).__module__)


def _page(name: str) -> str:
    package = import_module(f"mmusim.{name}")
    listed = getattr(package, "__all__", None)
    if listed is not None:
        return "\n".join(
            [f"# mmusim.{name}\n", _automodule(f"mmusim.{name}", ":imported-members:")]
        )
    parts = [f"# mmusim.{name}\n", _automodule(f"mmusim.{name}", ":no-members:")]
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg and not info.name.startswith("_"):
            parts += [f"## {name}.{info.name}\n", _automodule(f"mmusim.{name}.{info.name}")]
    return "\n".join(parts)


def _automodule(name: str, *options: str) -> str:
    lines = [f".. automodule:: {name}", *(f"   {option}" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```\n"])


def _summary(thing: ModuleType | object) -> str:
    first = (thing.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|").replace("``", "`")
