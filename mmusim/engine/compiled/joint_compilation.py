"""Compiling many functions into one: LLVM optimises what Python calls, once, and nothing else.

Numba makes machine code of each function, with all that it calls optimised anew. The engine has one
function that Python calls; all others are only ever parts of it. So they stay text until that one
is optimised with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target


class _NoEnvironments:
    """The codegen of a part: there is no machine code whose environment could be set."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def set_env(self, name: str, env: Any) -> None:
        """Leave it alone."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """The code of `entry`, or of a part of it."""

    entry = ""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._is_part = name != self.entry

    @property
    def codegen(self) -> Any:
        """What makes code."""
        return _NoEnvironments(self._codegen) if self._is_part else self._codegen

    def finalize(self) -> None:
        """Leave a part as it is; optimise the entry with all its parts, each once."""
        if self._is_part:
            self._finalized = True
            return
        parts: dict[int, Any] = {}
        left: list[Any] = [self]
        while left:
            for part in left.pop()._linking_libraries:
                if id(part) not in parts:
                    parts[id(part)] = part
                    left.append(part)
        self._linking_libraries: list[Any] = list(parts.values())
        super().finalize()

    def get_pointer_to_function(self, name: str) -> int:
        """Return the address of a function; 0 in a part."""
        return 0 if self._is_part else int(super().get_pointer_to_function(name))


@contextmanager
def all_in_one(entry: str) -> Iterator[None]:
    """Within it, only the function of this name becomes machine code.

    A Numba that makes code in another way compiles every function by itself, which takes longer.
    """
    codegen = cpu_target.target_context.codegen()
    before = getattr(codegen, "_library_class", None)
    if before is not JITCodeLibrary:
        yield
        return
    codegen._library_class = type("Library", (_Library,), {"entry": entry})
    try:
        yield
    finally:
        codegen._library_class = before
