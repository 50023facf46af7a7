"""``mmusim validate --live``: measured and simulated latencies of this machine, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.units import show_ns
from mmusim.cli.shared.output import say, table
from mmusim.config.host import HostProfile, load_profile
from mmusim.metrics.few_beyond import FEW, FEW_SAID
from mmusim.validation.live_grid import GridSetting, read_grid
from mmusim.validation.live_runs import (
    RunOf,
    load_runs,
    measure_all,
    save_runs,
    simulate_all,
)
from mmusim.validation.live_score import (
    SHARE,
    TARGETS,
    TOLERANCES,
    PassScore,
    cause,
    misses,
    score_all,
    summarise,
)
from mmusim.validation.sceptic import SCALES


class Options(NamedTuple):
    """The options of the verb."""

    host: str
    live: bool
    recorded: Path | None = None
    record: Path | None = None
    grid: Path | None = None
    repeats: int = 10
    workers: int | None = None
    scheduler: str | None = None
    as_json: bool = False


def measured_profile(verb: str, name: str) -> HostProfile:
    """Load the profile of a machine that was measured.

    Raises
    ------
    ConfigError
        If there is no profile of this name, or it was not measured but put together from
        publications.
    """
    profile = load_profile(name)
    if profile.measurement is None:
        raise ConfigError.of(
            verb, "--host", name, "is not a measured profile",
            "measure one with mmusim probe --to myhost.toml",
        )  # fmt: skip
    return profile


def validate_live(options: Options) -> int:
    """Measure, or read what was measured; simulate, compare, print; return the exit status."""
    profile = measured_profile("validate", options.host)
    settings = read_grid(options.grid)
    measured, facts = _measured(options, profile, settings)
    seeds = sorted({run.seed for run in measured})
    typer.echo(f"simulating {len(settings)} settings for {len(seeds)} seeds", err=True)
    simulated = simulate_all(
        settings, facts["base"], facts["mmu"], options.host, seeds,
        workers=options.workers, scheduler=options.scheduler, tell=_tell,
    )  # fmt: skip
    scores = score_all(settings, [*measured, *simulated])
    if options.record is not None:
        save_runs(options.record, [*measured, *simulated], facts)
    show(scores, facts, profile, options.as_json)
    summary = summarise(scores)
    reached = all(summary.reached(metric) for metric in TARGETS)
    return int(not (reached and summary.exact == summary.countable))


def _measured(
    options: Options, profile: HostProfile, settings: Sequence[GridSetting]
) -> tuple[list[RunOf], dict[str, Any]]:
    if options.recorded is not None:
        runs, facts = load_runs(options.recorded)
        return [run for run in runs if run.kind == "measured"], facts
    import os

    from mmusim.kvm.device import open_kvm
    from mmusim.kvm.machine import load_since, read_times, this_machine

    os.close(open_kvm(needs=("binary statistics",)))
    machine = this_machine()
    assert profile.measurement is not None
    _same_machine(profile, machine.kernel, machine.mmu.value)
    base = f"{machine.release}+{machine.mmu.value}"
    typer.echo(f"measuring {len(settings)} settings {options.repeats} times", err=True)
    before = read_times()
    runs = measure_all(
        settings, base, machine.mmu.value, options.repeats, tell=_tell
    )  # fmt: skip
    load = load_since(before)
    facts = {
        "base": base, "mmu": machine.mmu.value, "kernel": machine.kernel,
        "processor": machine.processor, "load": load.facts(), "warning": load.warning(),
        "profile": profile.name, "probed": profile.measurement.date,
    }  # fmt: skip
    if options.record is not None:
        save_runs(options.record, runs, facts)  # what was measured is safe before it is compared
    return runs, facts


def _same_machine(profile: HostProfile, kernel: str, mmu: str) -> None:
    assert profile.measurement is not None
    for key, theirs, ours in (
        ("kernel", profile.measurement.kernel, kernel), ("mmu", profile.measurement.mmu, mmu)
    ):  # fmt: skip
        if theirs != ours:
            raise ConfigError.of(
                "validate", f"measurement.{key}", theirs, f"is not this machine's {ours!r}",
                "measure this machine with mmusim probe",
            )  # fmt: skip


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def row(score: PassScore) -> dict[str, Any]:
    """Return a row of the table: times with the ratio of simulated by measured."""
    settings: dict[str, Any] = {"setting": score.setting, "pass": score.which}
    for c in score.compared:
        mark = "" if c.close else " ~" if c.own_spread else " !"
        few = f" {FEW}" if c.few else ""
        settings[c.metric] = f"{show_ns(c.measured)} {c.ratio:.2f}{mark}{few}"
    settings["counts"] = {None: "timing", True: "exact", False: "DIFFER"}[score.exact]
    settings["log"] = (
        f"{show_ns(score.log_measured)} {score.log_simulated / max(score.log_measured, 1):.2f}"
    )
    s = score.sceptic
    settings["KS (own)"] = f"{s.between:.3f} ({s.within:.3f})"
    settings["sceptic"] = f"p {s.p:.3f} ({s.p_within:.3f}), AUC {s.auc:.2f}"
    return settings


def sentences(scores: Sequence[PassScore], facts: dict[str, Any]) -> list[str]:
    """Say in sentences how close the simulator comes."""
    summary = summarise(scores)
    out = [
        f"{summary.passes} passes; counts exact in {summary.exact} of {summary.countable} whose "
        "counts do not depend on timing.",
    ]
    for metric, (close, met) in summary.met.items():
        target = f" (target {SHARE:.0%})" if metric in TARGETS else ""
        out.append(
            f"{metric}: within {TOLERANCES[metric]:.0%} in {close / summary.passes:.0%} of them, "
            f"within that or the machine's own spread in {met / summary.passes:.0%}{target}."
        )
    out.append(
        f"A sceptic with a permutation test on the KS distance, who has {summary.runs} runs or "
        f"more of each side, could not tell simulated from measured runs in "
        f"{summary.indistinguishable} of {summary.passes}; in {summary.indistinguishable_within} "
        f"if all simulated times may be off by one factor of up to {max(SCALES) - 1:.0%}."
    )
    if any(c.few for score in scores for c in score.compared):
        out.append(FEW_SAID)
    if facts.get("warning"):
        out.append(f"While this was measured {facts['warning']}.")
    return out


def miss_rows(scores: Sequence[PassScore]) -> list[dict[str, Any]]:
    """Return a row for each miss, with its likely cause."""
    return [
        {
            "setting": s.setting, "pass": s.which, "metric": c.metric,
            "measured": show_ns(c.measured), "from": show_ns(c.low), "to": show_ns(c.high),
            "simulated": show_ns(c.simulated), "ratio": round(c.ratio, 3),
            "likely_cause": cause(s, c),
        }
        for s, c in misses(scores)
    ]  # fmt: skip


def show(
    scores: Sequence[PassScore], facts: dict[str, Any], profile: HostProfile, as_json: bool
) -> None:
    """Print the comparison."""
    if as_json:
        summary = summarise(scores)
        data = {
            "facts": facts, "profile": profile.name, "summary": summary._asdict(),
            "rows": [
                {
                    "setting": s.setting, "pass": s.which, "repeats": s.repeats, "exact": s.exact,
                    "differences": s.differences, "sceptic": s.sceptic._asdict(),
                    "log_measured_ns": s.log_measured, "log_simulated_ns": s.log_simulated,
                    "metrics": [
                        c._asdict() | {"close": c.close, "own_spread": c.own_spread}
                        for c in s.compared
                    ],
                }
                for s in scores
            ],
            "misses": miss_rows(scores),
        }  # fmt: skip
        typer.echo(json.dumps(data, indent=1))
        return
    table(
        f"Measured, and simulated by measured ({profile.name}); ~ within the machine's own spread, "
        "! a miss", [row(s) for s in scores], False, once=("setting",),
    )  # fmt: skip
    table("Misses", miss_rows(scores), False, once=("setting", "pass"))
    different = [
        {"setting": s.setting, "pass": s.which, "difference": d}
        for s in scores
        for d in s.differences
    ]
    table("Counts that differ", different, False)
    say("\n".join(sentences(scores, facts)))
