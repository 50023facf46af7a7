"""Logs of QEMU: QMP's `query-migrate` (JSON) and the monitor's `info migrate` (text).

Sources: qapi/migration.json (MigrationInfo, MigrationStats); hmp_info_migrate of
migration/migration-hmp-cmds.c, before and after its layout changed in QEMU 10.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mmusim.base.units import BYTES, NS
from mmusim.field.log import MigrationLog

MBIT: Final = 10**6 / 8
"""QEMU's mbps are 10^6 bits per second."""

_RAM: Final = {
    "total": "memory_bytes", "transferred": "transferred_bytes", "remaining": "remaining_bytes",
    "duplicate": "zero_pages", "normal": "normal_pages", "dirty-sync-count": "rounds",
    "dirty-pages-rate": "dirty_pages_rate", "page-size": "page_size",
    "postcopy-requests": "postcopy_requests",
}  # fmt: skip
_TIMES: Final = {
    "total-time": "total_ns", "setup-time": "setup_ns", "downtime": "downtime_ns",
    "expected-downtime": "expected_downtime_ns",
}  # fmt: skip


def is_qmp(text: str) -> bool:
    """Tell whether the text is JSON of QMP, one object or one a line."""
    return text.lstrip().startswith("{") and any(
        word in text for word in ('"ram"', '"status"', '"downtime-limit"', '"MIGRATION')
    )


def read_qmp(text: str) -> MigrationLog:
    """Read answers of `query-migrate`, `query-migrate-parameters` and migration events.

    Later answers replace the facts of earlier ones. A line that was cut off is left out, and said.

    Raises
    ------
    ValueError
        If there is no answer that can be read.
    """
    log = MigrationLog(tool="QEMU, QMP query-migrate")
    cut, found = 0, False
    for made in _objects(text):
        if made is None:
            cut += 1
            continue
        facts = _facts(made)
        if facts:
            found = True
            log = log.updated(MigrationLog(tool=log.tool, **facts))
    if not found:
        raise ValueError("has no answer of query-migrate")
    if cut:
        log = log.updated(MigrationLog(tool=log.tool, notes=(f"{cut} objects were cut off",)))
    return log


def _objects(text: str) -> Iterator[dict[str, Any] | None]:
    """Yield the JSON objects of a text; None for one that cannot be read."""
    decoder, at = json.JSONDecoder(), 0
    while (start := text.find("{", at)) >= 0:
        try:
            made, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            yield None
            line_end = text.find("\n", start)
            if line_end < 0:
                return
            at = line_end
            continue
        yield made


def _facts(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one object says, by the names of :class:`MigrationLog`."""
    answer = made.get("return", made)
    if not isinstance(answer, Mapping):
        return {}
    found: dict[str, Any] = {}
    event = made.get("event")
    if event == "MIGRATION_PASS":
        return {"rounds": _number(made.get("data", {}), "pass")}
    if event == "MIGRATION":
        answer = made.get("data", {})
        if not isinstance(answer, Mapping):
            return {}
    status = answer.get("status")
    if isinstance(status, str):
        found["status"] = status
    for key, name in _TIMES.items():
        if (value := _number(answer, key)) is not None:
            found[name] = value * NS["ms"]
    if (value := _number(answer, "cpu-throttle-percentage")) is not None:
        found["throttle"] = min(value, 99) / 100
    if (value := _number(answer, "downtime-limit")) is not None:  # query-migrate-parameters
        found["downtime_limit_ns"] = value * NS["ms"]
    if value := _number(answer, "max-bandwidth"):
        found["max_bytes_per_s"] = int(value)
    if value := _number(answer, "multifd-channels"):
        found["channels"] = int(value)
    ram = answer.get("ram")
    if isinstance(ram, Mapping):
        for key, name in _RAM.items():
            if (value := _number(ram, key)) is not None:
                found[name] = value if name == "dirty_pages_rate" else int(value)
        if value := _number(ram, "mbps"):
            found["bytes_per_s"] = round(value * MBIT)
    return {name: value for name, value in found.items() if value is not None}


def _number(table: Any, key: str) -> float | None:
    value = table.get(key) if isinstance(table, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e18:
        return None
    return value


_HMP: Final = {
    "total time": ("total_ns", "time"), "expected downtime": ("expected_downtime_ns", "time"),
    "downtime": ("downtime_ns", "time"), "setup": ("setup_ns", "time"),
    "transferred ram": ("transferred_bytes", "size"), "remaining ram": ("remaining_bytes", "size"),
    "total ram": ("memory_bytes", "size"), "throughput": ("bytes_per_s", "mbps"),
    "duplicate": ("zero_pages", "count"), "normal": ("normal_pages", "count"),
    "dirty sync count": ("rounds", "count"), "page size": ("page_size", "size"),
    "dirty pages rate": ("dirty_pages_rate", "count"),
    "cpu throttle percentage": ("throttle", "percent"),
    "postcopy request count": ("postcopy_requests", "count"),
    "downtime-limit": ("downtime_limit_ns", "time"), "max-bandwidth": ("max_bytes_per_s", "size"),
    "multifd-channels": ("channels", "count"),
    # the layout of QEMU 10.1: keys within a line
    "total/time": ("total_ns", "time"), "setup/time": ("setup_ns", "time"),
    "exp_down/time": ("expected_downtime_ns", "time"), "down/time": ("downtime_ns", "time"),
    "throughput (mbps)": ("bytes_per_s", "mbps"),
    "pagesize/sizes": ("page_size", "size"), "total/sizes": ("memory_bytes", "size"),
    "transferred/transfers": ("transferred_bytes", "size"),
    "remain/transfers": ("remaining_bytes", "size"),
    "normal/page types": ("normal_pages", "count"), "zero/page types": ("zero_pages", "count"),
    "dirty/page rates": ("dirty_pages_rate", "count"), "dirty_syncs/others": ("rounds", "count"),
    "postcopy_req/others": ("postcopy_requests", "count"),
}  # fmt: skip
_LINE = re.compile(r"^\s*([A-Za-z][A-Za-z0-9 _()/-]*?)\s*:\s*(.*?)\s*$")
_PAIR = re.compile(r"([a-z_]+)=\s*([0-9]+(?:\.[0-9]+)?(?![.,]?[0-9])\s*[A-Za-z]*)")
_VALUE = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z/]*)(?=\s|$)")
_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "time": {"": NS["ms"], "ms": NS["ms"], "milliseconds": NS["ms"], "us": 1e3, "s": NS["s"],
             "sec": NS["s"]},
    "size": {"kbytes": 1024, "bytes": 1, "": 1, "bytes/second": 1} | BYTES,
    "mbps": {"mbps": MBIT, "": MBIT},
    "count": {"pages": 1, "": 1},
    "percent": {"": 0.01},
}  # fmt: skip


def is_info_migrate(text: str) -> bool:
    """Tell whether the text is an answer of the monitor's `info migrate`."""
    return re.search(r"(?m)^(\s*Migration status:|Status:\s+\w)", text) is not None


def read_info_migrate(text: str) -> MigrationLog:
    """Read answers of `info migrate` and `info migrate_parameters`; later ones replace earlier.

    Raises
    ------
    ValueError
        If no line is one of them.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match[1].strip().lower(), match[2]
        if key in ("migration status", "status"):
            found["status"] = value.partition(" ")[0]
            continue
        pairs = _PAIR.findall(value) if "=" in value else []
        unit = "ms" if key == "time (ms)" else ""
        place = re.sub(r"\s*\(.*\)", "", key)
        for name, text_value in [(f"{k}/{place}", v + unit) for k, v in pairs] or [(key, value)]:
            if name not in _HMP:
                continue
            fact, kind = _HMP[name]
            number = _read(text_value, _UNITS[kind])
            if number is None:
                notes.append(f"{name}: {text_value!r} is in no unit that is known")
            else:
                whole = fact not in ("throttle", "dirty_pages_rate") and not fact.endswith("_ns")
                found[fact] = round(number) if whole else number
    if not found:
        raise ValueError("has no line of info migrate")
    return MigrationLog(tool="QEMU, info migrate", notes=tuple(notes), **found)


def _read(text: str, units: Mapping[str, float]) -> float | None:
    match = _VALUE.match(text)
    if match is None or match[2] not in units:
        return None
    return float(match[1]) * units[match[2]]
