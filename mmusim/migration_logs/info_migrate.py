"""Logs of QEMU: the monitor's `info migrate`, `info migrate_parameters` and `_capabilities`.

Source: hmp_info_migrate of migration/migration-hmp-cmds.c, before and after its layout changed in
QEMU 10.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mmusim.base.units import BYTES, NS
from mmusim.migration_logs.log import MigrationLog
from mmusim.migration_logs.qemu import MBIT
from mmusim.migration_logs.series import Answer, answer_in, limit_at_start, with_series

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
    "postcopy blocktime": ("postcopy_blocktime_ns", "time"),
    "postcopy blocktime (ms)": ("postcopy_blocktime_ns", "time"),
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
    log = MigrationLog(tool="QEMU, info migrate")
    answers: list[Answer] = []
    facts: dict[str, Any] = {}
    for line in [*text.splitlines(), "status:"]:  # an answer begins with its status
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match[1].strip().lower(), match[2]
        if key in ("migration status", "status"):
            if (answer := answer_in(facts)) is not None:
                answers.append(answer)
            log = log.updated(MigrationLog(tool=log.tool, **facts, **limit_at_start(facts)))
            facts = _status(value)
        else:
            facts |= _capability(line)
            notes = facts.pop("notes", ())
            more, unread = _of_line(key, value)
            facts |= more | ({"notes": notes + unread} if notes + unread else {})
    if not (log.has_facts or log.status):
        raise ValueError("has no line of info migrate")
    return with_series(log, answers)


def _status(value: str) -> dict[str, Any]:
    """Return the state, and the reason that may stand behind it in brackets."""
    state, _, rest = value.partition(" ")
    reason = rest.strip().removeprefix("(").removesuffix(")")
    return ({"status": state} if state else {}) | ({"reason": reason} if reason else {})


def _capability(line: str) -> dict[str, Any]:
    match = re.search(r"\bauto-converge: (on|off)\b", line)
    return {} if match is None else {"auto_converge": match[1] == "on"}


def _of_line(key: str, value: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the facts of a line, and what is in no unit that is known."""
    found: dict[str, Any] = {}
    notes: list[str] = []
    pairs = _PAIR.findall(value) if "=" in value else []
    unit = "ms" if key == "time (ms)" else ""
    place = re.sub(r"\s*\(.*\)", "", key)
    for name, text in [(f"{k}/{place}", v + unit) for k, v in pairs] or [(key, value)]:
        if name not in _HMP:
            continue
        fact, kind = _HMP[name]
        number = _read(text, _UNITS[kind])
        if number is None:
            notes.append(f"{name}: {text!r} is in no unit that is known")
        else:
            whole = fact not in ("throttle", "dirty_pages_rate") and not fact.endswith("_ns")
            found[fact] = round(number) if whole else number
    return found, tuple(notes)


def _read(text: str, units: Mapping[str, float]) -> float | None:
    match = _VALUE.match(text)
    if match is None or match[2] not in units:
        return None
    return float(match[1]) * units[match[2]]
