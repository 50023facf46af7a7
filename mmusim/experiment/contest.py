"""Competitors, the rules of their contest, and its result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmusim.execution.workers import Job
from mmusim.experiment.across_settings import values as censored
from mmusim.experiment.over_hosts import NO_VALUE
from mmusim.experiment.scheduler import RunDirectory
from mmusim.metrics.measure import Metrics
from mmusim.stats.hosts import OverHosts, share_that_holds, why_left_out
from mmusim.stats.selection import FIRST, Selection
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.amount import amount


class Competitor(NamedTuple):
    """A policy in a setting."""

    setting: int
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A contest: its competitors, and the state of the selection of the best."""

    title: str  # the setting in which policies compete, or the policy whose settings do
    names: tuple[str, ...]
    metric: str
    selection: Selection | None  # None: there are too few runs, because some failed
    limit: int  # seeds
    holds: OverHosts | None = None  # on how many hosts, with drawn costs, it is the best too
    caveat: str = ""  # why the metric says little: a quantile with few times beyond it
    runs: tuple[Sequence[Metrics], ...] = ()  # of each competitor

    def __str__(self) -> str:
        """Return the result and its certainty as a sentence."""
        if self.holds is None:
            return self._of_seeds()
        h, left_out = self.holds.holds, self.holds.left_out
        why = f"; {sum(left_out.values())} of {self.holds.tried} hosts are left out: "
        why = f"{why}{why_left_out(left_out)}" if left_out else ""
        if not self.holds.is_known:
            return (
                f"{self._of_seeds()}; on how many hosts it is the best is not known, because only "
                f"{h.seeds} of {self.holds.tried} have a value{why}"
            )
        return (
            f"{self._of_seeds()}; it has the best value on {self.holds} of {h.seeds} "
            f"hosts with costs drawn from what is known ({100 * h.low:.0f} to {100 * h.high:.0f} %)"
            f"{why}"
        )

    def _of_seeds(self) -> str:
        found, where = self.selection, f"{self.title}: " if self.title else ""
        most = "highest" if METRICS[self.metric].higher_is_better else "lowest"
        if found is None:
            return f"{where}not selected, because runs failed"
        zone = amount(self.metric, found.delta)
        left = ", ".join(self.names[i] for i in found.alive)
        if not found.selected:
            return (
                f"{where}not selected within {found.seeds} seeds (at most {found.needed:,} are "
                f"needed); left: {left}; with probability {found.confidence:.4g} or more the one "
                f"with the {most} {self.metric} is among them, if it is better than every other "
                f"by {zone} or more"
            )
        if len(found.alive) > 1:
            return f"{where}equal in every seed: {left}"
        return (
            f"{where}{left} has the {most} {self.metric}, with probability {found.confidence:.4g} "
            f"or more if it is better than every other by {zone} or more ({found.seeds} seeds)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a selection."""

    metric: str = ""  # that decides; by default the file's `answer_by`
    delta: float  # smallest difference worth detecting, as a share of the best first mean
    confidence: float = 0.95
    first: int = FIRST
    limit: int = 200


Groups = Sequence[tuple[str, list[Competitor]]]


def jobs_on_hosts(directory: RunDirectory, groups: Groups, hosts: int, rules: Rules) -> list[Job]:
    """Return the jobs that run every competitor on each host; host k has one of the first seeds.

    Parameters
    ----------
    directory : RunDirectory
        Run directory of the settings of all hosts.
    groups : sequence of (str, list of Competitor)
        Titles and competitors of the contests.
    hosts : int
        Number of hosts.
    rules : Rules
        Rules of the selection; `first` is the number of different seeds.
    """
    first = directory.experiment.replications.first_seed
    return [
        Job(one.setting * hosts + k, one.policy, first + k % rules.first)
        for _, group in groups
        for one in group
        for k in range(hosts)
    ]


def best_over_hosts(
    directory: RunDirectory, contest: Contest, group: Sequence[Competitor], hosts: int, rules: Rules
) -> OverHosts | None:
    """Return on how many hosts the selected competitor is the best; None if none is selected.

    A run without the metric is worse than all that have it, as on the profile's host.

    Parameters
    ----------
    directory : RunDirectory
        Run directory of the settings of all hosts, with their runs.
    contest : Contest
        The contest on the profile's host.
    group : sequence of Competitor
        Its competitors.
    hosts : int
        Number of hosts.
    rules : Rules
        Rules of the selection.
    """
    found = contest.selection
    if found is None or not found.selected or len(found.alive) > 1:
        return None
    stored, better = directory.runs(), max if METRICS[rules.metric].higher_is_better else min
    errors = directory.failed(jobs_on_hosts(directory, [("", list(group))], hosts, rules))
    holds, lost = [], Counter[str]()
    for k in range(hosts):
        seed = directory.experiment.replications.first_seed + k % rules.first
        runs = [
            run
            for one in group
            for run in stored.get((one.setting * hosts + k, one.policy), ())
            if run.seed == seed
        ]
        values = censored(runs, rules.metric)
        if len(values) == len(group) and any(map(math.isfinite, values)):
            holds.append(values[found.best] == better(values))
            continue
        jobs = [Job(one.setting * hosts + k, one.policy, seed) for one in group]
        lost[next((errors[job] for job in jobs if job in errors), NO_VALUE)] += 1
    return OverHosts(
        holds=share_that_holds(np.array(holds, bool), left_out=sum(lost.values())),
        low=-math.inf, high=math.inf, input_share=math.nan, costs=(), left_out=dict(lost),
    )  # fmt: skip
