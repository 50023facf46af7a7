"""A field of all vCPUs, as compiled code sees it: ``s.in_guest[v]``.

An index is the number of a vCPU and never negative, so no element is counted from the end. With
bounds checks, another index raises IndexError.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.extending import register_model
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from mmusim.engine.code_cache import BOUNDS
from mmusim.engine.compiled.blocks import WORDS, tagged, word
from mmusim.engine.compiled.fields import VCPU


class ColumnType(types.Type):
    """Field `number` of the vCPUs; its value is the address of the run's table."""

    def __init__(self, number: int) -> None:
        """Name the type."""
        super().__init__(name=f"mmusim.Column{number}")
        self.number = number


@register_model(ColumnType)
class _ColumnModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, WORDS)


@infer_global(operator.getitem)
class _Reads(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        del kws
        column, index = args
        if isinstance(column, ColumnType) and isinstance(index, types.Integer):
            return signature(types.int64, column, types.int64)
        return None


@infer_global(operator.setitem)
class _Writes(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        del kws
        column, index, _ = args
        if isinstance(column, ColumnType) and isinstance(index, types.Integer):
            return signature(types.none, column, types.int64, types.int64)
        return None


def _element(context: Any, builder: Any, column: ColumnType, table: Any, index: Any) -> Any:
    if BOUNDS:
        outside = builder.icmp_unsigned(">=", index, word(builder, table, 2))
        with builder.if_then(outside, likely=False):
            words = (f"no vCPU has this number: index of {VCPU[column.number]}",)
            context.call_conv.return_user_exc(builder, IndexError, words)
    first = builder.inttoptr(word(builder, table, 1), WORDS.as_pointer())
    row = builder.gep(first, [builder.mul(index, ir.Constant(WORDS, len(VCPU)))])
    return builder.gep(row, [ir.Constant(WORDS, column.number)])


@lower_builtin(operator.getitem, ColumnType, types.Integer)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    column = sig.args[0]
    loaded = builder.load(_element(context, builder, column, *args))
    return tagged(builder, loaded, f"{VCPU[column.number]} of vCPUs")


@lower_builtin(operator.setitem, ColumnType, types.Integer, types.Any)  # type: ignore[untyped-decorator]
def _write(context: Any, builder: Any, sig: Any, args: Any) -> None:
    table, index, value = args
    column = sig.args[0]
    stored = builder.store(value, _element(context, builder, column, table, index))
    tagged(builder, stored, f"{VCPU[column.number]} of vCPUs")
