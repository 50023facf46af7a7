"""The measurements in files of each foreign kind: CSV, bpftrace, perf trace, exits of KVM.

* **CSV of samples**: columns of times, each named with its unit (``latency_us``).
* **CSV of a histogram**: columns ``low``, ``high`` and ``count``, with a unit as above.
* **bpftrace**: maps as ``hist()`` and ``lhist()`` print them, ``[16, 32)  7 |@@|``.
* **perf trace**: lines with ``( 0.012 ms): comm/tid call(...)`` or ``duration: 12.3 ms``.
* **ftrace** and ``perf kvm stat``: :mod:`mmusim.calibration.exit_times`.

Other known outputs are recognised, and refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import unreadable
from mmusim.base.parsing import parse_csv
from mmusim.base.recordings import BPFTRACE, PERF_TRACE, recording_of
from mmusim.base.units import NS
from mmusim.calibration.exit_times import OF_EXITS, exits_of
from mmusim.calibration.foreign_series import Series, histogram, samples, unit_of

_BIN = re.compile(
    r"^\s*[\[(]\s*(-?[0-9.]+|\.\.\.)([KMGTPE]?)\s*(?:,\s*(-?[0-9.]+|\.\.\.)([KMGTPE]?)\s*[)\]])?\]?"
    r"\s+([0-9]+)\s*\|"
)
_LIKE_A_BIN = re.compile(r"^\s*[\[(]\s*(?:(-?[0-9.]+|\.\.\.)[KMGTPE]?\s*(?:[,)\]]|$)|$)")
_MAP = re.compile(r"^\s*(@\S*?(?:\[[^\]]*\])?)\s*:\s*$")
_NUMBER: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PERF = re.compile(
    rf"\(\s*{_NUMBER}\s*(ns|us|ms|s)\s*\)\s*:|duration:?\s*{_NUMBER}\s*(ns|us|ms|s)\b"
)
_CALL = re.compile(
    r"\):\s*(?P<task>\S.*?/\d+)\s+(?P<more>\.\.\. \[continued\]: )?(?P<call>\w+)\((?P<rest>.*)"
)
_COMMAND = re.compile(r"\bcmd:\s*(\w+)")
_SUFFIX: Final = {unit: 1024.0**i for i, unit in enumerate(["", *"KMGTPE"])}
"""bpftrace writes powers of two short."""
_MOMENTS: Final = (
    "timestamp",
    "tstamp",
    "ts",
    "epoch",
    "date",
    "datetime",
    "start",
    "begin",
    "end",
)
"""Columns that say when, not how long."""


def series_of(text: str, source: str) -> list[Series]:
    """Return everything that a file measures; `source` names it in messages.

    Raises
    ------
    ConfigError
        If it is of no known kind, or has a value that is not a number.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    known = recording_of(text)
    if known in OF_EXITS:
        return exits_of(text, source)
    if known is not None and known not in (BPFTRACE, PERF_TRACE):
        raise unreadable(source, f"is the output of {known.what}", known.remedy)
    if any(_BIN.match(line) for line in lines):
        return _bpftrace(lines, source)
    if any(_PERF.search(line) for line in lines):
        return _perf(lines)
    if lines and re.search(r"[,;\t]|^[\w.+()%µ\" -]+$", lines[0]):
        return _csv(text, source)
    raise unreadable(
        source, "is neither CSV, bpftrace, perf trace, ftrace nor perf kvm stat",
        "give a column of times, columns low, high, count, or what one of these tools prints",
    )  # fmt: skip


def _bpftrace(lines: Sequence[str], source: str) -> list[Series]:
    names, edges, counts = [""], [list[tuple[float, float]]()], [list[float]()]
    for line in lines:
        named, found = _MAP.match(line), _BIN.match(line)
        if named:
            names.append(named[1])
            edges.append([])
            counts.append([])
        elif found:
            low, high = _ends(found, source, line)
            edges[-1].append((low, high))
            counts[-1].append(float(found[5]))
        elif _LIKE_A_BIN.match(line):  # a file that is cut, for one
            raise _invalid_bin(source, line)
    return [
        Series(name, unit_of(re.sub(r"\[.*", "", name)), histogram(bins, those))
        for name, bins, those in zip(names, edges, counts, strict=True)
        if bins
    ]


def _ends(found: re.Match[str], source: str, line: str) -> tuple[float, float]:
    """Return the ends of a bin. A bin without an upper end reaches to twice its lower end."""
    try:
        low = 0.0 if found[1] == "..." else float(found[1]) * _SUFFIX[found[2]]
        if found[3] is None:
            return low, low + 1
        return low, 2 * low if found[3] == "..." else float(found[3]) * _SUFFIX[found[4]]
    except ValueError:
        raise _invalid_bin(source, line) from None


def _invalid_bin(source: str, line: str) -> ConfigError:
    rule = f"has a bin that is not valid: {line.strip()[:60]}"
    return unreadable(source, rule, "copy the output again, or correct it")


def _perf(lines: Sequence[str]) -> list[Series]:
    """Return the durations of each system call; ioctls apart by their command.

    A call that another task interrupts in the output is ended by a line with ``[continued]``, which
    has the duration and not the command.
    """
    times: dict[str, list[float]] = {}
    begun: dict[tuple[str, str], str] = {}
    for line in lines:
        call, event = _CALL.search(line), ""
        if call:
            command = _COMMAND.search(call["rest"])
            event = command[1] if command else call["call"]
            if call["more"]:
                event = begun.pop((call["task"], call["call"]), event)
        found = _PERF.search(line)
        if found:
            value, unit = (found[1], found[2]) if found[1] else (found[3], found[4])
            times.setdefault(event, []).append(float(value) * NS[unit])
        elif call:
            begun[call["task"], call["call"]] = event
    return [Series(name, "ns", samples(those)) for name, those in times.items()]


def _csv(text: str, source: str) -> list[Series]:
    first = text.lstrip("\n").partition("\n")[0]
    rows = parse_csv(text, source, max(",;\t", key=first.count))
    headless = all(_is_number(cell) for cell in rows[0] if cell.strip())
    _check_width(rows, source)
    head = [f"column {i}" for i, _ in enumerate(rows[0], 1)] if headless else rows[0]
    head = [name.strip() for name in head]
    body = rows if headless else rows[1:]
    stems = {_stem(name): i for i, name in enumerate(head)}
    missing = {"low", "high", "count"} - stems.keys()
    if len(missing) == 1 and missing != {"count"}:
        raise ConfigError.of(
            source, "columns", None, f"has bins without {missing.pop()}",
            "give the columns low, high and count of a histogram, or one column of times",
        )  # fmt: skip
    if not missing:
        low, high, count = (
            _column(body, stems[key], head, source) for key in ("low", "high", "count")
        )
        units = {unit_of(head[stems[key]]) for key in ("low", "high")}
        if len(units) > 1:
            raise ConfigError.of(
                source, "unit", None, "is not the same for low and high", "correct the header"
            )
        bins = list(zip(low, high, strict=True))
        return [Series("count", units.pop(), histogram(bins, count))]
    timed = [i for i, name in enumerate(head) if unit_of(name)]
    lasting = [i for i in timed if _stem(head[i]) not in _MOMENTS] or timed
    numeric = [i for i in range(len(head)) if all(_is_number(_cell(row, i)) for row in body)]
    likely = lasting or numeric or list(range(len(head)))
    return [
        Series(head[i], unit_of(head[i]), samples(_column(body, i, head, source)), i in likely)
        for i in sorted({*likely, *numeric})
    ]


def _check_width(rows: Sequence[Sequence[str]], source: str) -> None:
    """Refuse rows longer than the first: with decimal commas, 1,4 would be read as 1."""
    for number, row in enumerate(rows[1:], 1):
        if any(cell.strip() for cell in row[len(rows[0]) :]):
            raise ConfigError.of(
                source, "row", number, f"has {len(row)} cells, and the first line {len(rows[0])}",
                "write decimal points and not commas, and a name for each column",
            )  # fmt: skip


def _stem(name: str) -> str:
    """Return a header without its unit, in small letters."""
    stem = name.lower().strip()
    return re.sub(r"[\s_.\-(\[]*[a-zµμ]+[)\]]?$", "", stem) if unit_of(stem) else stem


def _column(body: Sequence[Sequence[str]], i: int, head: Sequence[str], source: str) -> list[float]:
    values = []
    for number, row in enumerate(body, 1):
        cell = _cell(row, i)
        if not _is_number(cell):
            raise ConfigError.of(
                source, head[i], cell, f"has a value that is not a number in row {number}",
                "correct the table",
            )  # fmt: skip
        values.append(float(cell))
    return values


def _cell(row: Sequence[str], i: int) -> str:
    return row[i].strip() if i < len(row) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
