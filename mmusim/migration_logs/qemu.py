"""Logs of QEMU: QMP's `query-migrate` (JSON).

Several answers that follow each other tell the rounds; so do the events `MIGRATION_PASS`, which
have the time of each read of the log.

Source: qapi/migration.json (MigrationInfo, MigrationStats, MigrationStatus, the events).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mmusim.base.units import NS
from mmusim.migration_logs.cut_json import mended_json
from mmusim.migration_logs.log import MigrationLog
from mmusim.migration_logs.series import Answer, answer_in, limit_at_start, with_series

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
    "expected-downtime": "expected_downtime_ns", "postcopy-blocktime": "postcopy_blocktime_ns",
}  # fmt: skip


_SIGN = re.compile(
    r'"(?:return|ram|status|downtime-limit|dirty-sync-count|MIGRATION(?:_PASS)?)"\s*[:,}]'
)


def is_qmp(text: str) -> bool:
    """Tell whether the text has JSON of QMP: one object, a list, or one in each line."""
    return "{" in text and _SIGN.search(text) is not None


def read_qmp(text: str) -> MigrationLog:
    """Read answers of `query-migrate`, `query-migrate-parameters` and migration events.

    Later answers replace the facts of earlier ones. Of an object that was cut off, what stands
    before the cut is taken, and that is said.

    Raises
    ------
    ValueError
        If there is no answer that can be read.
    """
    log = MigrationLog(tool="QEMU, QMP query-migrate")
    cut, found = 0, 0
    answers: list[Answer] = []
    passes: dict[int, float] = {}  # number of the round -> when it began
    for made, whole in _objects(text):
        cut += not whole
        if (begun := _pass(made)) is not None:
            if begun[0] == 0:
                passes.clear()
            passes[begun[0]] = begun[1]
        facts = _facts(made)
        facts |= limit_at_start(facts)
        found += bool(facts)
        log = log.updated(MigrationLog(tool=log.tool, **facts))
        if (answer := answer_in(facts)) is not None:
            answers.append(answer)
    if not found:
        why = "has no answer of query-migrate"
        if re.search(r'"return":\s*\{\s*\}', text):
            why = "says that no migration was started; ask while it runs or after it"
        raise ValueError(why)
    starts = {number: ns - passes[0] for number, ns in passes.items()} if 0 in passes else {}
    notes = (f"{cut} objects were cut off",) if cut else ()
    return with_series(log.updated(MigrationLog(tool=log.tool, notes=notes)), answers, starts)


def _objects(text: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the JSON objects of a text, and whether each was whole."""
    decoder, at = json.JSONDecoder(), 0
    while (start := text.find("{", at)) >= 0:
        try:
            made, at = decoder.raw_decode(text, start)
            yield made, True
            continue
        except (ValueError, RecursionError):
            pass
        made, length = mended_json(text[start:])
        yield made if isinstance(made, dict) else {}, False
        at = start + length


def _pass(made: Mapping[str, Any]) -> tuple[int, float] | None:
    """Return the number of the round that an event MIGRATION_PASS begins, and its time in ns."""
    data, stamp = made.get("data"), made.get("timestamp")
    if made.get("event") != "MIGRATION_PASS":
        return None
    number, seconds = _number(data, "pass"), _number(stamp, "seconds")
    if not number or seconds is None:
        return None
    return int(number) - 1, seconds * NS["s"] + (_number(stamp, "microseconds") or 0) * NS["us"]


def _facts(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one object says, by the names of :class:`MigrationLog`."""
    answer = made.get("return", made)
    if isinstance(answer, list):  # query-migrate-capabilities
        states = {c.get("capability"): c.get("state") for c in answer if isinstance(c, Mapping)}
        on = states.get("auto-converge")
        return {"auto_converge": on} if isinstance(on, bool) else {}
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
    if isinstance(status := answer.get("status"), str):
        found["status"] = status
    if isinstance(reason := answer.get("error-desc"), str):
        found["reason"] = reason
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
