"""A page over a folder of experiments: their questions, answers and verdicts, with links."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.inputs import read_text
from mmusim.report.answers import VERDICTS
from mmusim.report.page import environment
from mmusim.report.tables import Cell, Table
from mmusim.store import LEDGER

_SUMMARY: Final = re.compile(r'<script type="application/json" id="summary">(.*?)</script>', re.S)


def write_index(folder: Path) -> Path:
    """Write ``index.html`` into a folder of run directories, whole or not at all; return its path.

    It has a row a subfolder with a report. Run directories without one are listed below, with the
    way to get it.

    Raises
    ------
    ConfigError
        If there is no such folder, no report in it, or the page cannot be written.
    """
    if not folder.is_dir():
        raise ConfigError.of(
            "index", "FOLDER", str(folder), "is not a folder", "give one that holds run directories"
        )
    reports = sorted(folder.glob("*/report.html"))
    found = [(path, summary(path)) for path in reports]
    rows = [_row(path.relative_to(folder), s) for path, s in found if s is not None]
    if not rows:
        raise ConfigError.of(
            "index", "FOLDER", str(folder), "holds no folder with a report",
            "run experiments with --out in it, or write reports with `mmusim report`",
        )  # fmt: skip
    known = {path.parent for path, s in found if s is not None}
    missing = [p.parent.name for p in sorted(folder.glob(f"*/{LEDGER}")) if p.parent not in known]
    missing += [p.parent.name for p, s in found if s is None and p.parent.name not in missing]
    columns = [("question", False), ("answer", False), *((kind, True) for kind in VERDICTS),
               ("settings", True)]  # fmt: skip
    table = Table(
        id="experiments-table", caption="Experiments", columns=columns, rows=rows,
        note="supported, refuted, inconclusive: verdicts over all claims and settings.",
    )  # fmt: skip
    page = folder / "index.html"
    with whole(page) as unfinished:
        text = environment().get_template("index.html.jinja")
        unfinished.write_text(text.render(table=table, missing=missing), encoding="utf-8")
    return page


def summary(report: Path) -> dict[str, Any] | None:
    """Return what a report says of itself; None if it is not one of ours."""
    try:
        match = _SUMMARY.search(read_text(report))
        facts = json.loads(match[1]) if match else None
    except (ConfigError, ValueError):
        return None
    return facts if isinstance(facts, dict) and _is_ours(facts) else None


def _is_ours(facts: dict[str, Any]) -> bool:
    """Tell whether the summary has what a row shows, each of its type."""
    counts = facts.get("verdicts", {})
    return (
        isinstance(facts.get("question"), str)
        and isinstance(facts.get("answer", ""), str)
        and isinstance(facts.get("settings", 0), int)
        and isinstance(counts, dict)
        and all(isinstance(counts.get(kind, 0), int) for kind in VERDICTS)
    )


def _row(link: Path, facts: dict[str, Any]) -> list[Cell]:
    counts = facts.get("verdicts", {})
    verdicts = [
        Cell(str(counts.get(kind, 0)), counts.get(kind, 0), kind if counts.get(kind) else "")
        for kind in VERDICTS
    ]
    return [
        Cell(facts["question"], link=link.as_posix()), Cell(facts.get("answer", "")), *verdicts,
        Cell(str(facts.get("settings", "")), facts.get("settings")),
    ]  # fmt: skip
