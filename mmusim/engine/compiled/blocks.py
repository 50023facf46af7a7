"""Arrays of a run, as compiled code sees them: ``s.page[gfn]``, ``s.ends[v]``, ``s.ends[v, i]``.

An index is never negative, so no element is counted from the end. With bounds checks, an index
outside of the array raises IndexError. A last dimension of constant size is part of the type. LLVM
is told that an access shares memory only with elements of the same kind. Elements that do not
change while compiled code runs are `fixed`: LLVM may keep a loaded value.
"""

from __future__ import annotations

import operator
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import register_model
from numba.core.imputils import lower_builtin, lower_getattr
from numba.core.types.containers import BaseTuple, UniTuple
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)

from mmusim.engine.code_cache import BOUNDS

WORDS: Final = ir.IntType(64)


class BlockType(types.Type):
    """Elements of a type in so many dimensions; the last has `last` of them, or 0: any number."""

    def __init__(self, dtype: Any, ndim: int, last: int = 0, fixed: bool = False) -> None:
        """Name the type."""
        self.dtype, self.ndim, self.last, self.fixed = dtype, ndim, last, fixed
        kind = " fixed" if fixed else ""
        super().__init__(name=f"mmusim.Block({dtype}, {ndim}, {last}{kind})")


@register_model(BlockType)
class _BlockModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, block: BlockType) -> None:
        lengths = [(f"n{axis}", types.int64) for axis in range(block.ndim)]
        super().__init__(dmm, block, [("address", types.int64), *lengths])


def made(context: Any, builder: Any, block: BlockType, address: Any, shape: list[Any]) -> Any:
    """Return the value of a block at an address; `shape` has its lengths, one for each
    dimension.
    """
    value = cgutils.create_struct_proxy(block)(context, builder)
    value.address = address
    if block.last:
        shape = [*shape[:-1], ir.Constant(WORDS, block.last)]
    for axis, length in enumerate(shape):
        setattr(value, f"n{axis}", length)
    return value._getvalue()


def tagged(builder: Any, instruction: Any, kind: str) -> Any:
    """Mark an instruction's memory with its kind: no memory of another kind is at the same
    place.
    """
    add = builder.module.add_metadata
    nothing = ir.Constant(WORDS, 0)
    node = add([kind, add(["mmusim"]), nothing])
    instruction.set_metadata("tbaa", add([node, node, nothing]))
    return instruction


def word(builder: Any, address: Any, number: int) -> Any:
    """Load word `number`, of 8 bytes, behind an address; it does not change while code runs."""
    pointer = builder.inttoptr(address, WORDS.as_pointer())
    loaded = builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(32), number)]))
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


def _place(
    context: Any, builder: Any, block: BlockType, value: Any, index_type: Any, index: Any
) -> tuple[Any, list[Any]]:
    """Return the address that an index leads to, and the lengths of what is left."""
    indices = (
        cgutils.unpack_tuple(builder, index, len(index_type))
        if isinstance(index_type, BaseTuple) else [index]
    )  # fmt: skip
    proxy = cgutils.create_struct_proxy(block)(context, builder, value=value)
    shape = [getattr(proxy, f"n{axis}") for axis in range(block.ndim)]
    if block.last:
        shape[-1] = ir.Constant(WORDS, block.last)
    if BOUNDS:
        for number, length in zip(indices, shape, strict=False):
            with builder.if_then(builder.icmp_unsigned(">=", number, length), likely=False):
                words = ("index is out of bounds",)
                context.call_conv.return_user_exc(builder, IndexError, words)
    offset = None
    for axis, length in enumerate(shape):
        if offset is not None:
            offset = builder.mul(offset, length)
        if axis < len(indices):
            offset = indices[axis] if offset is None else builder.add(offset, indices[axis])
    data = builder.inttoptr(proxy.address, context.get_data_type(block.dtype).as_pointer())
    return builder.gep(data, [offset]), shape[len(indices) :]


def _result(block: BlockType, index: Any) -> Any:
    left = block.ndim - (len(index) if isinstance(index, BaseTuple) else 1)
    return block.dtype if left == 0 else BlockType(block.dtype, left, block.last, block.fixed)


def _index(block: Any, index: Any) -> Any:
    """Return the type that an index is taken as; None if it is none."""
    if not isinstance(block, BlockType):
        return None
    if isinstance(index, types.Integer):
        return types.int64
    whole = isinstance(index, BaseTuple) and all(isinstance(i, types.Integer) for i in index)
    return UniTuple(types.int64, len(index)) if whole and len(index) <= block.ndim else None


@infer_global(operator.getitem)
class _Reads(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        del kws
        block, index = args
        taken = _index(block, index)
        return None if taken is None else signature(_result(block, index), block, taken)


@infer_global(operator.setitem)
class _Writes(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        del kws
        block, index, _ = args
        taken = _index(block, index)
        if taken is None or block.fixed or isinstance(_result(block, index), BlockType):
            return None
        return signature(types.none, block, taken, block.dtype)


@infer_global(len)
class _Lengths(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        del kws
        (block,) = args
        return signature(types.int64, block) if isinstance(block, BlockType) else None


@infer_getattr
class _Attributes(AttributeTemplate):  # type: ignore[misc]
    key = BlockType

    def resolve_shape(self, block: BlockType) -> Any:
        return UniTuple(types.int64, block.ndim)


@lower_builtin(operator.getitem, BlockType, types.Any)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    block, index_type = sig.args
    pointer, left = _place(context, builder, block, args[0], index_type, args[1])
    if left:
        address = builder.ptrtoint(pointer, WORDS)
        return made(context, builder, sig.return_type, address, left)
    loaded = tagged(builder, builder.load(pointer), str(block.dtype))
    if block.fixed:
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return context.data_model_manager[block.dtype].from_data(builder, loaded)


@lower_builtin(operator.setitem, BlockType, types.Any, types.Any)  # type: ignore[untyped-decorator]
def _write(context: Any, builder: Any, sig: Any, args: Any) -> None:
    block, index_type, _ = sig.args
    pointer, _ = _place(context, builder, block, args[0], index_type, args[1])
    data = context.data_model_manager[block.dtype].as_data(builder, args[2])
    tagged(builder, builder.store(data, pointer), str(block.dtype))


@lower_builtin(len, BlockType)  # type: ignore[untyped-decorator]
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).n0


@lower_getattr(BlockType, "shape")  # type: ignore[untyped-decorator]
def _shape(context: Any, builder: Any, block: BlockType, value: Any) -> Any:
    proxy = cgutils.create_struct_proxy(block)(context, builder, value=value)
    lengths = [getattr(proxy, f"n{axis}") for axis in range(block.ndim)]
    return context.make_tuple(builder, UniTuple(types.int64, block.ndim), lengths)
