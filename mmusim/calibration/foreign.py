"""Measurements that others made: CSV, bpftrace, bcc, perf ftrace, perf trace, exits of KVM.

A file may hold several series: the columns of a table, the maps of a bpftrace script, the system
calls of a trace, the reasons of exits. One of them is a cost, and mmusim never guesses which. If
the series or its unit is ambiguous, mmusim refuses the file and lists the choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import read_text
from mmusim.base.units import NS
from mmusim.calibration.foreign_kinds import series_of
from mmusim.calibration.foreign_series import Floats, Foreign, Series, from_bins

__all__ = ["Floats", "Foreign", "from_bins", "read_foreign"]

MOST_COUNTED: Final = 1e15
"""Observations of a histogram. A double holds this number exactly, with each smaller one."""


def read_foreign(path: Path, unit: str = "", choice: str = "", cost: str = "") -> Foreign:
    """Read times in nanoseconds from a file of any of the known kinds.

    Parameters
    ----------
    path : Path
        CSV with a column of times or with columns low, high and count; histograms that
        bpftrace, bcc and perf ftrace latency print; lines of ``perf trace``, which have
        durations; KVM's events in the text of ftrace, trace-cmd or perf script; the table of
        ``perf kvm stat report``.
    unit : str
        Of the times, where the file does not say it.
    choice : str
        Which column, map, system call or reason of exits is meant, where the file has several.
    cost : str
        What the times are for. The exits of faults are those meant for a cost of a fault.

    Raises
    ------
    ConfigError
        If it cannot be read or is of no known kind; if it has several series or no unit and
        nothing says which is meant; if a time is negative or no number.
    """
    if unit and unit not in NS:
        raise ConfigError.of(
            str(path), "unit", unit, f"is not one of {', '.join(NS)}", "write e.g. COST=FILE:us"
        )
    one = _chosen(path, series_of(read_text(path), str(path)), choice, cost)
    if unit and one.unit and NS[unit] != NS[one.unit]:
        raise ConfigError.of(
            str(path), "unit", unit, f"is contradicted by the name {one.name!r}",
            "leave the unit out, or correct the name in the file",
        )  # fmt: skip
    if not (unit or one.unit):
        raise ConfigError.of(
            str(path), "unit", None, f"is not said by {one.name or 'the file'!r}",
            f"write COST=FILE:UNIT with one of {', '.join(NS)}",
        )  # fmt: skip
    data = one.data.times(float(NS[unit or one.unit]))
    _check(path, one.name, data)
    return data


def _chosen(path: Path, found: Sequence[Series], choice: str, cost: str) -> Series:
    stamps = [one.name for one in found if one.moments]
    if stamps and not choice and not any(one.likely for one in found):
        raise ConfigError.of(
            str(path), "file", None, f"has no times: {_listed(stamps)} tells when, not how long",
            f"give a column of times; if it is one, write COST=FILE:{stamps[0]}",
        )  # fmt: skip
    meant = [one for one in found if choice in (one.name, one.name.removeprefix("@"))]
    likely = [one for one in found if cost in one.costs] or [one for one in found if one.likely]
    names = [one.name for one in (found if choice else likely or found)]
    if choice and not meant:
        raise ConfigError.of(
            str(path), "choice", choice, "is not in the file", f"it has {_listed(names)}"
        )
    candidates = meant if choice else likely or found
    if len(candidates) == 1:
        return candidates[0]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError.of(
            str(path), "file", None, f"has {twice!r} {names.count(twice)} times",
            "keep one in the file: the last, if it adds up",
        )  # fmt: skip
    raise ConfigError.of(
        str(path), "file", None, f"has {len(names)} series and nothing says which is the cost",
        f"write COST=FILE:NAME with one of {_listed(names)}",
    )  # fmt: skip


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = [name or "(without a name)" for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def _check(path: Path, name: str, data: Foreign) -> None:
    """Refuse a series that is no measurement; name the first row that is wrong."""
    if data.summary is not None:
        if not data.summary.least <= data.summary.mean <= data.summary.most:
            raise ConfigError.of(
                str(path), "mean", data.summary.mean, "must lie between minimum and maximum",
                "give the output as the tool printed it",
            )  # fmt: skip
    elif data.kind == "histogram":
        low, high = data.edges[:, 0], data.edges[:, 1]
        order = np.argsort(low, kind="stable")
        apart = (high[order][:-1] <= low[order][1:] * (1 + 1e-12)).all()
        sound = np.isfinite(data.edges).all(axis=1) & (high > low) & (low >= 0)
        wrong = np.flatnonzero(~sound)
        if len(wrong):
            raise ConfigError.of(
                str(path), "bins", data.edges[wrong[0]].tolist(),
                f"must have 0 <= low < high, both finite, and bin {wrong[0] + 1} has not",
                "correct the table",
            )  # fmt: skip
        wrong = np.flatnonzero(~((data.counts >= 0) & (data.counts == np.floor(data.counts))))
        if len(wrong) or data.counts.sum() > MOST_COUNTED:
            at = wrong[0] if len(wrong) else int(data.counts.argmax())
            raise ConfigError.of(
                str(path), "count", float(data.counts[at]),
                "must be a whole number of at least 0, and all counts together at most "
                f"{MOST_COUNTED:.0e}; bin {at + 1} is not such a number",
                "give how many times were counted, not shares",
            )  # fmt: skip
        if not apart:
            raise ConfigError.of(str(path), "bins", None, "overlap", "correct the table")
    elif len(wrong := np.flatnonzero(~((data.samples >= 0) & (data.samples < np.inf)))):
        raise ConfigError.of(
            str(path), name or "times", float(data.samples[wrong[0]]),
            f"must be finite and not negative, and row {wrong[0] + 1} is not (in ns)",
            "correct the table",
        )  # fmt: skip
    if data.count == 0:
        raise ConfigError.of(str(path), "file", None, "has no observation", "measure some")
