"""Shared memory of a run: one block that Python sees as numpy arrays and compiled code by name.

Compiled functions take a single machine word, the address of a table of addresses. Its Numba type,
:class:`StateType`, resolves ``s.now`` to a number, ``s.in_guest[v]`` to a field of a vCPU and
``s.page[gfn]`` to an array. So Numba compiles functions of :mod:`mmusim.mmu` that take a table
``t`` and read ``t.page`` without a change, and a call needs one register for all state.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr

from mmusim.engine.compiled.blocks import WORDS, BlockType, made, tagged, word
from mmusim.engine.compiled.columns import ColumnType
from mmusim.engine.compiled.fields import ARRAYS, FIELD, FIXED, LAST, LINE, SCALARS, UPPER, VCPU

SHAPE: Final = 3  # dimensions that the table has room for
_ARRAY: Final = {name: number for number, name in enumerate(ARRAYS)}
_SCALAR: Final = {name: number for number, name in enumerate(SCALARS)}


class StateType(types.Type):
    """The address of a run's table, as compiled code sees it."""

    def __init__(self, upper: bool = False) -> None:
        """Name the type; `upper` sees the upper levels' arrays by their own names."""
        super().__init__(name=f"mmusim.State{'.upper' if upper else ''}")
        self.upper = upper


STATE: Final = StateType()
UPPER_STATE: Final = StateType(upper=True)


@register_model(StateType)
class _StateModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, ir.IntType(64))


def _array_type(name: str) -> Any:
    dtype, dimensions = ARRAYS[name]
    return BlockType(getattr(types, dtype), dimensions, LAST.get(name, 0), name in FIXED)


@infer_getattr
class _StateAttributes(AttributeTemplate):  # type: ignore[misc]
    key = StateType

    def generic_resolve(self, state: Any, name: str) -> Any:
        if state.upper:
            return _array_type(UPPER[name]) if name in UPPER else None
        if name == "upper":
            return UPPER_STATE
        if name in _SCALAR:
            return types.int64
        if name in FIELD:
            return ColumnType(FIELD[name])
        return _array_type(name) if name in ARRAYS else None


@lower_getattr_generic(StateType)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, state: Any, value: Any, name: str) -> Any:
    if state.upper:
        return _read_array(context, builder, value, UPPER[name])
    if name == "upper":
        return value
    if name in _SCALAR:
        return tagged(builder, builder.load(_place(builder, value, name)), name)
    if name in FIELD:
        return value
    return _read_array(context, builder, value, name)


def _read_array(context: Any, builder: Any, value: Any, name: str) -> Any:
    kind = _array_type(name)
    first = HEAD + _ARRAY[name] * (1 + SHAPE)
    address, *shape = (word(builder, value, first + n) for n in range(1 + kind.ndim))
    return made(context, builder, kind, address, shape)


@lower_setattr_generic(StateType)  # type: ignore[untyped-decorator]
def _write(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    state, value = args
    value = context.cast(builder, value, sig.args[1], types.int64)
    tagged(builder, builder.store(value, _place(builder, state, name)), name)


def _place(builder: Any, state: Any, name: str) -> Any:
    block = builder.inttoptr(word(builder, state, 0), WORDS.as_pointer())
    return builder.gep(block, [ir.Constant(ir.IntType(32), _SCALAR[name])])


@intrinsic
def as_state(typing_context: Any, address: Any) -> Any:
    """Take a whole number for the address of a run's table."""
    del typing_context

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, builder, signature
        return args[0]

    return STATE(address), generate


HEAD: Final = 3  # words of the table before its arrays: scalars, vCPUs, how many of these


def aligned(rows: int, columns: int) -> np.ndarray[Any, Any]:
    """Return zeros in rows of whole lines of the cache, from the beginning of a line on."""
    room = np.zeros((rows + 1) * columns, np.int64)
    first = -room.ctypes.data // room.itemsize % LINE
    return room[first : first + rows * columns].reshape(rows, columns)


class Memory:
    """The block of one run, and the arrays that Python sees of it."""

    def __init__(self, vcpus: int) -> None:
        """Make the scalars and the vCPUs' fields, all zero; arrays are put in one by one."""
        self.scalars = np.zeros(len(SCALARS), np.int64)
        self.vcpus = aligned(max(vcpus, 1), len(VCPU))
        self._table = np.zeros(HEAD + len(ARRAYS) * (1 + SHAPE), np.int64)
        self._table[:HEAD] = self.scalars.ctypes.data, self.vcpus.ctypes.data, vcpus
        self._held: dict[str, np.ndarray[Any, Any]] = {}
        for name, (dtype, dimensions) in ARRAYS.items():
            self.put(name, np.zeros((0,) * dimensions, _numpy(dtype)))

    @property
    def address(self) -> int:
        """What compiled functions take."""
        return int(self._table.ctypes.data)

    def put(self, name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Let `name` be this array from now on, in compiled code too; return it.

        Raises
        ------
        TypeError
            If it has another type, shape or order than `fields.ARRAYS` and `LAST` say.
        """
        dtype, dimensions = ARRAYS[name]
        if array.dtype != _numpy(dtype) or array.ndim != dimensions or not array.flags.c_contiguous:
            raise TypeError(f"{name} is {array.dtype} {array.shape}, not {dimensions}-d {dtype}")
        if array.size and name in LAST and array.shape[-1] != LAST[name]:
            raise TypeError(f"rows of {name} have {array.shape[-1]} elements, not {LAST[name]}")
        self._held[name] = array  # keeps the memory alive
        first = HEAD + _ARRAY[name] * (1 + SHAPE)
        self._table[first : first + 1 + dimensions] = array.ctypes.data, *array.shape
        return array

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self._held[name]

    def get(self, name: str) -> int:
        """Return a scalar."""
        return int(self.scalars[_SCALAR[name]])

    def set(self, name: str, value: int) -> None:
        """Set a scalar."""
        self.scalars[_SCALAR[name]] = value


def scalar(name: str) -> Any:
    """Return a property of an object that has `memory`: a scalar."""
    number = _SCALAR[name]

    def read(self: Any) -> int:
        return int(self.memory.scalars[number])

    def write(self: Any, value: int) -> None:
        self.memory.scalars[number] = value

    return property(read, write)


class Presence:
    """An attribute of an object that has `memory`: a Python object; the scalar says it is there."""

    def __init__(self, name: str) -> None:
        """Name the scalar; nothing is there."""
        self._name = name

    def __get__(self, owner: Any, kind: Any) -> Any:
        return owner.__dict__.get(self._name)

    def __set__(self, owner: Any, value: Any) -> None:
        owner.__dict__[self._name] = value
        owner.memory.set(self._name, value is not None)


def shared_array(name: str) -> Any:
    """Return a property of an object that has `memory`: an array that compiled code sees too."""

    def read(self: Any) -> np.ndarray[Any, Any]:
        return self.memory[name]  # type: ignore[no-any-return]

    def write(self: Any, array: np.ndarray[Any, Any]) -> None:
        self.memory.put(name, array)

    return property(read, write)


def field(name: str, kind: Any = int) -> Any:
    """Return a property of an object that has `row`: a field of a vCPU."""
    number = FIELD[name]

    def read(self: Any) -> Any:
        return kind(self.row[number])

    def write(self: Any, value: Any) -> None:
        self.row[number] = value

    return property(read, write)


def _numpy(dtype: str) -> Any:
    return np.dtype("bool" if dtype == "boolean" else dtype)
