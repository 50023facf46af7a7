"""Which package a policy comes from, and what is wrong with it, as text."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FunctionType
from typing import Final

_packages: dict[str, str] = {}  # module -> its package and entry point
_failures: list[str] = []
_ROOT: Final = str(Path(__file__).parents[1])


def note_package(module: str, source: str) -> None:
    """Remember that a module comes from a package and entry point."""
    _packages.setdefault(module, source)


def note_failure(text: str) -> None:
    """Remember that the policies of a package could not be loaded."""
    _failures.append(text)


def failures() -> tuple[str, ...]:
    """Return a sentence for each package whose policies could not be loaded."""
    return tuple(_failures)


def source_of(function: object) -> str:
    """Return package, entry point, file and line of a policy's function."""
    module = f"{getattr(function, '__module__', '')}."
    found = [source for name, source in _packages.items() if module.startswith(f"{name}.")]
    if not isinstance(function, FunctionType):
        return ", ".join(found)
    code = function.__code__
    return ", ".join([*found, f"{code.co_filename}:{code.co_firstlineno}"])


def described(error: BaseException) -> str:
    """Return an exception with the file and line that raised it, on one line."""
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not _is_ours(frame.filename)]
    return f"{text} ({outside[-1].filename}:{outside[-1].lineno})" if outside else text


def _is_ours(file: str) -> bool:
    return file.startswith(("<frozen", _ROOT)) or "importlib" in file
