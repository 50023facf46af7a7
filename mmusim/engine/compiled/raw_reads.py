"""Reads of a vCPU's program in place: arrays of which only the address is known."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic


def _reader(bits: int) -> Any:
    @intrinsic
    def peek(typing_context: Any, address: Any, index: Any) -> Any:
        del typing_context

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            index64 = context.cast(builder, args[1], signature.args[1], types.int64)
            value = builder.load(builder.gep(pointer, [index64]))
            value.set_metadata("invariant.load", builder.module.add_metadata([]))
            if bits == 64:
                return value
            return builder.zext(value, ir.IntType(64))

        return types.int64(types.int64, types.int64), generate

    return peek


read_long = _reader(64)
"""An element of int64."""
read_word = _reader(32)
"""An element of uint32."""
read_bool = _reader(8)
"""An element of bool: 0 or 1."""
