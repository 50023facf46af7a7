"""Benchmarks kept over commits: one CSV row for each kind of work in each measurement.

Seconds depend on the computer. So mmusim compares the ratio to bare SimPy, or to the SimPy engine
at the same work, within one measurement.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.inputs import read_text
from mmusim.base.parsing import parse_csv
from mmusim.store.provenance import provenance

FIELDS: Final = (
    "date", "commit", "model", "python", "processor", "load", "work", "by", "ns_each", "ratio",
)  # fmt: skip
"""`load` is the system's load average when the measurement ended; `ratio` has no unit."""


def append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append the rows of one measurement to a file; create the file if necessary.

    Raises
    ------
    ConfigError
        If the file is no such history, or cannot be written.
    """
    before = read(path) if path.exists() else []
    facts = provenance()
    common = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": facts["commit"], "model": facts["mmusim"], "python": facts["python"],
        "processor": processor(), "load": f"{os.getloadavg()[0]:.2f}",
    }  # fmt: skip
    new = [
        common | {
            "work": row["work"], "by": row["by"], "ns_each": f"{row['ns_each']:.6g}",
            "ratio": f"{row['relative_to_SimPy']:.6g}",
        }
        for row in rows
        if row["relative_to_SimPy"] > 0  # a difference of two times that noise has turned round
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*before, *new])
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_text(text.getvalue(), encoding="utf-8")


def read(path: Path) -> list[dict[str, str]]:
    """Read a history, the oldest measurement first.

    Raises
    ------
    ConfigError
        If it cannot be read, or is none.
    """
    head, *rows = parse_csv(read_text(path), str(path)) or [[]]
    if tuple(head) != FIELDS:
        raise ConfigError.of(
            str(path), "columns", ", ".join(head), f"are not {', '.join(FIELDS)}",
            "give a file that mmusim bench --append wrote",
        )  # fmt: skip
    found = [dict(zip(FIELDS, row, strict=False)) for row in rows]
    for number, row in enumerate(found, 2):
        try:
            positive = len(row) == len(FIELDS) and float(row["ratio"]) > 0
        except ValueError:
            positive = False
        if not positive:
            raise ConfigError.of(
                str(path), f"line {number}", row.get("ratio"), "has no ratio above 0",
                "remove the line",
            )  # fmt: skip
    return found


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
