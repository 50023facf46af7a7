"""``mmusim statistics``: all statistics of stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from mmusim.analysis.answers import load
from mmusim.base.errors import ConfigError
from mmusim.base.units import show_mean, show_ns
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson, ExperimentFile, Out, SettingName
from mmusim.cli.shared.output import say, table
from mmusim.comparison.compare import shift as shift_of
from mmusim.experiment.contrasts import Contrast, contrasts
from mmusim.experiment.run import Outcome
from mmusim.metrics.few_beyond import FEW, FEW_SAID, too_few_beyond
from mmusim.report.claim_cells import FIXED_COSTS
from mmusim.stats import Interval
from mmusim.stats.shift import LEAST_SEEDS
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.amount import amount
from mmusim.vocabulary.metrics import USUAL


def statistics(
    experiment: ExperimentFile,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="The metric, or all [the usual five].", show_default=False),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(help="The policy to compare with [the file's baseline].", show_default=False),
    ] = "",
    setting: SettingName = "",
    shift: Annotated[
        str,
        typer.Option(
            help="Print quantile differences instead: of latency, or of request.",
            show_default=False,
        ),
    ] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare the policies of stored runs: difference, ratio, p, effect, and the answer."""
    if shift:
        refuse_ignored("statistics", "with --shift", {"--metric": metrics})
    outcome = load(experiment, out)
    if shift:
        _shifts(outcome, shift, baseline, setting, as_json)
        return
    names = list(METRICS) if "all" in (metrics or []) else list(metrics or USUAL)
    found = contrasts(outcome, names, baseline=baseline, setting=setting)
    if as_json:
        table("", [_as_data(one) for one in found], True)
        return
    table("Paired comparisons", [_row(one) for one in found], False, once=("setting", "metric"))
    if found:
        say(
            f"{len(found)} comparisons are one family: p is adjusted for their number (Holm). "
            "Intervals are of each comparison alone. d is Cohen's d_z; better is the probability "
            "that the policy beats the baseline on a seed; pairing is the variance of the "
            "comparison over that of an unpaired one: below 1 pairing helps."
        )
    for line in _caveats(found):
        say(line)
    if found and all(one.comparison.over_hosts is None for one in found):
        say(FIXED_COSTS)


def _caveats(found: Sequence[Contrast]) -> Iterator[str]:
    """Yield a line for each caveat, with the settings that it is about if there are several."""
    several = len({one.setting.setting.name for one in found}) > 1
    of: dict[str, dict[str, None]] = {}
    for one in found:
        if one.comparison.caveat:
            of.setdefault(one.comparison.caveat, {})[one.setting.setting.name] = None
    for caveat, names in of.items():
        yield f"{FEW} {', '.join(names)}: {caveat}." if several else f"{FEW}: {caveat}."


def _row(one: Contrast) -> dict[str, Any]:
    c = one.comparison
    return {
        "setting": one.setting.setting.name,
        "metric": f"{c.metric} {FEW}" if c.caveat else c.metric,
        "policy": f"{c.candidate} against {c.baseline}",
        "difference": _interval(c.difference, partial(amount, c.metric)),
        "ratio": "" if c.ratio is None else _interval(c.ratio),
        "p": f"{c.adjusted_p:.2g}",
        "d": "" if c.effect is None else f"{c.effect:.2f}",
        "better": f"{c.superiority.estimate:.2f}",
        "pairing": "" if c.pairing is None else f"{c.pairing:.2f}",
        "answer": str(c.answer)
        + (
            f"; the same {c.over_hosts.phrase}"
            if c.over_hosts and c.answer.outcome != "unknown"
            else ""
        ),
    }


def _interval(i: Interval, show: Callable[[float], str] = show_mean) -> str:
    return f"{show(i.estimate)} [{i.span(show, ', ')}]"


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
            s = shift_of(result.runs[base], result.runs[name], of)
            columns = [
                x.tolist() for x in (s.p, s.baseline_ns, s.difference_ns, s.low_ns, s.high_ns)
            ]
            rows += [
                {
                    "setting": result.setting.name, "policy": f"{name} against {base}", "p": p,
                    "baseline_ns": a, "difference_ns": d, "low_ns": low, "high_ns": high,
                    "few_beyond": too_few_beyond(s.times, p),
                }
                for p, a, d, low, high in zip(*map(list, columns), strict=True)
            ]  # fmt: skip
    if as_json:
        table("", rows, True)
        return
    shown = [
        {
            "setting": r["setting"], "policy": r["policy"],
            "quantile": f"{r['p']:g}" + (f" {FEW}" if r["few_beyond"] else ""),
            "baseline": show_ns(r["baseline_ns"]), "difference": show_ns(r["difference_ns"]),
            "band": f"{show_ns(r['low_ns'])} .. {show_ns(r['high_ns'])}",
        }
        for r in rows
    ]  # fmt: skip
    table(f"Shift function of {of}: the band holds the whole curve", shown, False)
    if any(r["few_beyond"] for r in rows):
        say(FEW_SAID)
