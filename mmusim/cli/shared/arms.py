"""``mmusim live``: the arms of an experiment on this machine, and predicted from its profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import typer

from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.cli.shared.figures import write_figure
from mmusim.cli.shared.published_times import markdown
from mmusim.metrics.few_beyond import FEW, too_few_beyond
from mmusim.validation.live_arms import Arm
from mmusim.vocabulary.metrics import MIN_BEYOND

QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def _few(arm: Arm, p: float) -> bool:
    """Tell whether fewer than ten times of all runs of an arm lie beyond a quantile."""
    return any(too_few_beyond(arm.latencies(kind).count, p) for kind in ("measured", "predicted"))


def rows(found: list[Arm]) -> list[dict[str, Any]]:
    """Return a row for each arm."""
    out = []
    for arm in found:
        (measured, low, high), (predicted, *_) = arm.total("measured"), arm.total("predicted")
        theirs, mine = arm.latencies("measured"), arm.latencies("predicted")
        faults, expected = arm.faults
        row: dict[str, Any] = {
            "arm": arm.name, "measured": show_ns(measured),
            "from": show_ns(low), "to": show_ns(high), "predicted": show_ns(predicted),
            "ratio": round(predicted / measured, 3), "faults": int(faults),
            "faults_predicted": int(expected),
        }  # fmt: skip
        for name, p in QUANTILES.items():
            few = f" {FEW}" if _few(arm, p) else ""
            row[name] = f"{show_ns(theirs.quantile(p))} / {show_ns(mine.quantile(p))}{few}"
        out.append(row)
    return out


def sentences(found: list[Arm], facts: dict[str, Any]) -> list[str]:
    """Describe the differences between the arms, on the machine and in the prediction."""
    one, *others = found
    out = []
    for other in others:
        measured = other.total("measured")[0] / one.total("measured")[0]
        predicted = other.total("predicted")[0] / one.total("predicted")[0]
        out.append(
            f"{other.name!r} takes {measured:.4f} times as long as {one.name!r} on the machine, "
            f"{predicted:.4f} times in the prediction ({len(one.measured)} runs each)."
        )
    if any(_few(arm, p) for arm in found for p in QUANTILES.values()):
        out.append(f"{FEW}: fewer than {MIN_BEYOND} times of all runs lie beyond this quantile.")
    if facts.get("warning"):
        out.append(f"While this was measured {facts['warning']}.")
    return out


def write(
    out: Path, question: str, found: list[Arm], facts: dict[str, Any], profile: str
) -> None:  # fmt: skip
    """Write ``live.md`` and ``live.svg`` into a folder."""
    from mmusim import plots
    from mmusim.plots import live as live_plots

    out.mkdir(parents=True, exist_ok=True)
    with plots.style():
        write_figure(live_plots.arms(found), out / "live.svg")
    text = "\n".join(
        [
            f"# {question}", "",
            f"Measured on {facts['processor']}, Linux {facts['kernel']}, {facts['mmu']} MMU; "
            f"predicted from the profile `{profile}`, which no run of these was used for. "
            "Written by `mmusim live`.", "",
            *sentences(found, facts), "",
            "![Total time of each arm, measured and predicted, and the latency distributions]"
            "(live.svg)", "",
            markdown(rows(found)), "",
            "Quantiles: measured, then predicted. Faults: medians over runs.", "",
        ]
    )  # fmt: skip
    with whole(out / "live.md") as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    typer.echo(f"written: live.md and live.svg in {out}", err=True)
