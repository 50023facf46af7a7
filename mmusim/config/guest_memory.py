"""The size of a guest's memory and its memslots, as experiment files say them.

QEMU gives memory below and above the hole for devices under 4 GiB a slot each, and the memory of a
graphics card another. Sources: QEMU ``pc_init1``, ``pc_q35_init``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Discriminator, Field, Tag

from mmusim.base.quantities import Size
from mmusim.base.units import BYTES, PAGE, REGION, show_bytes
from mmusim.mmu.slot import MemSlot

MOST_MEMORY: Final = 4 << 40
MOST_SLOTS: Final = 512
_GIB: Final = BYTES["GiB"]
_BOARDS: Final = {"i440fx": (7 * _GIB // 2, 3 * _GIB), "q35": (11 * _GIB // 4, 2 * _GIB)}
"""Board -> least memory that it parts, and the size of the part below 4 GiB."""

SlotSpec = Annotated[
    Annotated[Literal["one", "i440fx", "q35"], Tag("board")]
    | Annotated[list[Size], Field(min_length=1, max_length=MOST_SLOTS), Tag("sizes")],
    Discriminator(lambda value: "board" if isinstance(value, str) else "sizes"),
]
"""A board of QEMU, or the sizes of the slots."""


def sizes_of(spec: str | Sequence[int], memory: int) -> list[int]:
    """Return the sizes of the memslots of a guest with `memory`, all in bytes."""
    if not isinstance(spec, str):
        return list(spec)
    least, below = _BOARDS.get(spec, (memory + 1, memory))
    return [below, memory - below] if memory >= least else [memory]


def memslots(spec: str | Sequence[int], memory: int) -> tuple[MemSlot, ...]:
    """Return the memslots of a guest with `memory` bytes, ascending."""
    slots, base = [], 0
    for size in sizes_of(spec, memory):
        slots.append(MemSlot(base, size // PAGE))
        base += size // PAGE
    return tuple(slots)


Value = TypeVar("Value")


def refused(value: Value, why: str) -> Value:
    """Return a value, or raise :class:`ValueError` if there is a reason against it."""
    if why:
        raise ValueError(why)
    return value


def why_no_memory(memory: int, backing: str) -> str:
    """Return what is wrong with a size of memory in bytes, with the remedy; empty if nothing is."""
    unit = PAGE if backing == "4KiB" else REGION
    if memory % unit or not memory:
        nearest_size = show_bytes(max(1, (memory + unit // 2) // unit) * unit)
        what = "pages of 4 KiB" if unit == PAGE else "2 MiB regions"
        other = "" if unit == PAGE else ', or backing = "4KiB"'
        return (
            f'must be a whole number of {what} with backing = "{backing}"; write '
            f'"{nearest_size}"{other}'
        )
    if memory > MOST_MEMORY:
        return (
            f"is more than {show_bytes(MOST_MEMORY)}, of which a run's page table alone has 1 GiB; "
            "take a part of the guest"
        )
    return ""


def why_no_slots(spec: Any, memory: int, backing: str) -> str:
    """Return what is wrong with memslots of `memory` bytes, with the remedy; or nothing."""
    sizes = sizes_of(spec, memory)
    if sum(sizes) != memory:
        return (
            f"must add up to vm.memory = {show_bytes(memory)} and add up to "
            f"{show_bytes(sum(sizes))}; correct one of the two"
        )
    unit = _GIB if backing == "1GiB" else REGION
    for size in sizes[:-1]:
        if size % unit or not size:
            return (
                f'must end at multiples of {show_bytes(unit)} with backing = "{backing}", and '
                f"{show_bytes(size)} is none; write a multiple"
            )
    return "" if sizes[-1] else "must each have a page; leave out what is empty"
