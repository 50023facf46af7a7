"""How functions are compiled: no bounds checks unless requested, no reference counts, cached."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numba

from mmusim.engine.code_cache import BOUNDS, seal, use_cache
from mmusim.engine.compiled.joint_compilation import all_in_one

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a function that others of the engine call; it is compiled once for all callers."""
    compiled: F = numba.njit(
        _nrt=False, error_model="numpy", boundscheck=BOUNDS, no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(function)  # fmt: skip
    return compiled


def inlined(function: F) -> F:
    """Compile a function as a part of each caller, so that LLVM can make vectors of a loop."""
    compiled: F = numba.njit(
        _nrt=False, error_model="numpy", boundscheck=BOUNDS, inline="always"
    )(function)  # fmt: skip
    return compiled


def entry(signature: str) -> Callable[[F], F]:
    """Compile a function that Python calls, with a signature of Numba; it is cached on disk."""

    def decorate(function: F) -> F:
        is_kept = use_cache()
        with all_in_one(function.__name__):
            compiled: F = numba.njit(
                signature, _nrt=False, error_model="numpy", boundscheck=BOUNDS, nogil=True,
                cache=is_kept, no_cfunc_wrapper=True,
            )(function)  # fmt: skip
        if is_kept:
            seal()
        return compiled

    return decorate


def compile_all(module: ModuleType, *names: str, **others: Any) -> list[Any]:
    """Compile functions of a module without a change, with the calls among them.

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
