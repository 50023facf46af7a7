"""Joint compilation: LLVM optimises one function, once, together with all functions that it calls.

By default Numba makes machine code of each function, and optimises all functions that it calls
again. Python calls only one function of the engine, and all others are parts of it. So the others
stay text until LLVM optimises that one function together with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.binding import Linkage
from llvmlite.ir import CallInstr, Constant, StoreInstr
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

    def add_ir_module(self, ir_module: Any) -> None:
        """Add functions; nothing is written to where a call will put what it returns."""
        for function in ir_module.functions:
            leave_results_unset(function)
        super().add_ir_module(ir_module)

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

    def _optimize_final_module(self) -> None:
        """Optimise the entry, whose parts nobody else calls: so LLVM may change how they do."""
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage is Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()

    def get_pointer_to_function(self, name: str) -> int:
        """Return the address of a function; 0 in a part."""
        return 0 if self._is_part else int(super().get_pointer_to_function(name))


def leave_results_unset(function: Any) -> None:
    """Remove the zeros that Numba writes to results of calls, before the call and at the entry.

    They are read after a call that has succeeded, which has set them. LLVM does not see this, and
    a function with many calls wrote dozens of zeros each time.
    """
    results = {
        id(one.args[0])
        for block in function.blocks
        for one in block.instructions
        if isinstance(one, CallInstr) and one.callee.name.startswith("_ZN") and one.args
    }
    for block in function.blocks:
        block.instructions[:] = [
            one for one in block.instructions
            if not (
                isinstance(one, StoreInstr)
                and id(one.operands[1]) in results
                and isinstance(one.operands[0], Constant)
            )
        ]  # fmt: skip


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
