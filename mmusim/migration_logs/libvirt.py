"""Logs of libvirt: `virsh domjobinfo`, of a job that runs or (`--completed`) has ended.

virsh translates its labels and writes numbers as the language of the terminal does. The labels in
other languages are facts of libvirt's translations (`domjobinfo.toml`). With `--rawstats` it prints
the names of the protocol instead, in every language alike.

Sources: cmdDomjobinfo of tools/virsh-domain.c; include/libvirt/libvirt-domain.h
(VIR_DOMAIN_JOB_*).
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from mmusim.base.units import BYTES, NS
from mmusim.migration_logs.log import MigrationLog
from mmusim.migration_logs.series import Answer, answer_in, limit_at_start, with_series

TRANSLATIONS: Final = Path(__file__).with_name("domjobinfo.toml")

_FACTS: Final = {
    "Time elapsed": "total_ns", "Memory total": "memory_bytes", "Setup time": "setup_ns",
    "Memory processed": "transferred_bytes", "Memory remaining": "remaining_bytes",
    "Memory bandwidth": "bytes_per_s", "Dirty rate": "dirty_pages_rate", "Iteration": "rounds",
    "Constant pages": "zero_pages", "Normal pages": "normal_pages", "Page size": "page_size",
    "Total downtime": "downtime_ns", "Expected downtime": "expected_downtime_ns",
    "Auto converge throttle": "throttle", "Postcopy requests": "postcopy_requests",
}  # fmt: skip
TYPE: Final = "Job type"
OPERATION: Final = "Operation"
REASON: Final = "Error message"
"""The only label that is known in English alone."""
LABELS: Final = (TYPE, OPERATION, "Data total", *_FACTS)
"""The labels by which an answer is recognised, without their colons."""
_STATES: Final = {
    "Bounded": "active", "Unbounded": "active", "Completed": "completed", "Failed": "failed",
    "Cancelled": "cancelled", "None": "",
}  # fmt: skip
VALUES: Final = tuple(_STATES)
"""Words of values that are translated too."""
OTHERS: Final = ("Start", "Save", "Restore", "Snapshot", "Snapshot revert", "Dump", "Backup",
                 "Snapshot delete")  # fmt: skip
"""Operations that are no migration."""

_RAW: Final = {
    "time_elapsed": ("total_ns", "ms"), "setup_time": ("setup_ns", "ms"),
    "downtime": ("downtime_ns", "ms"), "memory_total": ("memory_bytes", ""),
    "memory_processed": ("transferred_bytes", ""), "memory_remaining": ("remaining_bytes", ""),
    "memory_bps": ("bytes_per_s", ""), "memory_dirty_rate": ("dirty_pages_rate", ""),
    "memory_iteration": ("rounds", ""), "memory_constant": ("zero_pages", ""),
    "memory_normal": ("normal_pages", ""), "memory_page_size": ("page_size", ""),
    "memory_postcopy_requests": ("postcopy_requests", ""),
    "auto_converge_throttle": ("throttle", "%"),
}  # fmt: skip
_RAW_STATES: Final = ("", "active", "active", "completed", "failed", "cancelled")
_RAW_OPERATION: Final = "operation"
_RAW_MIGRATIONS: Final = ("4", "5")

_UNITS: Final[Mapping[str, float]] = {
    "ms": NS["ms"], "s": NS["s"], "pages/s": 1, "bytes": 1, "": 1, "%": 0.01, "pages": 1,
    # libvirt before 0.9.11 wrote powers of 1,024 so
    "KB": 1 << 10, "PiB": 1 << 50,
} | BYTES | {f"{unit}/s": size for unit, size in BYTES.items()}  # fmt: skip
_LINE = re.compile(r"^\s*(?P<label>\S.*?)\s*[:：]\s*(?P<value>.*?)\s*$")
_COLUMNS = re.compile(r"^(?P<label>\D+?)\s+(?P<value>[0-9]\S*(?: \s*\S+)?)\s*$")
"""Some translations have labels without a colon."""
_VALUE = re.compile(r"^(?P<whole>[0-9]+)(?:[.,٫](?P<part>[0-9]+))?\s*(?P<unit>\S*)$")


def _plain(text: str) -> str:
    """Return a label for comparison: no colon, one kind of spaces, small letters."""
    text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split()).rstrip(":：").rstrip().casefold()


@cache
def _words(which: tuple[str, ...]) -> Mapping[str, str]:
    """Return the plain form of each word in every language -> the English word."""
    with TRANSLATIONS.open("rb") as file:
        languages: Mapping[str, Mapping[str, str]] = tomllib.load(file)
    found = {
        _plain(translated): english
        for language in languages.values()
        for english, translated in language.items()
        if english in which
    }
    return found | {_plain(english): english for english in which}


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the English label, the value, and the label as it is written, of each known line."""
    for line in text.splitlines():
        match = _LINE.match(line[:500]) or _COLUMNS.match(line[:500])
        if match is None:
            continue
        written = match["label"]
        if written in (*_RAW, _RAW_OPERATION, REASON):
            yield written, match["value"], written
        elif label := _words(LABELS).get(_plain(written)):
            yield label, match["value"], written


def is_domjobinfo(text: str) -> bool:
    """Tell whether the text is an answer of `virsh domjobinfo`, in any language that is known."""
    labels = {label for label, _, _ in _lines(text)}
    return bool(labels & {TYPE, "Memory total", "Data total"}) or len(labels) > 1


def read_domjobinfo(text: str) -> MigrationLog:
    """Read an answer of `virsh domjobinfo`, or several of one migration in their order.

    Raises
    ------
    ValueError
        If no line has a fact, for instance because the language is not known; or if the job is no
        migration.
    """
    log = MigrationLog(tool="libvirt, virsh domjobinfo")
    answers: list[Answer] = []
    facts: dict[str, Any] = {}
    for label, value, written in [*_lines(text), (TYPE, "", "")]:  # an answer begins with its type
        if label == TYPE:
            if (answer := answer_in(facts)) is not None:
                answers.append(answer)
            if facts.get("status") == "active" and facts.get("downtime_ns") == 0:
                del facts["downtime_ns"]  # it has not happened yet
            log = log.updated(MigrationLog(tool=log.tool, **facts, **limit_at_start(facts)))
            facts = {"status": _state(value)}
        elif label in (OPERATION, _RAW_OPERATION):
            _refuse_other_jobs(value)
        elif label == REASON:
            facts["reason"] = value
        else:
            name, unit = _RAW[label] if label in _RAW else (_FACTS.get(label, ""), "")
            facts |= _fact(name, value, unit, written, facts.get("notes", ())) if name else {}
    if not log.has_facts and log.status not in ("failed", "cancelled"):
        why = "has no line of domjobinfo in a language that is known; run it with LC_ALL=C"
        if any(_is_none(value) for label, value, _ in _lines(text) if label == TYPE):
            why = "says that no job was running; ask while the migration runs, or with --completed"
        raise ValueError(why)
    return with_series(log, answers)


def _state(value: str) -> str:
    """Return the state of the migration by the job's type, which --rawstats gives by number."""
    if value.isascii() and value.isdigit():
        return _RAW_STATES[int(value)] if int(value) < len(_RAW_STATES) else ""
    return _STATES.get(_words(VALUES).get(_plain(value), ""), "")


def _is_none(value: str) -> bool:
    return value == "0" or _words(VALUES).get(_plain(value)) == "None"


def _refuse_other_jobs(value: str) -> None:
    """Refuse a job that is known to be no migration; an unknown word may be one."""
    other = value in OTHERS or (value.isdigit() and value not in _RAW_MIGRATIONS)
    if other:
        raise ValueError(f"is about the job {value!r}, which is no migration")


def _fact(
    name: str, value: str, unit: str, written: str, notes: tuple[str, ...]
) -> dict[str, Any]:  # fmt: skip
    match = _VALUE.match(value)
    unit = unit or (match["unit"] if match is not None else "")
    if match is None or unit not in _UNITS:
        return {"notes": (*notes, f"{written}: {value!r} is in no unit that is known")}
    number = float(f"{match['whole']}.{match['part'] or 0}") * _UNITS[unit]
    keep = name in ("dirty_pages_rate", "throttle") or name.endswith("_ns")
    return {name: number if keep else round(number)}
