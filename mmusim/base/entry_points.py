"""Loads the entry points of other packages. One that fails, or does not end, is left out."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from mmusim.base import signals
from mmusim.base.packages import described, has_entry_point
from mmusim.base.patience import VARIABLE, NeverReturnedError, interrupted_after, patience_s

_LOG = logging.getLogger("mmusim")
WRONG_INPUT: Final = 2
"""Exit status of the command line where it cannot go on."""
_failures: dict[str, list[str]] = {}  # by the group of the entry point
_hanging: dict[str, str] = {}  # module -> the problem


def load_group(group: str, base: type, registered: MutableMapping[str, type[Any]]) -> None:
    """Load every installed entry point of a group; record and report each failure.

    A package that fails to load causes a warning, and so does one whose import does not end in the
    time of :func:`~mmusim.base.patience.patience_s`. Everything that does not need it goes on.

    Parameters
    ----------
    group : str
        Such as ``mmusim.policies``; its last word is what the entry points bring.
    base : type
        The class whose subclasses with a name they define.
    registered : dict
        The classes with a name that there are. What a package defined before it failed is taken
        out of it again.

    Raises
    ------
    ConfigError
        If the environment has no number of seconds where it should.
    """
    entries = _installed(tuple(sys.path)).select(group=group)
    seconds = patience_s() if entries else 0.0
    for entry in entries:
        before = dict(registered)
        package = "a package" if entry.dist is None else f"package {entry.dist.name!r}"
        source = f"{package}, entry point {entry.name!r} ({entry.value})"
        has_entry_point(entry.module, source)
        problem = _load(entry, source, seconds, base, registered)
        if problem:
            for name in registered.keys() - before.keys():
                del registered[name]
            _failures.setdefault(group, []).append(f"{source}: {problem}")
            what = group.rpartition(".")[2]
            _warn("%s: %s; its %s are left out", source, problem, what)


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> Any:
    """Return the entry points of all packages on a path, which six groups ask for at the start."""
    del path
    return entry_points()


def failures(group: str) -> tuple[str, ...]:
    """Return a sentence for each package of a group that could not be loaded."""
    return tuple(_failures.get(group, ()))


def _load(
    entry: EntryPoint,
    source: str,
    seconds: float,
    base: type,
    registered: Mapping[str, type[Any]],
) -> str:
    """Load an entry point; return the error, or nothing."""
    if entry.module in _hanging:
        return _hanging[entry.module]
    try:
        with interrupted_after(seconds, partial(_stuck, source)):
            loaded = entry.load()
    except NeverReturnedError as error:
        _hanging[entry.module] = (
            f"its import {error}, it is at {error.place} ({VARIABLE} in the environment has "
            "another number of seconds)"
        )
        return _hanging[entry.module]
    except (Exception, SystemExit) as error:
        return f"cannot be loaded: {described(error)}"
    kind = base.__name__
    remedy = f"write class {kind[0]}({kind}, name=...)"
    if isinstance(loaded, ModuleType):
        modules = (f"{cls.__module__}." for cls in registered.values())
        if not any(module.startswith(f"{loaded.__name__}.") for module in modules):
            file = getattr(loaded, "__file__", None) or loaded.__name__
            return f"has no {kind} with a name ({file}); {remedy}"
        return ""
    if isinstance(loaded, type) and issubclass(loaded, base):
        if loaded in registered.values():
            return ""
        return f"its class {loaded.__name__} has no name; {remedy}"
    return f"is a {type(loaded).__name__} and no {kind}; name a module or a subclass of {kind}"


def _stuck(source: str, place: str) -> None:
    """Say that an import cannot be interrupted. The command line ends then: it would wait for ever,
    because what such code catches may be Ctrl-C too.
    """
    _warn(
        "%s: its import does not end and cannot be interrupted, it is at %s; "
        "mend the package or remove it",
        source, place,
    )  # fmt: skip
    if signals.on_command_line():
        os._exit(WRONG_INPUT)


def _warn(text: str, *of: str) -> None:
    if multiprocessing.parent_process() is None:  # worker processes would repeat the warning
        _LOG.warning(text, *of)
