"""Keys that had other names, and the message for each old name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from mmusim.base.units import PAGE, parse_bytes
from mmusim.config.elsewhere import elsewhere
from mmusim.mmu.dirty_ring import ENTRY_BYTES


class Renamed(NamedTuple):
    """What a key is called now."""

    key: str  # the last part of the key
    whose: str  # the origin of that name
    value: Callable[[Any], Any] = lambda value: value
    """From the old spelling of a value to the new one; raises ValueError."""


def _shift(size: Any) -> int:
    pages = parse_bytes(size) // PAGE
    if pages < 1 or pages & (pages - 1):
        raise ValueError
    return pages.bit_length() - 1


def _qemu(*keys: str) -> dict[str, Renamed]:
    return {
        f"driver.migration.{key.replace('-', '_')}": Renamed(key, "QEMU's own name")
        for key in keys
    }  # fmt: skip


RENAMED: Final[Mapping[str, Renamed]] = {
    **_qemu(
        "max-bandwidth", "avail-switchover-bandwidth", "downtime-limit", "auto-converge",
        "cpu-throttle-initial", "cpu-throttle-increment", "max-cpu-throttle",
        "throttle-trigger-threshold", "multifd-channels", "vcpu-dirty-limit",
    ),
    "driver.migration.channels": Renamed("multifd-channels", "QEMU's own name"),
    "driver.migration.dirty_limit": Renamed("vcpu-dirty-limit", "QEMU's own name"),
    "driver.migration.clear_chunk": Renamed(
        "clear-bitmap-shift", "QEMU's own name, the power of two of 4 KiB pages", _shift
    ),
    "driver.dirty_ring": Renamed(
        "dirty-ring-size", "QEMU's own name, in entries",
        lambda size: parse_bytes(size) // ENTRY_BYTES,
    ),
}  # fmt: skip
"""Old dotted keys of experiment files, until version 0.1."""


def renamed(key: str, value: Any) -> tuple[str, str] | None:
    """Return rule and remedy for an old key, or for one of another tool; None for another key."""
    now = RENAMED.get(key)
    if now is None:
        return elsewhere(key)
    try:
        example = f"{now.key} = {_written(now.value(value))}"
    except (ValueError, TypeError, AttributeError):
        example = now.key
    return f"is called {now.key} now ({now.whose})", f"write {example}"


def with_new_names(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a copy in which keys of old names have their new ones; None if it has no old key.

    An old value that cannot be written anew is left out: the remedy for the key asks for another.
    """
    newer: dict[str, Any] = copy.deepcopy(dict(data))
    any_old = False
    for dotted, now in RENAMED.items():
        *path, last = dotted.split(".")
        table: Any = newer
        for part in path:
            table = table.get(part) if isinstance(table, dict) else None
        if isinstance(table, dict) and last in table:
            any_old = True
            value = table.pop(last)
            with suppress(ValueError, TypeError, AttributeError):
                table.setdefault(now.key, now.value(value))
    return newer if any_old else None


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
