"""``mmusim live``: the arms of an experiment on this machine, and predicted from its profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.cli.output import table
from mmusim.cli.validate import markdown
from mmusim.cli.validate_live import measured_profile
from mmusim.validation.live_arms import Arm, arms_of, measure_arms, predict_arms, read_arms
from mmusim.validation.live_runs import RunOf, load_runs, save_runs


class Options(NamedTuple):
    """The options of the verb."""

    arms: Path
    host: str
    recorded: Path | None = None
    record: Path | None = None
    out: Path | None = None
    repeats: int = 10
    as_json: bool = False


def live(options: Options) -> None:
    """Measure the arms, or read what was measured; predict them; print and write the report."""
    file = read_arms(options.arms)
    profile = measured_profile("live", options.host)
    if options.recorded is not None:
        everything, facts = load_runs(options.recorded)
        measured = [run for run in everything if run.kind == "measured"]
    else:
        measured, facts = _measure(options)
    seeds = sorted({run.seed for run in measured})
    predicted = predict_arms(file, facts["policy"], facts["mmu"], options.host, seeds)
    if options.record is not None:
        save_runs(options.record, measured, facts)
    found = arms_of(file, [*measured, *predicted])
    missing = [arm.name for arm in found if not arm.measured]
    if missing:
        raise ConfigError.of(
            "live", "recorded", str(options.recorded), f"lacks the arm {missing[0]!r}",
            "record again with mmusim live",
        )  # fmt: skip
    table(file.question, rows(found), options.as_json, facts=facts, profile=profile.name)
    if not options.as_json:
        typer.echo("\n".join(sentences(found, facts)))
    if options.out is not None:
        write(options.out, file.question, found, facts, profile.name)


def _measure(options: Options) -> tuple[list[RunOf], dict[str, Any]]:
    from mmusim.kvm.device import open_kvm
    from mmusim.kvm.machine import load_since, read_times, this_machine

    os.close(open_kvm(needs=("binary statistics",)))
    machine = this_machine()
    policy = machine.policy("get-clears")
    file = read_arms(options.arms)
    before = read_times()
    runs = measure_arms(
        file, policy, machine.mmu.value, options.repeats, told=lambda t: typer.echo(t, err=True)
    )
    load = load_since(before)
    facts = {
        "policy": policy, "mmu": machine.mmu.value, "kernel": machine.kernel,
        "processor": machine.processor, "load": load.facts(), "warning": load.warning(),
    }  # fmt: skip
    return runs, facts


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
        for name, p in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
            row[name] = f"{show_ns(theirs.quantile(p))} / {show_ns(mine.quantile(p))}"
        out.append(row)
    return out


def sentences(found: list[Arm], facts: dict[str, Any]) -> list[str]:
    """Say what the arms differ by, on the machine and in the prediction."""
    one, *others = found
    out = []
    for other in others:
        measured = other.total("measured")[0] / one.total("measured")[0]
        predicted = other.total("predicted")[0] / one.total("predicted")[0]
        out.append(
            f"{other.name!r} takes {measured:.4f} times as long as {one.name!r} on the machine, "
            f"{predicted:.4f} times in the prediction ({len(one.measured)} runs each)."
        )
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
    with plots.style(), whole(out / "live.svg") as unfinished:
        live_plots.arms(found).savefig(unfinished, format="svg")
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
