"""Verdicts over hosts: the same comparisons with costs drawn from their uncertainty."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from mmusim.comparison.compare import Comparison
from mmusim.comparison.controls import controlled
from mmusim.comparison.verdicts import Verdict, point_of
from mmusim.config.claims import Claim
from mmusim.config.cost_ranges import with_factors
from mmusim.config.cost_vectors import cost_vectors
from mmusim.config.settings import Setting
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import RunDirectory
from mmusim.metrics.measure import Metrics
from mmusim.stats.hosts import LEAST_HOSTS, OverHosts, share_that_holds, spread_of, strongest
from mmusim.stats.studentized import Floats

FOLDER: Final = "hosts"
"""Folder, inside a run directory, for the run directory of runs with other costs."""
NAMING: Final = 16
"""Least number of hosts from which the important costs are named; fewer cannot tell fifty costs
apart."""
NOT_MADE: Final = "a run is still to be made"
NO_VALUE: Final = "a value is 0 or missing there"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRuns:
    """The runs of one setting on several hosts, each with one seed."""

    factors: tuple[Mapping[str, float], ...]  # of the costs of each host
    there: Mapping[str, Sequence[Metrics]]  # by policy: a run of each host
    here: Mapping[str, Sequence[Metrics]]  # the runs of the same seeds with the profile's costs
    lost: Mapping[str, int] = field(default_factory=dict)  # further hosts, by why a run is missing

    def within(self, window: str) -> HostRuns:
        """Return the runs with their metrics in a window."""
        return replace(self, there=_within(self.there, window), here=_within(self.here, window))


class _Quantity(NamedTuple):
    """What is evaluated on a host."""

    metric: str
    sides: Sequence[str]  # policies
    point: Callable[[Mapping[str, Metrics]], float | None]  # from a run of each policy
    estimate: float  # over the seeds, with the profile's costs
    is_ratio: bool


def _within(runs: Mapping[str, Sequence[Metrics]], window: str) -> dict[str, Sequence[Metrics]]:
    return {policy: [run.within(window) for run in rows] for policy, rows in runs.items()}


def settings_of_hosts(settings: Sequence[Setting], hosts: int) -> list[Setting]:
    """Return every setting on each host: setting n on host k is element n x `hosts` + k."""
    return [
        with_factors(setting, vector)
        for setting in settings
        for vector in cost_vectors(setting, hosts)
    ]


def jobs_of_hosts(
    directory: RunDirectory, hosts: int, seeds: Mapping[int, Sequence[int]]
) -> list[Job]:
    """Return the jobs that run every policy on each host, host k with the k-th seed of its setting.

    Parameters
    ----------
    directory, hosts
        Run directory of the settings of all hosts (:func:`settings_of_hosts`), and their number.
    seeds : mapping
        Number of a setting -> the seeds of its runs. Other settings get no jobs.
    """
    return [
        Job(number * hosts + k, policy, there[k % len(there)])
        for number, there in seeds.items()
        for k in range(hosts)
        for policy in directory.experiment.policies.all
    ]


def host_runs(
    directory: RunDirectory,
    settings: Sequence[Setting],
    hosts: int,
    runs: Mapping[int, Mapping[str, Sequence[Metrics]]],
) -> dict[int, HostRuns]:
    """Return the stored runs of each setting on all hosts, by the setting's number.

    If the run of a policy failed on a host, the host is left out and counted by the error.

    Parameters
    ----------
    directory : RunDirectory
        Run directory of the settings of all hosts (:func:`settings_of_hosts`).
    settings, hosts
        The settings of the experiment, and the number of hosts of each.
    runs : mapping
        The runs with the profile's costs: number of the setting -> policy -> runs.
    """
    stored = directory.runs()
    seeds_of = {n: [run.seed for run in next(iter(made.values()))] for n, made in runs.items()}
    errors = directory.failed(jobs_of_hosts(directory, hosts, seeds_of))
    found: dict[int, HostRuns] = {}
    for number, by_policy in runs.items():
        seeds, lost = seeds_of[number], Counter[str]()
        here = {policy: {run.seed: run for run in made} for policy, made in by_policy.items()}
        vectors, kept = cost_vectors(settings[number], hosts), []
        for k, vector in enumerate(vectors):
            seed = seeds[k % len(seeds)]
            host = directory.settings[number * hosts + k]
            there = {
                policy: controlled(host, [run])[0]
                for policy in by_policy
                for run in stored.get((number * hosts + k, policy), ())
                if run.seed == seed
            }
            if len(there) == len(by_policy):
                kept.append((vector, there, {p: known[seed] for p, known in here.items()}))
            else:
                missing = (Job(number * hosts + k, p, seed) for p in by_policy if p not in there)
                lost[next((errors[job] for job in missing if job in errors), NOT_MADE)] += 1
        found[number] = HostRuns(
            factors=tuple(vector for vector, _, _ in kept),
            there={p: [one[p] for _, one, _ in kept] for p in by_policy},
            here={p: [one[p] for _, _, one in kept] for p in by_policy},
            lost=dict(lost),
        )
    return found


def compared_over_hosts(made: Comparison, hosts: HostRuns) -> Comparison:
    """Return a comparison with the share of hosts on which it holds.

    A comparison holds on a host if the policy differs there in the same direction. Equivalence
    holds if the value lies within the margin. The share is not known if too few hosts have a value.

    Parameters
    ----------
    made : Comparison
        The comparison on the profile's host.
    hosts : HostRuns
        Runs of its setting on several hosts.
    """
    equal, margin = (1.0 if made.ratio else 0.0), made.answer.matters
    shown = made.ratio or made.difference
    margin *= 1.0 if made.ratio else abs(made.baseline_mean.estimate)
    up = shown.estimate > equal

    def holds(value: float) -> bool:
        if made.answer.outcome == "equivalent":
            return abs(value - equal) <= margin
        return value > equal if up else value < equal

    def point(runs: Mapping[str, Metrics]) -> float | None:
        a, b = (runs[side].values.get(made.metric) for side in (made.baseline, made.candidate))
        if a is None or b is None:
            return None
        if made.ratio is None:
            return b - a
        return b / a if a > 0 and b > 0 else None

    return replace(
        made,
        over_hosts=_over(
            _Quantity(
                made.metric, (made.baseline, made.candidate), point, shown.estimate,
                made.ratio is not None,
            ),
            hosts, holds,
        ),
    )  # fmt: skip


def judged_over_hosts(verdict: Verdict, claim: Claim, hosts: HostRuns) -> Verdict:
    """Return a verdict with the share of hosts whose value lies in the expected range.

    For an order the ends do not belong to the range, so a tie does not count. The best of several
    must be better than every rival on the host, and not only than the rival of the verdict.

    Parameters
    ----------
    verdict : Verdict
        The verdict on the profile's host.
    claim : Claim
        Its claim.
    hosts : HostRuns
        Runs of its setting on several hosts.
    """
    if claim.theory or verdict.reason:
        return verdict
    hosts = hosts.within(claim.window) if claim.window else hosts
    low, high = verdict.expected
    is_open, what, sides = claim.order is not None, [verdict.what], claim.sides
    if claim.best is not None:
        is_open, sides = True, list(hosts.there)
        apart = " / " if verdict.is_ratio else " - "
        what = [f"{claim.best}{apart}{name}" for name in sides if name != claim.best]
    worst = max if math.isinf(low) else min

    def point(runs: Mapping[str, Metrics]) -> float | None:
        values = [point_of(claim, one, runs) for one in what]
        return None if None in values else worst(value for value in values if value is not None)

    def lies_within(value: float) -> bool:
        return low < value < high if is_open else low <= value <= high

    found = _over(
        _Quantity(claim.metric, sides, point, verdict.measured.estimate, verdict.is_ratio),
        hosts, lies_within,
    )  # fmt: skip
    return replace(verdict, over_hosts=found)


def _over(of: _Quantity, hosts: HostRuns, holds: Callable[[float], bool]) -> OverHosts | None:
    """Evaluate a value on every host, less the effect of the seed on the profile's host.

    The function evaluates the logarithm of ratios, and of positive values of one policy, because a
    host scales them.

    A statement does not hold on a host where a policy lacks the metric although it has it on the
    profile's host: a migration that does not converge has no short downtime. A host without a value
    for another reason is left out and counted: a run failed, or a ratio does not exist.
    """
    there = [of.point({p: runs[k] for p, runs in hosts.there.items()}) for k in _numbers(hosts)]
    here = [of.point({p: runs[k] for p, runs in hosts.here.items()}) for k in _numbers(hosts)]
    pairs = [
        (k, a, b)
        for k, a, b in zip(_numbers(hosts), there, here, strict=True)
        if a is not None and b is not None
    ]
    lost = sum(
        b is not None and any(of.metric not in hosts.there[p][k].values for p in of.sides)
        for k, b in zip(_numbers(hosts), here, strict=True)
    )
    if of.is_ratio and of.estimate <= 0:
        return None
    left_out = dict(hosts.lost)
    if len(pairs) + lost < len(there):
        left_out[NO_VALUE] = len(there) - len(pairs) - lost
    if not left_out and not there:
        return None
    if len(pairs) + lost < LEAST_HOSTS or len(pairs) < 2:
        return OverHosts(
            holds=share_that_holds(
                np.array([holds(a) for _, a, _ in pairs] + [False] * lost, bool),
                left_out=sum(left_out.values()),
            ),
            low=-math.inf, high=math.inf, input_share=math.nan, costs=(), left_out=left_out,
        )  # fmt: skip
    positive = of.estimate > 0 and all(min(a, b) > 0 for _, a, b in pairs)
    is_scaled = of.is_ratio or (positive and len(of.sides) == 1)  # of a time, too
    to, back = (math.log, math.exp) if is_scaled else (float, float)
    estimate = of.estimate
    seeds = np.array([to(b) - to(estimate) for _, _, b in pairs])
    values = np.array([to(a) for _, a, _ in pairs])
    with_seed, values = values, _without_seed(values, seeds)
    same = values is with_seed  # then the logarithm is not taken back: exp(log(16)) is below 16
    tried = [holds(a if same else back(x)) for (_, a, _), x in zip(pairs, values, strict=True)]
    low, high = spread_of(values)
    names = sorted(set().union(*(hosts.factors[k] for k, _, _ in pairs)))
    inputs = np.log([[hosts.factors[k][name] for name in names] for k, _, _ in pairs])
    whole = float(with_seed.var(ddof=1))
    noise = min(float(seeds.var(ddof=1)), whole)
    return OverHosts(
        holds=share_that_holds(np.array(tried + [False] * lost), left_out=sum(left_out.values())),
        low=back(low),
        high=back(high),
        input_share=1 - noise / whole if whole > 0 else math.nan,
        costs=tuple(strongest(inputs, values, names)[:2]) if len(pairs) >= NAMING else (),
        left_out=left_out,
    )


def _without_seed(values: Floats, seeds: Floats) -> Floats:
    """Subtract the effect of the seed from each value, as a control variate, if that reduces
    variance.
    """
    controlled = values - seeds
    return controlled if controlled.var() < values.var() else values


def _numbers(hosts: HostRuns) -> range:
    return range(len(hosts.factors))


def folder_of(out: str | Path) -> Path:
    """Return where a run directory keeps the runs with other costs."""
    return Path(out) / FOLDER
