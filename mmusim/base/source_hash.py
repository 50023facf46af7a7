"""A hash of the source that decides the result of a run.

The files are not listed by hand. They are those that planning, simulating and measuring a run
import. The import statements of the source name them, so a new or moved file is always included.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[1]
ROOTS: Final = ("plan.make", "engine.simulate", "engine.compiled.vm", "metrics.measure")
"""Modules that decide the result of a run, together with everything that they import."""

_FROM: Final = re.compile(
    r"^[ \t]*from[ \t]+(\w+)\.?([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE
)
_IMPORT: Final = re.compile(r"^[ \t]*import[ \t]+(\w+)\.([\w.]+)", re.MULTILINE)
_COMMENT_OR_ALIAS: Final = re.compile(r"#[^\n]*|\bas\s+\w+")
_ALL_OF_A_FOLDER: Final = "pkgutil.iter_modules(__path__)"
"""A package with this imports every module in its folder."""


@cache
def code_hash() -> str:
    """Return a hash of the model's code, eight hexadecimal digits."""
    return hash_of(PACKAGE)


def hash_of(package: Path) -> str:
    """Return the hash of the model in a copy of this package, eight hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=4)
    for path in model_files(package):
        name = path.relative_to(package).as_posix()
        digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def model_files(package: Path = PACKAGE, roots: Iterable[str] = ROOTS) -> tuple[Path, ...]:
    """Return the files that modules of a package import, directly or not, in alphabetical order.

    The package's own ``__init__`` is not among them: it only passes names on.

    Parameters
    ----------
    package : Path
        Folder of the package.
    roots : iterable of str
        Names of modules below the package.
    """
    waiting, seen, found = list(roots), set[str](), list[Path]()
    while waiting:
        name = waiting.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        waiting.append(name.rpartition(".")[0])
        path = _file(package, name)
        if path is not None:
            found.append(path)
            waiting += _imported(package, name, path)
    return tuple(sorted(found))


def _file(package: Path, name: str) -> Path | None:
    """Return the file of a module or of a package; None if it is a name in a module."""
    place = package.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imported(package: Path, name: str, path: Path) -> Iterator[str]:
    """Yield what a file imports from the package, wherever the import statement stands."""
    text = path.read_text(encoding="utf-8")
    for top, module, names in _FROM.findall(text):
        if top == package.name:
            prefix = f"{module}." if module else ""
            yield from (module,) if module else ()
            for what in re.findall(r"\w+", _COMMENT_OR_ALIAS.sub("", names)):
                yield prefix + what
    for top, module in _IMPORT.findall(text):
        if top == package.name:
            yield module
    if _ALL_OF_A_FOLDER in text:
        yield from (f"{name}.{other.stem}" for other in path.parent.glob("[!_]*.py"))
