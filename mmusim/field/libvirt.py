"""Logs of libvirt: `virsh domjobinfo`, of a job that runs or (`--completed`) has ended."""

from __future__ import annotations

import re
from typing import Any, Final

from mmusim.base.units import BYTES, NS
from mmusim.field.log import MigrationLog

_FACTS: Final = {
    "time elapsed": "total_ns", "memory total": "memory_bytes", "setup time": "setup_ns",
    "memory processed": "transferred_bytes", "memory remaining": "remaining_bytes",
    "memory bandwidth": "bytes_per_s", "dirty rate": "dirty_pages_rate", "iteration": "rounds",
    "constant pages": "zero_pages", "normal pages": "normal_pages", "page size": "page_size",
    "total downtime": "downtime_ns", "expected downtime": "expected_downtime_ns",
    "auto converge throttle": "throttle", "postcopy requests": "postcopy_requests",
}  # fmt: skip
_UNITS: Final[dict[str, float]] = {
    "ms": NS["ms"], "s": NS["s"], "pages/s": 1, "bytes": 1, "": 1, "%": 0.01, "pages": 1,
} | BYTES | {f"{unit}/s": size for unit, size in BYTES.items()}  # fmt: skip
_LINE = re.compile(r"^([A-Z][A-Za-z ]+?):\s+([0-9]+(?:\.[0-9]+)?)\s*(\S*)\s*$")


def is_domjobinfo(text: str) -> bool:
    """Tell whether the text is an answer of `virsh domjobinfo`."""
    return re.search(r"(?m)^(Job type|Memory total|Data total):", text) is not None


def read_domjobinfo(text: str) -> MigrationLog:
    """Read an answer of `virsh domjobinfo`.

    Raises
    ------
    ValueError
        If no line has a fact; for instance because the answer is not in English.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    for line in text.splitlines():
        if line.startswith("Job type:"):
            kind = line.partition(":")[2].strip()
            found["status"] = {"Unbounded": "active", "Bounded": "active"}.get(kind, kind.lower())
            continue
        match = _LINE.match(line.rstrip())
        if match is None or match[1].lower() not in _FACTS:
            continue
        name, unit = _FACTS[match[1].lower()], match[3]
        if unit not in _UNITS:
            notes.append(f"{match[1]}: {unit!r} is not a known unit")
            continue
        value = float(match[2]) * _UNITS[unit]
        keep = name in ("dirty_pages_rate", "throttle") or name.endswith("_ns")
        found[name] = value if keep else round(value)
    if not set(found) - {"status"}:
        raise ValueError("has no line of domjobinfo in English; run it with LC_ALL=C")
    if found.get("status") == "active" and found.get("downtime_ns") == 0:
        del found["downtime_ns"]  # it has not happened yet
    return MigrationLog(tool="libvirt, virsh domjobinfo", notes=tuple(notes), **found)
