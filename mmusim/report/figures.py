"""The figures of a report, and how an SVG becomes part of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from matplotlib.figure import Figure

from mmusim import plots
from mmusim.experiment.run import Outcome
from mmusim.plots.style import NEUTRAL, SERIES
from mmusim.report.tables import every_run
from mmusim.stats.shift import LEAST_SEEDS
from mmusim.vocabulary import METRICS

MOST_PANELS: Final = 6
"""Settings in figures with one panel or one bar each. The tables have all settings."""
MOST_ROWS: Final = 12
"""Settings in a forest plot. The tables have all settings."""
VARIABLES: Final = {colour: f"var(--fig-{name})" for name, colour in NEUTRAL.items()} | {
    colour: f"var(--s{n})" for n, colour in enumerate(SERIES)
}
"""Colours of figures that a dark page replaces."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of a page."""

    caption: str
    describes: str  # description for readers who do not see the figure
    svg: Markup


def figures(outcome: Outcome) -> Iterator[Drawn]:
    """Draw the figures of an experiment's report."""
    if not outcome.settings:
        return
    with plots.style():
        for caption, describes, figure in _each(outcome):
            yield Drawn(caption, describes, inlined(caption, describes, figure))


def _each(outcome: Outcome) -> Iterator[tuple[str, str, Figure]]:
    e, shown = outcome.experiment, outcome.settings[:MOST_PANELS]
    metric, sweep = e.answer_by, e.sweep
    of = "request" if metric.endswith("_request") else "latency"
    if e.policies.compare:
        yield (
            f"{metric} relative to {e.policies.baseline}",
            "Forest plot: the ratio to the baseline with its 95 % interval, a row a setting and "
            "policy; the table of comparisons has the numbers.",
            plots.ratios(outcome, metric, outcome.settings[:MOST_ROWS]),
        )
    if sum(len(values) > 1 for values in (*sweep.values(), e.variants)) > 1 and sweep:
        for policy in e.policies.compare[:3]:
            yield (
                f"Where {policy} is better and where it is worse, by {metric}",
                f"Map of the ratio of {metric} to that of {e.policies.baseline} over the settings.",
                plots.phase_diagram(outcome, metric, policy),
            )
    for axis, values in sweep.items():
        lines = len(outcome.settings) * len(e.policies.compare) / len(values)
        if len(values) > 1 and 0 < lines <= len(SERIES):
            yield (
                f"{metric} along {axis}",
                f"The ratio to the baseline against {axis}, a line a policy and other setting.",
                plots.swept(outcome, axis, metric),
            )
    for claim in e.claims:
        if claim.theory:
            yield (
                f"{claim.metric} against its closed form",
                f"Measured means of {claim.metric} with intervals against the expected values.",
                plots.against_theory(outcome, claim.metric, claim.sides[0]),
            )
    runs = list(every_run(outcome))
    if any(run.rounds for run in runs):
        yield (
            "How the migrations converge, all seeds",
            "Pages to be sent after each sync of the dirty log against time, a line a seed.",
            plots.rounds(outcome, shown),
        )
        yield (
            "Pages that were sent in vain, round by round, all seeds",
            "Pages sent in each round and to be sent again after it against time, a line a seed.",
            plots.in_vain(outcome, shown),
        )
    if any(run.service for r in shown for rs in r.runs.values() for run in rs):
        yield (
            "The service before, during and after the migration, all seeds",
            "Requests that wait against time from the request of the migration, a line a seed.",
            plots.service(outcome, shown),
        )
    if any(run.blocked is not None for r in shown for rs in r.runs.values() for run in rs):
        yield (
            "Waits for pages of the source in post-copy, all seeds",
            "Share of the faults that wait longer than a time, both axes logarithmic.",
            plots.postcopy_waits(outcome, shown),
        )
    if all(metric in run.values for run in runs) and len(outcome.settings) > 1:
        yield (
            f"{metric} in every setting",
            f"Means of {metric} in {METRICS[metric].unit or 'absolute terms'} with 95 % intervals.",
            plots.across(outcome, metric),
        )
    yield (
        "Where the time went",
        "Stacked bars of the vCPUs’ time by cause, mean over seeds; the ledger has the numbers.",
        plots.decomposition(outcome, shown),
    )
    yield from _latencies(outcome, of)


def _latencies(outcome: Outcome, of: str) -> Iterator[tuple[str, str, Figure]]:
    shown, runs = outcome.settings[:MOST_PANELS], list(every_run(outcome))
    there = all(run.latency.count for run in runs)
    requests = all(run.requests is not None and run.requests.count for run in runs)
    if of == "request" and not requests:
        of = "latency"
    what = "requests" if of == "request" else "single accesses"
    if not (there if of == "latency" else requests):
        return
    yield (
        f"Latency of {what}, all seeds",
        "Share that takes longer than a time, both axes logarithmic, with a band over the seeds.",
        plots.latencies(outcome, shown, of),
    )
    seeds = min(len(rows) for r in shown for rows in r.runs.values())
    if seeds >= LEAST_SEEDS and outcome.experiment.policies.compare:
        yield (
            f"Shift function: quantiles of the latency of {what}",
            "Difference to the baseline quantile by quantile, with a simultaneous 95 % band.",
            plots.shift(outcome, shown, of),
        )


def inlined(caption: str, describes: str, figure: Figure) -> Markup:
    """Return a figure as an SVG element for a page: accessible, and in the page's colours."""
    buffer = io.StringIO()
    layout = figure.get_layout_engine()
    if layout is not None:  # once; saving would do it once more
        layout.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(
        buffer, format="svg", transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )  # fmt: skip
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    head, rest = text[: text.index(">") + 1], text[text.index(">") + 1 :]
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    for colour, variable in VARIABLES.items():
        rest = rest.replace(colour, variable)
    # Ids are per document, and several figures share this one.
    unique = re.sub(r"\W+", "-", caption)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{unique}-\1"', rest)
    rest = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{unique}-", rest)
    label = Markup('<svg role="img" aria-label="{}"').format(f"{caption}. {describes}")
    return Markup(head.replace("<svg", str(label), 1) + rest)
