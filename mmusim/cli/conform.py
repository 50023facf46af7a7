"""The verb that holds the model against a real kernel's counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import typer

from mmusim.cli.output import table
from mmusim.conform import conform as replay_all
from mmusim.kernel_cases import read_cases


def conform(path: Path, as_json: bool) -> int:
    """Replay the cases and print the result; return the exit status."""
    results = replay_all(read_cases(path))
    totals = Counter(result.status for result in results)
    integers = sum(result.integers for result in results)
    differing = sum(len(result.differences) for result in results)
    if as_json:
        rows = [
            asdict(r) | {"status": r.status, "differences": [d._asdict() for d in r.differences]}
            for r in results
        ]
        table("", rows, True, totals=totals, integers=integers, differing=differing)
        return int(bool(differing))
    table(
        "Cases",
        [
            {
                "case": r.number, "status": r.status, "setting": r.setting, "script": r.script,
                "remark": r.unsupported,
            }
            for r in results
        ],
        False,
    )  # fmt: skip
    table(
        "Integers that differ",
        [{"case": r.number, **d._asdict()} for r in results for d in r.differences],
        False,
    )
    typer.echo(
        f"{totals['match']} cases match, {totals['differs']} differ, "
        f"{totals['unsupported']} unsupported; {integers - differing} of {integers} integers equal"
    )
    return int(bool(differing))
