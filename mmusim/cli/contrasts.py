"""The verb that prints everything the statistics say about stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from mmusim.analysis.answers import load
from mmusim.base.errors import ConfigError
from mmusim.base.units import show_ns, show_number
from mmusim.cli.output import table
from mmusim.comparison.compare import shift
from mmusim.experiment.contrasts import Contrast, contrasts
from mmusim.experiment.run import Outcome
from mmusim.stats import Interval
from mmusim.stats.shift import LEAST_SEEDS
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import USUAL

"""The metrics unless others are asked for; `all` is every one."""


def verb(
    experiment: Path,
    metrics: Sequence[str],
    baseline: str,
    setting: str,
    of: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Evaluate what is stored and print it."""
    outcome = load(experiment, out)
    if of:
        _shifts(outcome, of, baseline, setting, as_json)
        return
    names = list(METRICS) if "all" in metrics else list(metrics) or USUAL
    found = contrasts(outcome, names, baseline=baseline, setting=setting)
    if as_json:
        table("", [_as_data(one) for one in found], True)
        return
    table("Paired comparisons", [_row(one) for one in found], False)
    if found:
        typer.echo(
            f"{len(found)} comparisons are one family: p is adjusted for their number (Holm). "
            "Intervals are of each comparison alone. d is Cohen's d_z; better is the probability "
            "that the policy beats the baseline on a seed; pairing is the variance of the "
            "comparison over that of an unpaired one: below 1 pairing helps."
        )


def _row(one: Contrast) -> dict[str, Any]:
    c = one.comparison
    return {
        "setting": one.setting.setting.name,
        "metric": c.metric,
        "policy": f"{c.candidate} against {c.baseline}",
        "difference": _interval(c.difference),
        "ratio": "" if c.ratio is None else _interval(c.ratio),
        "p": f"{c.adjusted_p:.2g}",
        "d": "" if c.effect is None else f"{c.effect:.2f}",
        "better": f"{c.superiority.estimate:.2f}",
        "pairing": "" if c.pairing is None else f"{c.pairing:.2f}",
        "answer": str(c.answer),
    }


def _interval(i: Interval) -> str:
    return f"{show_number(i.estimate)} [{i.span(show_number, ', ')}]"


def _as_data(one: Contrast) -> dict[str, Any]:
    c = one.comparison
    return {
        "setting": one.setting.setting.name, **asdict(c),
        "unit": METRICS[c.metric].unit, "says": str(c.answer),
    }  # fmt: skip


def _shifts(outcome: Outcome, of: str, baseline: str, setting: str, as_json: bool) -> None:
    if of not in ("latency", "request"):
        raise ConfigError.of(
            "statistics", "--shift", of, "has no distribution", "choose latency or request"
        )
    contrasts(outcome, [], baseline=baseline, setting=setting)  # refuses names that do not exist
    policies = outcome.experiment.policies
    base = baseline or policies.baseline
    rows = []
    for result in outcome.settings:
        if setting and result.setting.name != setting:
            continue
        if len(result.runs[base]) < LEAST_SEEDS:
            raise ConfigError.of(
                "statistics", "--shift", of, f"needs at least {LEAST_SEEDS} seeds", "run more"
            )
        for name in policies.all:
            if name == base:
                continue
            s = shift(result.runs[base], result.runs[name], of)
            columns = [
                x.tolist() for x in (s.p, s.baseline_ns, s.difference_ns, s.low_ns, s.high_ns)
            ]
            rows += [
                {
                    "setting": result.setting.name, "policy": f"{name} against {base}", "p": p,
                    "baseline_ns": a, "difference_ns": d, "low_ns": low, "high_ns": high,
                }
                for p, a, d, low, high in zip(*map(list, columns), strict=True)
            ]  # fmt: skip
    if as_json:
        table("", rows, True)
        return
    shown = [
        {
            "setting": r["setting"], "policy": r["policy"], "quantile": f"{r['p']:g}",
            "baseline": show_ns(r["baseline_ns"]), "difference": show_ns(r["difference_ns"]),
            "band": f"{show_ns(r['low_ns'])} .. {show_ns(r['high_ns'])}",
        }
        for r in rows
    ]  # fmt: skip
    table(f"Shift function of {of}: the band holds the whole curve", shown, False)
