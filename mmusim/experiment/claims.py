"""Judge the claims of many experiments by their runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmusim.base.errors import Complaint, ConfigError, MmusimError
from mmusim.comparison.verdicts import Verdict
from mmusim.config.claims import Claim
from mmusim.config.experiment import Experiment
from mmusim.config.settings import load_settings
from mmusim.engine.choice import AUTO
from mmusim.execution.progress import Progress
from mmusim.execution.workers import Job
from mmusim.experiment.run import Lacking, Outcome, SettingResult, run_experiment
from mmusim.experiment.scheduler import RunDirectory, seeds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A claim with its verdict in every setting that it is about."""

    claim: Claim
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> str:
        """Refuted if one setting refutes it, supported if all support it, else inconclusive.

        A claim whose settings have no runs is `not judged`.
        """
        outcomes = {verdict.outcome for verdict in self.verdicts}
        if not outcomes:
            return "not judged"
        if "refuted" in outcomes:
            return "refuted"
        return "supported" if outcomes == {"supported"} else "inconclusive"

    @property
    def decisive(self) -> Verdict | None:
        """The first of the verdicts that equal the outcome."""
        return next((v for v in self.verdicts if v.outcome == self.outcome), None)

    @property
    def surprises(self) -> bool:
        """Whether the claim is refuted although the file does not say so, or supported although the
        file says that it is refuted.
        """
        return self.outcome == ("supported" if self.claim.refuted else "refuted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result of checking one experiment file."""

    path: Path
    outcome: Outcome | None  # None: it could not be run or judged
    judged: tuple[Judged, ...]
    problem: str = ""  # why not

    @property
    def name(self) -> str:
        """The name of the experiment: of the folder of an `experiment.toml`, else of the file."""
        if self.path.name == "experiment.toml":
            return self.path.resolve().parent.name
        return self.path.stem


def experiment_files(places: Sequence[Path]) -> list[Path]:
    """Return the experiment files in folders, and files as they are, each once.

    A folder gives the `experiment.toml` in it and in its folders.

    Raises
    ------
    ConfigError
        If a place does not exist or a folder has no such file.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            there = sorted([*place.glob("experiment.toml"), *place.glob("*/experiment.toml")])
            if not there:
                raise ConfigError.of(
                    "check", "PLACE", str(place), "has no experiment.toml in it or in its folders",
                    "name a folder of experiments, or files",
                )  # fmt: skip
            found += there
        elif os.path.lexists(place):  # whoever reads it says what is wrong with it
            found.append(place)
        else:
            raise ConfigError.of(
                "check", "PLACE", str(place), "does not exist", "name a folder or a file"
            )
    return list(dict.fromkeys(found))


def check(
    files: Sequence[Path],
    out: Path,
    *,
    seeds: int | None = None,
    reduced: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    engine: str = AUTO,
    progress: Progress | None = None,
    costs: int | None = None,
) -> Iterator[Checked]:
    """Make the missing runs of experiments and judge all their claims, file by file.

    The function reads all files before the first run. An experiment that cannot be judged, because
    a run lacks the metric or the run directory is damaged, stops no other; the result names its
    problem.

    Parameters
    ----------
    files : sequence of Path
        Experiment files.
    out : Path
        Folder of the run directories; each has the id of its experiment.
    seeds : int, optional
        Number of seeds that replaces those of the files.
    reduced : bool
        Make the runs that `[reduced]` keeps, with its number of seeds.
    workers, scheduler, engine, progress, costs
        As for :func:`mmusim.experiment.run.run_experiment`; at reduced size `costs` are none unless
        they are asked for.

    Raises
    ------
    ConfigError
        With every complaint about any file, or if two experiments have one id.
    """
    experiments = _read(files)
    for path, experiment in experiments.items():
        number = seeds or (experiment.reduced.seeds if reduced else None)
        try:
            outcome = run_experiment(
                path, out / experiment.id, seeds=number, workers=workers, scheduler=scheduler,
                engine=engine, progress=progress,
                costs=0 if reduced and costs is None else costs,
                rounds=_reduced(number) if reduced and number is not None else None,
            )  # fmt: skip
        except MmusimError as error:
            yield Checked(path=path, outcome=None, judged=(), problem=str(error))
        else:
            yield Checked(path=path, outcome=outcome, judged=judged(outcome))


def _read(files: Sequence[Path]) -> dict[Path, Experiment]:
    experiments: dict[Path, Experiment] = {}
    complaints: list[Complaint] = []
    for path in files:
        try:
            experiments[path] = load_settings(path)[0]
        except ConfigError as error:
            complaints += error.complaints
    if complaints:
        raise ConfigError(complaints)
    by_id: dict[str, Path] = {}
    for path, experiment in experiments.items():
        other = by_id.setdefault(experiment.id, path)
        if other != path:
            raise ConfigError.of(
                str(path), "id", experiment.id, f"is that of {other} too", "choose another id"
            )
    return experiments


def _reduced(seeds: int) -> Callable[[RunDirectory], list[Job]]:
    """Ask for the settings that `[reduced]` keeps, with at most this many seeds."""

    def wanted(directory: RunDirectory) -> list[Job]:
        keeps = directory.experiment.reduced.keeps
        return [
            Job(number, policy, seed)
            for number, setting in enumerate(directory.settings)
            if keeps(setting.labels)
            for seed in seeds_of(setting, min(seeds, setting.experiment.replications.seeds))
            for policy in setting.experiment.policies.all
        ]

    return wanted


def judged(outcome: Outcome) -> tuple[Judged, ...]:
    """Return the claims of an outcome with their verdicts."""
    left = iter(outcome.verdicts)
    made = []
    for claim in outcome.experiment.claims:
        there: list[SettingResult | Lacking] = [*outcome.settings, *outcome.lacking]
        about = sum(claim.concerns(result.setting.labels) for result in there)
        made.append(Judged(claim=claim, verdicts=tuple(next(left) for _ in range(about))))
    return tuple(made)
