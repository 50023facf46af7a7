"""The examples that come with mmusim, and copies of them that run in their new place."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.files import whole

KINDS: Final = ("experiments", "workloads", "notebooks")
"""Folders of examples, in the order of the listing."""

_TEXT: Final = (".toml", ".ipynb")
"""Kinds of file that name others, by paths relative to themselves."""
_PATH: Final = re.compile(r"[\w./-]+\.(?:toml|xz|gz|csv)\b")


class Example(NamedTuple):
    """One example.

    `name` is its kind and its own name, ``workloads/zipf``; `about` is one sentence; `start` is the
    file to begin with, and `files` all files that it needs, both relative to the folder of copies.
    """

    name: str
    about: str
    start: Path
    files: tuple[Path, ...]


def home() -> Path:
    """Return the folder that holds the folders of `KINDS`.

    Raises
    ------
    ConfigError
        If the installation lacks them.
    """
    package = Path(__file__).parent
    for place in (package, package.parents[1]):
        if (place / "experiments").is_dir():
            return place
    raise ConfigError.of(
        "examples", str(package), None, "holds no examples: the installation is not complete",
        "install mmusim again from a wheel or a clone",
    )  # fmt: skip


def examples() -> list[Example]:
    """Return all examples, by kind and name.

    Raises
    ------
    ConfigError
        If the installation lacks the files.
    """
    root = home()
    found = [_experiment(root, path) for path in sorted(root.glob("experiments/*/experiment.toml"))]
    found += [_workload(root, path) for path in sorted(root.glob("workloads/*.toml"))]
    found += [_notebook(root, path) for path in sorted(root.glob("notebooks/*.ipynb"))]
    return found


def copy_example(name: str, folder: Path) -> Example:
    """Copy an example, and the files that it refers to, into a folder laid out as a clone is.

    `name` is ``experiments/ring-or-bitmap``, or its last part where that is unambiguous. Nothing is
    overwritten: a file that is there and differs is an error, before anything is written.

    Raises
    ------
    ConfigError
        If there is no such example, the name is ambiguous, a file is in the way, or the folder
        cannot be written.
    """
    root, found = home(), _named(name)
    for file in found.files:
        to = folder / file
        if to.is_symlink() or (to.exists() and not _same(root / file, to)):
            raise ConfigError.of(
                "examples", str(to), None, "is in the way", "choose another folder with --to"
            )
    for file in found.files:
        to = folder / file
        if to.exists():
            continue
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError.of(
                "examples", str(to.parent), None, f"cannot be made ({error.strerror})",
                "choose another folder with --to",
            ) from None  # fmt: skip
        with whole(to) as unfinished:
            shutil.copyfile(root / file, unfinished)
    return found


def _named(name: str) -> Example:
    known = {example.name: example for example in examples()}
    if name in known:
        return known[name]
    matching = [full for full in known if full.partition("/")[2] == name]
    if len(matching) == 1:
        return known[matching[0]]
    if matching:
        raise ConfigError.of(
            "examples", "NAME", name, "is the name of several examples",
            f"choose one of: {', '.join(matching)}",
        )  # fmt: skip
    remedy = nearest(name, known)
    if not remedy.startswith("did"):
        remedy = "`mmusim examples` lists them"
    raise ConfigError.of("examples", "NAME", name, "is not an example", remedy)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _experiment(root: Path, path: Path) -> Example:
    about = str(tomllib.loads(path.read_text(encoding="utf-8"))["question"])
    beside = [file for file in sorted(path.parent.iterdir()) if file.is_file()]
    name = f"experiments/{path.parent.name}"
    return Example(name, about, path.relative_to(root), _needed(root, beside))


def _workload(root: Path, path: Path) -> Example:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    name = f"workloads/{path.stem}"
    return Example(name, first.lstrip("# "), path.relative_to(root), _needed(root, [path]))


def _notebook(root: Path, path: Path) -> Example:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title = "".join(cells[0]["source"]).partition("\n")[0].lstrip("# ")
    name = f"notebooks/{path.stem}"
    return Example(name, title, path.relative_to(root), _needed(root, [path]))


def _needed(root: Path, start: list[Path]) -> tuple[Path, ...]:
    """Return files and, recursively, the files that they refer to, relative to `root`."""
    found: dict[Path, None] = {}
    waiting = list(start)
    while waiting:
        file = waiting.pop(0).resolve()
        if file in found:
            continue
        found[file] = None
        if file.suffix in _TEXT:
            named = _PATH.findall(file.read_text(encoding="utf-8"))
            paths = ((file.parent / name).resolve() for name in named)
            waiting += [p for p in paths if p.is_file() and p.is_relative_to(root.resolve())]
    return tuple(file.relative_to(root.resolve()) for file in found)
