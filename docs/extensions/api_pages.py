"""The API reference: a page for each package of `mmusim`, from its docstrings."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import mmusim

HIDDEN = {"tests"}


def write(folder: Path) -> None:
    """Write a page for each package and an index; leave pages alone that are as they should be."""
    folder.mkdir(parents=True, exist_ok=True)
    rooms = [info.name for info in pkgutil.iter_modules(mmusim.__path__)]
    pages = {name: _page(name) for name in rooms if name not in HIDDEN and name[0] != "_"}
    pages["index"] = _index(pages)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.stem not in pages:
            path.unlink()


def _index(pages: dict[str, str]) -> str:
    first = {name: _summary(import_module(f"mmusim.{name}")) for name in pages}
    rows = "\n".join(f"| [mmusim.{name}]({name}.md) | {first[name]} |" for name in pages)
    toctree = "\n".join(pages)
    return (
        "# Python API\n\n"
        "Everything that the command line does can be done from Python. `import mmusim` gives the "
        "names of a normal session:\n\n"
        "```{eval-rst}\n.. automodule:: mmusim\n   :no-members:\n```\n\n"
        f"| package | what it is for |\n|---|---|\n{rows}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


def _page(name: str) -> str:
    module = import_module(f"mmusim.{name}")
    parts = [f"# mmusim.{name}\n", _automodule(f"mmusim.{name}")]
    for below in _below(module):
        parts += [f"## {below.removeprefix('mmusim.')}\n", _automodule(below)]
    return "\n".join(parts)


def _below(module: ModuleType) -> list[str]:
    path = getattr(module, "__path__", None)
    if path is None:
        return []
    found = pkgutil.walk_packages(path, f"{module.__name__}.")
    return [info.name for info in found if not info.name.rpartition(".")[2].startswith("_")]


def _automodule(name: str) -> str:
    return f"```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
