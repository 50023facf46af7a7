"""How functions are compiled: no bounds checks unless asked for, no reference counts, cached.

Numba's own cache looks at the file of a function and not at those of the functions that it calls.
So the cache of each state of the model's code is a folder of its own: it never goes stale.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final, TypeVar

import numba

from mmusim.source import code_hash

F = TypeVar("F", bound=Callable[..., Any])

BOUNDS: Final = bool(os.environ.get("MMUSIM_BOUNDSCHECK"))
"""Whether compiled code checks indices; slow, for tests."""
_KEPT: Final = 4  # caches of as many states of the code


def cache_folder() -> Path:
    """Return where compiled code is kept: by the user's cache folder and a hash of the source."""
    root = os.environ.get("MMUSIM_CACHE_DIR")
    if root:
        base = Path(root)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmusim"
    return base / f"{code_hash()}-numba-{numba.__version__}{'-checked' if BOUNDS else ''}"


def use_cache() -> None:
    """Keep compiled code in its folder, and forget that of old states of the source."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        old = sorted(
            (f for f in folder.parent.iterdir() if "-numba-" in f.name),
            key=lambda f: f.stat().st_mtime,
        )
        for forgotten in old[:-_KEPT]:
            shutil.rmtree(forgotten, ignore_errors=True)
    except OSError:
        return  # no cache to be had: compiled anew in each process
    numba.config.CACHE_DIR = str(folder)


def jit(function: F) -> F:
    """Compile a function that others of the engine call."""
    compiled: F = numba.njit(_nrt=False, error_model="numpy", boundscheck=BOUNDS)(function)
    return compiled


def entry(signature: str) -> Callable[[F], F]:
    """Compile a function that Python calls; what it gives is cached on disk."""

    def decorate(function: F) -> F:
        use_cache()
        compiled: F = numba.njit(
            signature, _nrt=False, error_model="numpy", boundscheck=BOUNDS, nogil=True, cache=True
        )(function)
        return compiled

    return decorate


def compile_all(module: ModuleType, *names: str, **others: Any) -> list[Any]:
    """Compile functions of a module as they are; calls among them are compiled too.

    `others` are functions of other modules that they call, already compiled.
    """
    known: dict[str, Any] = dict(module.__dict__) | others
    made = []
    for name in names:
        plain = getattr(module, name)
        copy = FunctionType(plain.__code__, known, name, plain.__defaults__)
        copy.__annotations__ = {}
        known[name] = jit(copy)
        made.append(known[name])
    return made
