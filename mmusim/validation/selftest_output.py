"""The output of a real dirty_log_perf_test beside that of its simulation, line by line.

Source: run_test of tools/testing/selftests/kvm/dirty_log_perf_test.c (pr_info lines).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import read_text, unreadable
from mmusim.base.recordings import recording_of
from mmusim.base.units import show_bytes, show_ns
from mmusim.trace.records import Trace

TOTAL: Final = ", total"
AVERAGE: Final = ", average"
"""End of the name of a line over all iterations."""

_SECONDS: Final = r"([0-9]{1,9})\.([0-9]{9})s"
_PHASE: Final = re.compile(rf"^\s*([A-Za-z][A-Za-z0-9 ]* time): {_SECONDS}\s*$")
_TOTAL: Final = re.compile(
    rf"^\s*((Get|Clear) dirty log) over ([0-9]+) iterations took {_SECONDS}\. "
    rf"\(Avg {_SECONDS}/iteration\)\s*$"
)
_TIMED: Final = re.compile(r"\btime: |\biterations took ")
_ITERATIONS: Final = re.compile(r"^\s*Test iterations: ([0-9]{1,9})\s*$")
_SEED: Final = re.compile(r"^\s*Random seed: ([0-9]{1,10})\s*$")
_MEMORY: Final = re.compile(
    r"^\s*guest physical test memory: \[0x([0-9a-f]{1,16}), 0x([0-9a-f]{1,16})\)"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """The output of one run of the selftest. None: the output lacks the value."""

    times: Mapping[str, int]  # ns by the text before the time, in the order of the output
    iterations: int | None = None
    random_seed: int | None = None
    memory_bytes: int | None = None  # of all vCPUs together
    unread: tuple[str, ...] = ()  # lines with a time that cannot be read


def read_selftest(path: str | Path) -> Measured:
    """Read the output of one run of ``dirty_log_perf_test``.

    A log that is cut gives the lines that are whole. Lines of other programs are passed over.

    Raises
    ------
    ConfigError
        If it cannot be read, has no line with a time, or has the output of several runs.
    """
    times: dict[str, int] = {}
    unread: list[str] = []
    facts: dict[str, int] = {}
    text = read_text(path)
    for line in text.split("\n"):
        found = _times_of(line)
        for name in found:
            if name in times:
                raise ConfigError.of(
                    str(path), "file", None, f"has the line {name!r} twice",
                    "keep the output of one run in the file",
                )  # fmt: skip
        times |= found
        if not found and _TIMED.search(line):
            unread.append(line.strip()[:100])
        if match := _ITERATIONS.match(line):
            facts["iterations"] = int(match[1])
        if match := _SEED.match(line):
            facts["random_seed"] = int(match[1])
        if match := _MEMORY.match(line):
            facts["memory_bytes"] = max(int(match[2], 16) - int(match[1], 16), 0)
    if not times:
        known = recording_of(text)
        rule = (
            "has no line of dirty_log_perf_test with a time, such as 'Populate memory time: 0.4s'"
        )
        remedy = "give what the selftest printed"
        if known is not None and not unread:
            rule, remedy = f"is the output of {known.what}", known.remedy
        raise unreadable(path, rule, remedy)
    return Measured(times, unread=tuple(unread), **facts)


def _times_of(line: str) -> dict[str, int]:
    if match := _PHASE.match(line):
        return {match[1][0].upper() + match[1][1:]: int(match[2]) * 10**9 + int(match[3])}
    if match := _TOTAL.match(line):
        name = f"{match[1]} over {match[3]} iterations"
        total, mean = (int(match[i]) * 10**9 + int(match[i + 1]) for i in (4, 6))
        return {name + TOTAL: total, name + AVERAGE: mean}
    return {}


def simulated_times(trace: Trace) -> dict[str, int]:
    """Return the same lines of a simulated run: ns by the text before the time."""
    times: dict[str, int] = {}
    totals: dict[str, list[int]] = {"Get": [], "Clear": []}
    for phase in trace.phases:
        if not phase.name:
            continue
        ns = phase.end_ns - phase.start_ns
        times[f"{phase.name[0].upper()}{phase.name[1:]} time"] = ns
        for kind, those in totals.items():
            if f" {kind.lower()} dirty log" in phase.name:
                those.append(ns)
    for kind, those in totals.items():
        if those:
            name = f"{kind} dirty log over {len(those)} iterations"
            times[name + TOTAL] = sum(those)
            times[name + AVERAGE] = sum(those) // len(those)
    return times


def beside_measured(measured: Measured, trace: Trace) -> list[dict[str, Any]]:
    """Return a row for each line of either output: measured_ns, simulated_ns and their ratio.

    The ratio is simulated over measured. Where a side has no such line, its time and the ratio are
    None: the real run's kernel or options reported in another way, or its output is cut.
    """
    simulated = simulated_times(trace)
    rows = []
    for name in [*simulated, *(name for name in measured.times if name not in simulated)]:
        real, made = measured.times.get(name), simulated.get(name)
        rows.append(
            {
                "line": name, "measured_ns": real, "simulated_ns": made,
                "ratio": made / real if real and made is not None else None,
            }
        )  # fmt: skip
    return rows


def shown(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the rows of :func:`beside_measured` for people."""
    return [
        {
            "line": row["line"],
            **{
                side: "none" if row[f"{side}_ns"] is None else show_ns(row[f"{side}_ns"])
                for side in ("measured", "simulated")
            },
            "ratio": "" if row["ratio"] is None else f"{row['ratio']:.3g}",
        }
        for row in rows
    ]


def unlike(measured: Measured, iterations: int, memory_bytes: int) -> list[str]:
    """Return the differences between the real and the simulated run, and unread lines."""
    said = []
    if measured.iterations is not None and measured.iterations != iterations:
        said.append(f"the real run had {measured.iterations} iterations, this one {iterations}")
    if measured.memory_bytes is not None and measured.memory_bytes != memory_bytes:
        said.append(
            f"the real run had {show_bytes(measured.memory_bytes)} of memory, this one "
            f"{show_bytes(memory_bytes)}: give -v and -b of the real run, or ratios compare "
            "different guests"
        )
    return said + [f"cannot be read: {line}" for line in measured.unread]
