"""Logs of Proxmox VE: the task log of `qm migrate` (lines of qemu-server's QemuMigrate)."""

from __future__ import annotations

import re
from typing import Any, Final

from mmusim.base.units import BYTES, NS
from mmusim.field.log import MigrationLog

_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?i?B)"
_ACTIVE = re.compile(rf"migration active, transferred {_SIZE} of {_SIZE} VM-state, {_SIZE}/s")
_OLD = re.compile(r"migration status: active \(transferred (\d+), remaining (\d+)\), total (\d+)\)")
_AVERAGE = re.compile(rf"average migration speed: {_SIZE}/s(?: - downtime (\d+) ms)?")
_OLD_SPEED = re.compile(r"migration speed: ([0-9.]+) MB/s - downtime (\d+) ms")
_LIMIT = re.compile(r"migration downtime limit:? (?:to )?(\d+) ms|auto-increased downtime to "
                    r"continue migration: (\d+) ms")  # fmt: skip
_SPEED = re.compile(rf"migration speed limit: {_SIZE}/s")
_STATUS = re.compile(r"migration status: (completed|failed|cancelled)")
_STAMP = re.compile(r"^(?:\d{4}-\d\d-\d\d )?(\d\d):(\d\d):(\d\d) ")
_START: Final = "starting online/live migration"


def is_proxmox(text: str) -> bool:
    """Tell whether the text is a task log of `qm migrate`."""
    return _START in text or _ACTIVE.search(text) is not None or _OLD.search(text) is not None


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * (BYTES | {"KB": 1000})[unit])


def read_proxmox(text: str) -> MigrationLog:
    """Read a task log of `qm migrate`. It names no rounds, and no dirty rate.

    Raises
    ------
    ValueError
        If no line has a fact.
    """
    facts: dict[str, Any] = {}
    seconds: list[int] = []
    for line in text.splitlines():
        if (stamp := _STAMP.match(line)) and (_START in line or seconds):
            hours, minutes, secs = map(int, stamp.groups())
            at = hours * 3600 + minutes * 60 + secs
            seconds.append(at if not seconds or at >= seconds[-1] else at + 86_400)
        if match := _ACTIVE.search(line):
            facts["transferred_bytes"] = _bytes(match[1], match[2])
            facts["memory_bytes"] = _bytes(match[3], match[4])
            facts["bytes_per_s"] = _bytes(match[5], match[6])
            facts.setdefault("status", "active")
        elif match := _OLD.search(line):
            sent, left, total = map(int, match.groups())
            facts |= {"transferred_bytes": sent, "remaining_bytes": left, "memory_bytes": total}
            facts.setdefault("status", "active")
        elif match := _AVERAGE.search(line):
            facts["bytes_per_s"] = _bytes(match[1], match[2])
            if match[3]:
                facts["downtime_ns"] = int(match[3]) * NS["ms"]
        elif match := _OLD_SPEED.search(line):
            facts["bytes_per_s"] = round(float(match[1]) * BYTES["MiB"])
            facts["downtime_ns"] = int(match[2]) * NS["ms"]
        elif match := _LIMIT.search(line):
            facts["downtime_limit_ns"] = int(match[1] or match[2]) * NS["ms"]
        elif match := _SPEED.search(line):
            facts["max_bytes_per_s"] = _bytes(match[1], match[2])
        if match := _STATUS.search(line):
            facts["status"] = match[1]
            if seconds:
                facts["total_ns"] = (seconds[-1] - seconds[0]) * NS["s"]
                seconds = seconds[:1]
    if not facts:
        raise ValueError("has no line of a migration that can be read")
    if len(seconds) > 1 and "total_ns" not in facts:
        facts["total_ns"] = (seconds[-1] - seconds[0]) * NS["s"]
    return MigrationLog(tool="Proxmox VE, qm migrate", **facts)
