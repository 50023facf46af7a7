"""Statements over hosts: one value for each of several possible hosts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.stats.binomial import clopper_pearson
from mmusim.stats.intervals import Interval
from mmusim.stats.studentized import Floats

LEAST_HOSTS: Final = 8
"""Least number of hosts for a share."""
MOST_TERMS: Final = 4
"""Costs that a regression over few hosts may tell apart."""
MOST_REASONS: Final = 2
"""Reasons that a sentence about hosts names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverHosts:
    """How often a statement holds when the costs of the host are uncertain."""

    holds: Interval  # share of the hosts that are left on which it holds
    low: float  # 95 of 100 hosts lie between these, in the terms of the statement
    high: float
    input_share: float  # share of the variance of one host's value that the costs explain, or nan
    costs: tuple[str, ...]  # the two that matter most, in this order; fewer if fewer matter
    left_out: Mapping[str, int] = field(default_factory=dict)  # hosts without a value, by reason

    @property
    def is_known(self) -> bool:
        """Whether enough hosts are left for a share."""
        return self.holds.seeds >= LEAST_HOSTS

    @property
    def tried(self) -> int:
        """How many hosts there were."""
        return self.holds.seeds + sum(self.left_out.values())

    @property
    def bounds(self) -> str:
        """The interval of the share for people: ``63 .. 100 %``; empty if it is not known."""
        return self._bounds(" .. ") if self.is_known else ""

    @property
    def phrase(self) -> str:
        """The share with its interval within a sentence: ``on 88 % of 8 hosts, ...``."""
        if not self.is_known:
            return "not known on how many hosts"
        sure = f"{100 * self.holds.confidence:.4g} %"
        return f"on {self} of {self.holds.seeds} hosts, at {sure} on {self._bounds(' to ')}"

    def _bounds(self, apart: str) -> str:
        return f"{100 * self.holds.low:.0f}{apart}{100 * self.holds.high:.0f} %"

    def __str__(self) -> str:
        """Write the share for people."""
        return f"{100 * self.holds.estimate:.0f} %" if self.is_known else "not known"


def why_left_out(left_out: Mapping[str, int]) -> str:
    """Say why hosts have no value, the most frequent reasons first: ``why (3), other (1)``."""
    reasons = Counter(left_out).most_common()
    said = [f"{why} ({count})" for why, count in reasons[:MOST_REASONS]]
    more = sum(count for _, count in reasons[MOST_REASONS:])
    return ", ".join([*said, *([f"other reasons ({more})"] if more else [])])


def about_left_out(found: Iterable[OverHosts]) -> list[str]:
    """Return sentences on the hosts that statements leave out; none if every host has a value."""
    statements = list(found)
    worst = max(statements, key=lambda one: sum(one.left_out.values()), default=None)
    if worst is None or not worst.left_out:
        return []
    unknown = sum(not one.is_known for one in statements)
    lines = [
        f"{sum(worst.left_out.values())} of {worst.tried} hosts are left out where it is most: "
        f"{why_left_out(worst.left_out)}. Intervals of shares count them either way."
    ]
    if unknown:
        lines.append(
            f"Of {unknown} of {len(statements)} statements it is not known on how many hosts they "
            f"hold: fewer than {LEAST_HOSTS} hosts are left."
        )
    return lines


def share_that_holds(
    holds: NDArray[np.bool_], confidence: float = 0.95, *, left_out: int = 0
) -> Interval:
    """Return the share of hosts on which a statement holds (Clopper and Pearson's interval).

    Hosts are drawn independently, so the count is binomial. It is not smoothed, because a count
    assumes nothing about the response: a sparse regression over 32 hosts in place of the count had
    intervals that covered 10 times of 100. The noise of the seed behind each host's value moves the
    share towards one half, never away from it.

    Parameters
    ----------
    holds : array of bool, shape (hosts,)
        Whether it holds on each host that has a value.
    confidence : float in (0, 1)
        Coverage of the interval.
    left_out : int
        Number of further hosts without a value. The cause that keeps a run from ending may also
        decide the statement. So the lower bound assumes that it holds on none of these hosts, and
        the upper bound that it holds on all. The estimate is that of the other hosts; without any
        it is nan.

    Raises
    ------
    ValueError
        If there are no hosts.
    """
    n, k, whole = len(holds), int(np.count_nonzero(holds)), len(holds) + left_out
    if not whole:
        raise ValueError("no host was run; run some")
    low, _ = clopper_pearson(k, whole, confidence)
    _, high = clopper_pearson(k + left_out, whole, confidence)
    estimate = k / n if n else math.nan
    return Interval(estimate=estimate, low=low, high=high, confidence=confidence, seeds=n)


def spread_of(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Return where a further host's value lies with this confidence (a prediction interval).

    Raises
    ------
    ValueError
        If there are fewer than two hosts.
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        raise ValueError("one host has no spread; run more")
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * float(values.std(ddof=1))
    half *= (1 + 1 / n) ** 0.5
    return float(values.mean()) - half, float(values.mean()) + half


def strongest(inputs: Floats, values: Floats, names: Sequence[str]) -> list[str]:
    """Return the inputs that explain most of the values, the strongest first.

    Forward selection of linear terms, each as long as it lowers the error of leaving one out by
    more than a tenth. It names what to measure; it does not predict.

    Parameters
    ----------
    inputs : array, shape (hosts, inputs)
        Logarithms of factors.
    values : array, shape (hosts,)
        One of each host.
    names : sequence of str
        Of the inputs.
    """
    n = len(values)
    chosen: list[int] = []
    error = _left_out(np.ones((n, 1)), values)
    while error > 1e-24 * max(1.0, float((values**2).sum())) and len(chosen) < MOST_TERMS:
        tried = {
            j: _left_out(np.column_stack([np.ones(n), inputs[:, [*chosen, j]]]), values)
            for j in range(inputs.shape[1])
            if j not in chosen and np.ptp(inputs[:, j]) > 0
        }
        best = min(tried, key=lambda j: tried[j], default=None)
        if best is None or tried[best] > 0.9 * error:
            break
        chosen.append(best)
        error = tried[best]
    if not chosen:
        return []
    design = np.column_stack([np.ones(n), inputs[:, chosen]])
    weights = np.linalg.lstsq(design, values, rcond=None)[0][1:]
    effects = np.abs(weights) * inputs[:, chosen].std(axis=0)
    return [names[chosen[i]] for i in np.argsort(-effects)]


def _left_out(design: Floats, values: Floats) -> float:
    """Return the sum of squared errors of leaving each host out."""
    q, _ = np.linalg.qr(design)
    leverage = np.minimum((q**2).sum(axis=1), 1 - 1e-9)
    return float((((values - q @ (q.T @ values)) / (1 - leverage)) ** 2).sum())
