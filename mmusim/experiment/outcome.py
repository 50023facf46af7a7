"""The answer of an experiment, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmusim.comparison.compare import Comparison, Verdict
from mmusim.comparison.controls import controlled
from mmusim.comparison.pairing import MIN_SEEDS
from mmusim.config.experiment import Experiment
from mmusim.config.settings import Setting
from mmusim.experiment.over_hosts import HostRuns
from mmusim.experiment.stopping import InterimAnalysis
from mmusim.metrics.measure import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingResult:
    """The runs of one setting, and their comparisons."""

    setting: Setting
    runs: dict[str, list[Metrics]]  # by policy, baseline first, each sorted by seed
    comparisons: dict[str, list[Comparison]]  # by metric: baseline against each other policy
    look: InterimAnalysis  # which seeds these are, and the error that an interim analysis may make

    @property
    def compared(self) -> dict[str, list[Metrics]]:
        """The runs as they are compared (:mod:`mmusim.comparison.controls`)."""
        return {policy: controlled(self.setting, runs) for policy, runs in self.runs.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A setting that cannot be evaluated, because runs of it failed."""

    setting: Setting
    seeds: int  # that every policy has a run of
    failed: int  # runs

    @property
    def reason(self) -> str:
        """Return why the setting has no result."""
        return (
            f"{self.failed} runs failed, and of every policy there are runs on {self.seeds} seeds; "
            f"{MIN_SEEDS} are needed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of an experiment."""

    experiment: Experiment
    settings: list[SettingResult]
    lacking: list[Lacking]  # settings that failed runs leave without an answer
    verdicts: list[Verdict]
    about: dict[str, str]
    failures: list[str]
    notices: tuple[str, ...] = ()  # repairs of the run directory
    hosts: int = 0  # with other costs on which the verdicts were tried
    host_runs: Mapping[str, HostRuns] = field(default_factory=dict)  # by the name of the setting
