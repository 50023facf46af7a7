"""Quantiles that rest on too few times, and the mark that tables and figures give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mmusim.metrics.measure import Metrics
from mmusim.vocabulary.metrics import MIN_BEYOND, QUANTILES


def few_beyond(values: Mapping[str, float], metric: str) -> str:
    """Return how many times lie beyond a quantile, as text, if they are fewer than ten; else "".

    Among n times, n (1 - q) lie beyond quantile q. With fewer than ten the value is one of the
    few largest times of the run, and other seeds may differ.

    Parameters
    ----------
    values : mapping
        The values of a run that has the metric, by name.
    metric : str
        Any metric; what is no quantile above the median is never marked.
    """
    part, _, of = metric.partition("_")
    q = QUANTILES.get(part, 0.0)
    times = _counts(values).get(of)
    if times is None:
        return ""
    if not too_few_beyond(times, q):
        return ""
    beyond = times * (1 - q)
    return (
        f"{metric} is a quantile of {times:,} times, beyond which {beyond:.2g} lie; "
        f"{MIN_BEYOND} are needed"
    )


FEW: Final = "†"
"""Marks a quantile beyond which fewer than ten times lie, in some run."""
FEW_SAID: Final = f"{FEW}: fewer than {MIN_BEYOND} times of some run lie beyond this quantile."


def too_few_beyond(times: int, q: float) -> bool:
    """Tell whether fewer than ten of `times` times lie beyond quantile `q` in (0, 1).

    A quantile of the lower half is never marked.
    """
    return q > 0.5 and times * (1 - q) < MIN_BEYOND - 1e-9


def all_few_beyond(values: Mapping[str, float]) -> list[str]:
    """Return the metrics of a run that are quantiles with fewer than ten times beyond, in its
    order.

    `values` has the values of the run by name.
    """
    return [metric for metric in values if few_beyond(values, metric)]


COUNT_OF: Final = {
    "read": "read_count", "write": "write_count", "stall": "stalls", "request": "request_count",
    "postcopy_fault": "postcopy_faults", "snapshot_wait": "snapshot_waits",
}  # fmt: skip
"""What a quantile is of -> the metric that counts it. Latencies are reads and writes."""


def _counts(values: Mapping[str, float]) -> dict[str, int]:
    counts = {of: int(values[name]) for of, name in COUNT_OF.items() if name in values}
    if "read" in counts and "write" in counts:
        counts["latency"] = counts["read"] + counts["write"]
    return counts


def least_known(runs: list[Metrics] | tuple[Metrics, ...], metric: str) -> str:
    """Return :func:`few_beyond` of the run that has fewest times; "" if no run is marked."""
    said = [(text, run.values) for run in runs if (text := few_beyond(run.values, metric))]
    if not said:
        return ""
    of = metric.partition("_")[2]
    return min(said, key=lambda one: _counts(one[1])[of])[0]
