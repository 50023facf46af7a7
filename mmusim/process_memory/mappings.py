"""The memory of a process that it can write: /proc/PID/maps."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mmusim.base.errors import ConfigError

_LINE: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)\s*(.*)$")
_ANONYMOUS: Final = ("", "[heap]", "[stack]")
_SHARED: Final = ("/dev/shm/", "/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "[anon")


class Mapping(NamedTuple):
    """A range of addresses, `start` up to but not including `end`, in bytes."""

    start: int
    end: int
    name: str


def writable(pid: int) -> list[Mapping]:
    """Return the mappings that a process can write and that no file on a disk stands behind.

    Raises
    ------
    ConfigError
        If there is no such process, or it may not be looked at.
    """
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    except OSError as error:
        raise ConfigError.of(
            "workload watch", "PID", pid, f"cannot be read ({error.strerror})",
            "give the number of a running process of your own",
        ) from None  # fmt: skip
    found = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or match[3][1] != "w":
            continue
        name = match[5]
        if name in _ANONYMOUS or name.startswith(_SHARED):
            found.append(Mapping(int(match[1], 16), int(match[2], 16), name))
    return found


def within(mappings: list[Mapping], least_bytes: int) -> list[Mapping]:
    """Return the mappings of at least so many bytes: a guest's memory is the largest."""
    return [one for one in mappings if one.end - one.start >= least_bytes]
