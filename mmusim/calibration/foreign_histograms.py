"""Histograms of times as tools print them: bpftrace, bcc and perf ftrace.

* **bpftrace**: maps as ``hist()`` and ``lhist()`` print them, ``[16, 32)  7 |@@|``, or as lines of
  JSON (``bpftrace -f json``), whose ends are inclusive.
* **bcc** (``funclatency``, ``hardirqs``): ``16 -> 31 : 7 |**|`` below a line with the unit.
* **perf ftrace latency**: ``16 - 32 us | 7 | ##``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import unreadable
from mmusim.base.parsing import parse_json
from mmusim.base.units import NS
from mmusim.calibration.foreign_series import Series, histogram, unit_of

_BIN = re.compile(
    r"^\s*[\[(]\s*(-?[0-9.]+|\.\.\.)([KMGTPE]?)\s*(?:,\s*(-?[0-9.]+|\.\.\.)([KMGTPE]?)\s*[)\]])?\]?"
    r"\s+([0-9]+)\s*\|"
)
_LIKE_A_BIN = re.compile(r"^\s*[\[(]\s*(?:(-?[0-9.]+|\.\.\.)[KMGTPE]?\s*(?:[,)\]]|$)|$)")
_MAP = re.compile(r"^\s*(@\S*?(?:\[[^\]]*\])?)\s*:\s*$")
_BCC_HEAD = re.compile(r"^\s*(\w+)\s*: count\s+distribution\s*$")
_BCC_KEY = re.compile(r"^\s*\w+\s*=\s*(\S.*?)\s*$")
_BCC_BIN = re.compile(r"^\s*([0-9]+)\s*->\s*([0-9]+)\s*:\s*([0-9]+)\s*\|")
_LIKE_BCC = re.compile(r"^\s*[0-9]+\s*->")
_FTRACE_HEAD = re.compile(r"^\W*DURATION\s*\|\s*COUNT\s*\|")
_FTRACE_BIN = re.compile(
    r"^\s*([0-9.]+)\s+-\s+([0-9.]+|\.\.\.)\s+(ns|us|ms|s)\s*\|\s*([0-9]+)\s*\|"
)
_LIKE_FTRACE = re.compile(r"^\s*[0-9.]+\s+-\s")
_JSON_LINE = re.compile(r'^\s*\{\s*"type"\s*:')
_SUFFIX: Final = {unit: 1024.0**i for i, unit in enumerate(["", *"KMGTPE"])}
"""bpftrace writes powers of two short."""


class _Bins(NamedTuple):
    """A histogram that is being read."""

    name: str
    unit: str
    edges: list[tuple[float, float]]
    counts: list[float]
    open_: list[float]  # counts of bins without an upper end

    def add(self, low: float, high: float | None, count: float) -> None:
        """Add a bin. One without an upper end reaches to twice its lower end."""
        self.edges.append((low, 2 * low if high is None else high))
        self.counts.append(count)
        if high is None:
            self.open_.append(count)

    def series(self) -> Series:
        """Return what was read. Observations in bins without an upper end are told."""
        beyond, note = sum(self.open_), ""
        if beyond:
            note = (
                f"{beyond:.0f} of {sum(self.counts):.0f} observations lie in a bin without an "
                "upper end, which is taken to reach to twice its lower end"
            )
        return Series(self.name, self.unit, histogram(self.edges, self.counts, note))


def histograms_of(lines: Sequence[str], source: str) -> list[Series]:
    """Return the histograms of a file; none if it is of another kind.

    Raises
    ------
    ConfigError
        If a bin is cut or is no bin.
    """
    if any(_BIN.match(line) for line in lines):
        found = _of_bpftrace(lines, source)
    elif any(_BCC_HEAD.match(line) for line in lines):
        found = _of_bcc(lines, source)
    elif any(_FTRACE_HEAD.match(line) for line in lines):
        found = _of_perf_ftrace(lines, source)
    elif lines and _JSON_LINE.match(lines[0]):
        found = _of_json(lines, source)
    else:
        return []
    some = [bins.series() for bins in found if bins.edges]
    if not some:
        raise unreadable(source, "has no histogram of times", "record one with hist()")
    return some


def _of_bpftrace(lines: Sequence[str], source: str) -> Iterator[_Bins]:
    bins = _Bins("", "", [], [], [])
    for line in lines:
        named, found = _MAP.match(line), _BIN.match(line)
        if named:
            yield bins
            bins = _Bins(named[1], _unit_of_map(named[1]), [], [], [])
        elif found:
            bins.add(*_ends(found, source, line), float(found[5]))
        elif _LIKE_A_BIN.match(line):  # a file that is cut, for one
            raise _invalid_bin(source, line)
    yield bins


def _unit_of_map(name: str) -> str:
    return unit_of(re.sub(r"\[.*", "", name))


def _ends(found: re.Match[str], source: str, line: str) -> tuple[float, float | None]:
    try:
        low = 0.0 if found[1] == "..." else float(found[1]) * _SUFFIX[found[2]]
        if found[3] is None:
            return low, low + 1
        high = None if found[3] == "..." else float(found[3]) * _SUFFIX[found[4]]
    except ValueError:
        raise _invalid_bin(source, line) from None
    if low < 0 or (high is not None and high <= 0):
        raise _below_zero(source, line)
    return low, high


def _of_bcc(lines: Sequence[str], source: str) -> Iterator[_Bins]:
    bins, key = _Bins("", "", [], [], []), ""
    for line in lines:
        named, of, found = _BCC_HEAD.match(line), _BCC_KEY.match(line), _BCC_BIN.match(line)
        if named:
            yield bins
            bins, key = _Bins(key, unit_of(named[1]), [], [], []), ""
        elif of:
            key = of[1]
        elif found:
            bins.add(float(found[1]), float(found[2]) + 1, float(found[3]))
        elif _LIKE_BCC.match(line):
            raise _invalid_bin(source, line)
    yield bins


def _of_perf_ftrace(lines: Sequence[str], source: str) -> Iterator[_Bins]:
    bins = _Bins("", "ns", [], [], [])
    for line in lines:
        found = _FTRACE_BIN.match(line)
        if _FTRACE_HEAD.match(line):
            yield bins
            bins = _Bins("", "ns", [], [], [])
        elif found:
            try:
                low, unit = float(found[1]) * NS[found[3]], NS[found[3]]
                high = None if found[2] == "..." else float(found[2]) * unit
            except ValueError:
                raise _invalid_bin(source, line) from None
            bins.add(low, high, float(found[4]))
        elif _LIKE_FTRACE.match(line):
            raise _invalid_bin(source, line)
    yield bins


def _of_json(lines: Sequence[str], source: str) -> Iterator[_Bins]:
    for number, line in enumerate(lines, 1):
        said = parse_json(line, source, f"line {number}")
        maps = said.get("data") if isinstance(said, dict) else None
        if not isinstance(maps, dict) or said.get("type") not in ("hist", "lhist"):
            continue
        for name, value in maps.items():
            keyed = value if isinstance(value, dict) else {"": value}
            for key, rows in keyed.items():
                bins = _Bins(f"{name}[{key}]" if key else name, _unit_of_map(name), [], [], [])
                for row in rows if isinstance(rows, list) else [rows]:
                    _add_json(bins, row, source, number)
                yield bins


def _add_json(bins: _Bins, row: Any, source: str, number: int) -> None:
    """Add a bin of JSON. The first may lack its lower end, the last its upper one."""
    given = row if isinstance(row, Mapping) else {}
    count, low, last = given.get("count"), given.get("min", 0), given.get("max")
    if (
        not (isinstance(count, int) and isinstance(low, int) and isinstance(last, int | None))
        or not {"min", "max"} & given.keys()
    ):
        raise _invalid_bin(source, f"{row} in line {number}")
    if low >= 0 and (last is None or last >= 0):
        bins.add(float(low), None if last is None else float(last + 1), float(count))
    elif count:
        raise _below_zero(source, str(row))


def _invalid_bin(source: str, line: str) -> ConfigError:
    rule = f"has a bin that is not valid: {line.strip()[:60]}"
    return unreadable(source, rule, "copy the output again, or correct it")


def _below_zero(source: str, line: str) -> ConfigError:
    rule = f"has times below zero: {line.strip()[:60]}"
    return unreadable(source, rule, "let the script subtract the earlier moment from the later one")
