"""One self-contained HTML file per experiment."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from mmusim import plots
from mmusim.comparison import Comparison
from mmusim.experiment import CellResult, Outcome
from mmusim.metrics import Metrics
from mmusim.stats import Interval
from mmusim.store import Store
from mmusim.trace import CAUSES
from mmusim.units import show_ns, show_number

MOST_SENTENCES = 8
"""With more settings than this the answer is a summary; the tables have every setting."""
MOST_PANELS = 9
"""Cells shown with a latency panel and decomposition bars of their own; all are in the tables."""


def write_report(outcome: Outcome, store_folder: Path) -> Path:
    """Write ``report.html`` into a run directory, whole or not at all; return its path.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = store_folder / "report.html"
    unfinished = store_folder / ".report.html.new"
    store = Store.open(store_folder)
    configs = [{"name": name or "all", "toml": toml} for name, toml in store.cells().values()]
    store.close()
    unfinished.write_text(render(outcome, configs), encoding="utf-8")
    os.replace(unfinished, path)  # noqa: PTH105
    return path


def render(outcome: Outcome, configs: list[dict[str, str]]) -> str:
    """Return the report as HTML."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"ns": show_ns, "number": show_number}
    template = environment.from_string(
        (files("mmusim.report") / "report.html.jinja").read_text(encoding="utf-8")
    )
    shown = outcome.cells[:MOST_PANELS]
    return template.render(
        e=outcome.experiment,
        answers=answers(outcome),
        claims=[(list(group)) for _, group in groupby(outcome.verdicts, lambda v: v.says)],
        cells=outcome.cells,
        stories=list(stories(outcome)),
        figures=list(_figures(outcome, shown)),
        causes=[c for c in CAUSES if any(r.ledger[c] for r in every_run(outcome))],
        mean_ledger=mean_ledger,
        mean_bills=mean_bills,
        about=outcome.about,
        configs=configs,
        failures=outcome.failures,
    )


def answers(outcome: Outcome) -> list[str]:
    """Say what the experiment found, with intervals: a sentence a setting, or one for many."""
    pairs = [(r.cell.name, c) for r in outcome.cells for c in r.comparisons["phase_time"]]
    found = [(name, c, c.ratio) for name, c in pairs if c.ratio is not None]
    if len(found) <= MOST_SENTENCES:
        return [_sentence(name, c, ratio) for name, c, ratio in found]
    return [_summary(outcome, policy, found) for policy in outcome.experiment.policies.compare]


def _sentence(name: str, comparison: Comparison, ratio: Interval) -> str:
    where = f"{name}: " if name else ""
    change = "not significant" if 1 in ratio else f"{(ratio.estimate - 1) * 100:+.1f} %"
    return (
        f"{where}{comparison.candidate} takes {_span(ratio)} times as long as "
        f"{comparison.baseline} ({change}, {ratio.seeds} paired seeds)"
    )


def _span(ratio: Interval) -> str:
    return f"{ratio.estimate:.4g} ({ratio.low:.4g} to {ratio.high:.4g} at 95 %)"


def _summary(outcome: Outcome, policy: str, found: list[tuple[str, Comparison, Interval]]) -> str:
    mine = [(name, ratio) for name, c, ratio in found if c.candidate == policy]
    shorter = sum(ratio.high < 1 for _, ratio in mine)
    longer = sum(ratio.low > 1 for _, ratio in mine)
    best, worst = min(mine, key=lambda m: m[1].estimate), max(mine, key=lambda m: m[1].estimate)
    return (
        f"Against {outcome.experiment.policies.baseline}, {policy} is significantly faster in "
        f"{shorter} of {len(mine)} settings, slower in {longer}, and the difference is not "
        f"significant in {len(mine) - shorter - longer}; its time relative to the baseline ranges "
        f"from {_span(best[1])} with {best[0]} to {_span(worst[1])} with {worst[0]}"
    )


def stories(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Yield what happened in each setting that has a story, under the policies that share it."""
    for result in outcome.cells:
        by_story: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for policy, runs in result.runs.items():
            by_story.setdefault((runs[0].outcome, runs[0].story), []).append(policy)
        for (end, lines), names in by_story.items():
            if lines:
                title = f"{result.cell.name or 'all'}, {' and '.join(names)}: {end}"
                yield {"title": title, "lines": lines}


def every_run(outcome: Outcome) -> Iterator[Metrics]:
    """Yield the metrics of all runs."""
    for result in outcome.cells:
        for runs in result.runs.values():
            yield from runs


def mean_ledger(result: CellResult, policy: str) -> dict[str, float]:
    """Return the mean over seeds of the measured phase's ledger in ns."""
    runs = result.runs[policy]
    return {cause: sum(run.ledger[cause] for run in runs) / len(runs) for cause in CAUSES}


def mean_bills(result: CellResult, policy: str) -> dict[str, dict[str, float]]:
    """Return the mean over seeds of what log operations cost in ns, the largest part first."""
    runs = result.runs[policy]
    means: dict[str, dict[str, float]] = {}
    for operation in runs[0].bills:
        parts = {part for run in runs for part in run.bills[operation]}
        bill = {p: sum(run.bills[operation].get(p, 0) for run in runs) / len(runs) for p in parts}
        means[operation] = dict(sorted(bill.items(), key=lambda item: (-item[1], item[0])))
    return means


def _figures(outcome: Outcome, shown: list[CellResult]) -> Iterator[dict[str, Any]]:
    if not shown:
        return
    sweep = outcome.experiment.sweep
    with plots.style():
        yield _svg("How much longer or shorter the measured phase is", plots.ratios(outcome))
        for axis in sweep:
            if len(sweep[axis]) > 1:
                yield _svg(f"The ratio along {axis}", plots.swept(outcome, axis))
        for claim in outcome.experiment.claims:
            if claim.theory:
                figure = plots.against_theory(outcome, claim.metric, claim.sides[0])
                yield _svg(f"{claim.metric} against its closed form", figure)
        if any(run.rounds for run in every_run(outcome)):
            yield _svg("How the migrations converge, all seeds", plots.rounds(outcome, shown))
        yield _svg("Where the time went", plots.decomposition(outcome, shown))
        if all(run.latency.count for run in every_run(outcome)):
            yield _svg("Latency of single accesses, all seeds", plots.latencies(outcome, shown))


def _svg(caption: str, figure: Figure) -> dict[str, Any]:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text[text.index("<svg") :], count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    # Ids are per document, and several figures share this one.
    unique = re.sub(r"\W", "-", caption)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{unique}-\1"', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{unique}-", text)
    label = Markup('<svg role="img" aria-label="{}"').format(caption)
    return {"caption": caption, "svg": Markup(text.replace("<svg", str(label), 1))}
