"""The figures of an outcome that have a name on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from matplotlib.figure import Figure

from mmusim import plots
from mmusim.experiment.run import Outcome
from mmusim.plots.style import in_style


class Named(NamedTuple):
    """A figure by name."""

    shows: str
    draw: Callable[[Outcome, str, str], Figure]  # of an outcome, a metric and a policy


def _of(metric: str) -> str:
    """Return whose latencies a metric describes: those of requests, or of accesses."""
    return "request" if metric.endswith("_request") else "latency"


def _swept(outcome: Outcome, metric: str, policy: str) -> Figure:
    axis = next((key for key, values in outcome.experiment.sweep.items() if len(values) > 1), None)
    if axis is None:
        raise ValueError("the experiment sweeps no key over several values; add a sweep")
    return plots.swept(outcome, axis, metric)


def _theory(outcome: Outcome, metric: str, policy: str) -> Figure:
    claim = next((claim for claim in outcome.experiment.claims if claim.theory), None)
    if claim is None:
        raise ValueError("no claim of the experiment has theory = true; add one")
    return in_style(plots.against_theory)(outcome, claim.metric, claim.sides[0])


FIGURES: Final = {
    "ratios": Named(
        "a metric relative to the baseline, with intervals: a forest plot",
        lambda outcome, metric, policy: plots.ratios(outcome, metric),
    ),
    "across": Named(
        "a metric in every setting, policy beside policy",
        lambda outcome, metric, policy: plots.across(outcome, metric),
    ),
    "swept": Named("the ratio of a metric along the first swept key", _swept),
    "phases": Named(
        "a phase diagram: the ratio of a metric over the swept settings",
        plots.phase_diagram,
    ),
    "horizons": Named(
        "a phase diagram by horizon: the ratio of a metric in each window of each setting",
        plots.horizons,
    ),
    "latencies": Named(
        "share of accesses that take longer than a time (CCDF)",
        lambda outcome, metric, policy: plots.latencies(outcome, of=_of(metric)),
    ),
    "ecdf": Named(
        "share of accesses that take at most a time",
        lambda outcome, metric, policy: plots.ecdf(outcome, of=_of(metric)),
    ),
    "shift": Named(
        "latencies against the baseline's, quantile by quantile, with a band",
        lambda outcome, metric, policy: plots.shift(outcome, of=_of(metric)),
    ),
    "decomposition": Named(
        "where the vCPUs' time went",
        lambda outcome, metric, policy: plots.decomposition(outcome),
    ),
    "rounds": Named(
        "how migrations converge",
        lambda outcome, metric, policy: plots.rounds(outcome),
    ),
    "in-vain": Named(
        "pages that migrations sent in vain, round by round",
        lambda outcome, metric, policy: plots.in_vain(outcome),
    ),
    "service": Named(
        "requests of an open-loop service that wait, before, during and after a migration",
        lambda outcome, metric, policy: plots.service(outcome),
    ),
    "postcopy-waits": Named(
        "share of the faults in post-copy that wait longer than a time (CCDF)",
        lambda outcome, metric, policy: plots.postcopy_waits(outcome),
    ),
    "theory": Named("measured means against their closed form", _theory),
}
