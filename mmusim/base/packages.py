"""What other packages have written: whose it is, the hash of its code, its failures as text."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import traceback
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final, TypeVar

T = TypeVar("T")
_packages: dict[str, str] = {}  # module -> its package and entry point
_ROOT: Final = str(Path(__file__).parents[1])
_LIBRARY: Final = str(Path(os.__file__).parent)
_WRITABLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def has_entry_point(module: str, source: str) -> None:
    """Remember which package and entry point a module belongs to."""
    _packages.setdefault(module, source)


def register(kind: str, registry: dict[str, type[T]], name: str, cls: type[T]) -> None:
    """Register a class of other packages or of mmusim under a name; `kind` is for the message.

    Raises
    ------
    TypeError
        If another class has the name, or nobody could write it in a file.
    """
    if not _WRITABLE.fullmatch(name):
        raise TypeError(f"{kind} name {name!r} is not of letters, digits and - _ . alone")
    if name in registry:
        taken = registry[name]
        raise TypeError(f"{kind} name {name!r} is taken by {taken.__module__}.{taken.__qualname__}")
    registry[name] = cls


def summary_of(cls: type) -> str:
    """Return the first paragraph of a class docstring as one line."""
    return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def is_outside(function: object) -> bool:
    """Tell whether another package has written a function."""
    return not str(getattr(function, "__module__", "")).startswith("mmusim.")


def code_of(cls: type) -> str:
    """Return a hash of the code of a class that another package has written; "" of one of mmusim.

    The whole package counts, because a class may call anything in it, and so do the packages of the
    classes that it inherits from. Of a class without a file, as in a notebook, its functions count.
    """
    if not is_outside(cls):
        return ""
    digest = hashlib.blake2b(digest_size=8)
    theirs = [one for one in cls.__mro__ if is_outside(one) and not _is_of_a_library(one)]
    for top in sorted({one.__module__.partition(".")[0] for one in theirs}):
        file = getattr(sys.modules.get(top), "__file__", None) or ""
        if not Path(file).is_file():
            for one in theirs:
                digest.update(repr(sorted(map(_of_function, vars(one).items()))).encode())
            continue
        whole = Path(file).parent.rglob("*.py") if Path(file).stem == "__init__" else [Path(file)]
        for path in sorted(whole):
            digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _is_of_a_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in {*sys.stdlib_module_names, "pydantic"}


def _of_function(item: tuple[str, object]) -> tuple[object, ...]:
    name, value = item
    if not isinstance(value, FunctionType):
        return (name,)
    code = value.__code__
    constants = [one for one in code.co_consts if not isinstance(one, CodeType)]
    return name, code.co_code, code.co_names, repr(constants)


def source_of(function: object) -> str:
    """Return package, entry point, file and line of a function that other packages may define."""
    module = f"{getattr(function, '__module__', '')}."
    found = [source for name, source in _packages.items() if module.startswith(f"{name}.")]
    if not isinstance(function, FunctionType):
        return ", ".join(found)
    code = function.__code__
    return ", ".join([*found, f"{code.co_filename}:{code.co_firstlineno}"])


def raising(error: BaseException, function: object) -> str:
    """Return the rule of a complaint about a function that raises, on one line."""
    return f"raises {described(error)}; it is of {source_of(function)}".replace("; ", ", ")


def described(error: BaseException) -> str:
    """Return an exception with the file and line that raised it, on one line."""
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text} ({error.filename}:{error.lineno})"
    place = place_of(traceback.extract_tb(error.__traceback__))
    return f"{text} ({place})" if place else text


def place_of(frames: traceback.StackSummary) -> str:
    """Return file and line of the innermost frame of another package; empty if there is none.

    A frame of Python's own library does not say who is to blame.
    """
    found = [
        frame
        for frame in frames
        if not _is_ours(frame.filename) and not _is_of_python(frame.filename)
    ][-1:]
    return f"{found[0].filename}:{found[0].lineno}" if found else ""


def _is_ours(file: str) -> bool:
    return file.startswith(("<frozen", _ROOT)) or "importlib" in file


def _is_of_python(file: str) -> bool:
    return file.startswith(_LIBRARY) and not any(
        f"{os.sep}{folder}{os.sep}" in file for folder in ("site-packages", "dist-packages")
    )
