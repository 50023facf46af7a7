"""From an experiment file to its settings: every variant at every point of the sweep."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from mmusim.base.errors import Complaint, ConfigError
from mmusim.base.inputs import read_text, unreadable
from mmusim.base.parsing import MOST_TOML, parse_toml
from mmusim.base.units import PAGE
from mmusim.config.answerable import unanswerable
from mmusim.config.cost import distribution
from mmusim.config.defaults import rests_on
from mmusim.config.experiment import Experiment
from mmusim.config.host import (
    HostProfile,
    check_machine,
    load_profile,
    without_machine,
    without_sharing,
)
from mmusim.config.load import check
from mmusim.config.measured import load_of
from mmusim.config.setting import Setting as Setting
from mmusim.config.sweep import Point, Sweep
from mmusim.config.vm_and_host import MOST_LOAD
from mmusim.config.workloads import inlined
from mmusim.costs.distributions import Constant
from mmusim.mmu.slot import MemSlot
from mmusim.workload.replay import Replay

_LOG = logging.getLogger("mmusim")
Made = TypeVar("Made")

CHANGEABLE: Final = ("vm", "vmm", "host", "driver", "workloads", "replications")
"""Tables of an experiment file that variants and sweeps may change."""
MOST_ACCESSES: Final = 1 << 31
"""Of a vCPU in a lap of a workload."""


class LoadedFile(NamedTuple):
    """An experiment file that has been read."""

    path: Path
    text: str
    experiment: Experiment
    settings: Sequence[Setting]


def load_file(file: str | Path | LoadedFile) -> LoadedFile:
    """Read an experiment file; one that has been read is returned as it is.

    Raises
    ------
    ConfigError
        With every complaint about the file, its variants, its sweep and its host profiles.
    """
    if isinstance(file, LoadedFile):
        return file
    path = Path(file)
    if path.is_dir():
        raise unreadable(
            path, "is a folder and no experiment file",
            "give the .toml file of the experiment; the folder of its runs goes with --out",
        )  # fmt: skip
    text = read_text(path, MOST_TOML)
    data = parse_toml(text, str(path))
    settings = settings_of(data, str(path), path.parent)
    for said in dict.fromkeys(text for s in settings for text in rests_on(s)):
        _note(str(path), said)
    return LoadedFile(path, text, check(data, Experiment, str(path)), settings)


def load_settings(path: str | Path) -> tuple[Experiment, list[Setting]]:
    """Read an experiment file and return it with its settings.

    Raises
    ------
    ConfigError
        As :func:`load_file`.
    """
    file = load_file(path)
    return file.experiment, list(file.settings)


@cache
def _note(path: str, said: str) -> None:
    """Say once what a result rests on. The command line prints it on stderr."""
    _LOG.warning("%s: %s", path, said)


def settings_of(data: dict[str, Any], source: str, folder: Path) -> list[Setting]:
    """Expand parsed experiment data; `folder` is where relative profile paths start.

    Raises
    ------
    ConfigError
        With every complaint about the experiment and any setting, each once.
    """
    found: dict[str, Complaint] = {}
    experiment = _collected(lambda: check(data, Experiment, source), found)
    wrong = found.copy()
    # A file with errors still has its variants checked, with the first value of each key.
    sweep = _alone(data.get("sweep", {})) if experiment is None else experiment.swept
    base = {k: v for k, v in data.items() if k not in ("variants", "sweep", "reduced")}
    base["claims"] = []  # they belong to the experiment and are judged there
    base.pop("reported", None)  # the report of a real migration does too
    variants = _tables(data.get("variants")) or {"": {}}
    if not wrong:
        found |= {str(one): one for one in sweep.contradictions(source, variants)}

    profiles: dict[str, HostProfile] = {}

    def setting(variant: str, point: Point) -> Setting:
        label = {"variant": variant} | point if variant else point
        origin = f"{source} [variants.{variant}]" if variant else source
        settings = _override(base, variants[variant] | point, origin)
        changed = _with_workload_files(settings, folder)
        return _setting(label, check(changed, Experiment, origin), folder, origin, profiles)

    # Ends of ranges first: an error there is an error of many points.
    ends: list[Point] = [{}] if wrong else list(sweep.sample.ends()) if sweep.sample else []
    ends = ends if wrong or not found else []
    first = {key: values[0] for key, values in sweep.axes.items()}
    _all(lambda variant, end: setting(variant, first | end), variants, ends, found)
    settings = [] if found else _all(setting, variants, sweep.points(), found)
    if found:
        said = {(one.key, one.rule) for one in wrong.values()}
        news = (
            one for text, one in found.items() if text in wrong or (one.key, one.rule) not in said
        )
        raise ConfigError(_one_a_range(news, sweep))
    if experiment is not None:
        each = [(setting.labels, setting.experiment) for setting in settings]
        asked = list(unanswerable(experiment, each, source))
        if asked:
            raise ConfigError(asked)
    return settings


def _collected(make: Callable[[], Made], found: dict[str, Complaint]) -> Made | None:
    """Return the result, or None with the complaints in `found`, each once."""
    try:
        return make()
    except ConfigError as error:
        found |= {str(complaint): complaint for complaint in error.complaints}
        return None


def _alone(table: object) -> Sweep:
    """Return the sweep of a file that has errors elsewhere; None if the sweep itself has errors."""
    try:
        return Sweep.model_validate(table)
    except ValueError:
        return Sweep()


def _tables(table: object) -> dict[str, dict[str, Any]]:
    """Return the tables in a table. The model complains about everything else in it."""
    if not isinstance(table, dict):
        return {}
    return {name: value for name, value in table.items() if isinstance(value, dict)}


def _one_a_range(found: Iterable[Complaint], sweep: Sweep) -> list[Complaint]:
    """Keep one complaint about points between the ends of a range; it stands for many."""
    ranges = sweep.sample.ranges if sweep.sample else {}
    kept: dict[object, Complaint] = {}
    for one in found:
        between = one.key in ranges and one.value not in (ranges[one.key].from_, ranges[one.key].to)
        if between:
            more = f"{one.remedy}; or give the range in sweep.sample a step that fits"
            one = replace(one, remedy=more)
        kept.setdefault((one.source, one.key) if between else str(one), one)
    return list(kept.values())


def _all(
    make: Callable[[str, Point], Setting],
    variants: Iterable[str],
    points: Sequence[Point],
    found: dict[str, Complaint],
) -> list[Setting]:
    """Make a setting of every variant at every point; put complaints into `found`, each once."""
    made = (
        _collected(partial(make, variant, point), found) for variant in variants for point in points
    )
    return [setting for setting in made if setting is not None]


def _override(base: dict[str, Any], settings: dict[str, Any], source: str) -> dict[str, Any]:
    data = copy.deepcopy(base)
    for dotted, value in settings.items():
        *path, last = dotted.split(".")
        if not path or path[0] not in CHANGEABLE:
            raise ConfigError.of(
                source, dotted, value, f"is not a key in one of {', '.join(CHANGEABLE)}",
                "write e.g. vm.memory",
            )  # fmt: skip
        table: Any = data
        for part in path:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise ConfigError.of(
                source, dotted, value, "does not lead to a key", "write e.g. vm.memory"
            )
        table[last] = copy.deepcopy(value)  # other settings change its contents
    return data


def _with_workload_files(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Replace references to workload files by their contents."""
    workloads = data.get("workloads", {})
    if isinstance(workloads, dict):  # else the model complains
        for name, table in workloads.items():
            workloads[name] = inlined(table, folder)
    return data


def _setting(
    labels: dict[str, Any],
    experiment: Experiment,
    folder: Path,
    source: str,
    profiles: dict[str, HostProfile],
) -> Setting:
    """Make a setting; `profiles` are the profiles read so far, by name."""
    host, vm = experiment.host, experiment.vm
    largest, least = (
        MemSlot(0, vm.memory // PAGE).part(cpu, vm.vcpus)[1] for cpu in (0, vm.vcpus - 1)
    )
    for name, workload in experiment.workloads.items():
        length = getattr(workload, "length", None)
        if length and not isinstance(workload, Replay) and length(largest) > MOST_ACCESSES:
            raise ConfigError.of(
                source, f"workloads.{name}", None,
                f"makes {length(largest):,} accesses; at most {MOST_ACCESSES:,} a vCPU are run",
                "shorten it, or lower vm.memory",
            )  # fmt: skip
        if isinstance(workload, Replay):
            workload.fit(source, f"workloads.{name}.trace", least)
    if host.profile not in profiles:
        profiles[host.profile] = load_profile(host.profile, folder, source)
    profile = profiles[host.profile]
    costs = profile.distributions(experiment.order, vm.memory // vm.vcpus)
    costs |= {name: distribution(spec) for name, spec in host.costs.items()}
    machine = host.machine or profile.machine
    check_machine(machine, vm.vcpus, source)
    costs = without_sharing(without_machine(costs, machine), host.emulatorpin, vm.vcpus, source)
    if host.variance == "none":
        costs = {name: Constant(cost.mean()) for name, cost in costs.items()}
    elif profile.interference:
        both = [*profile.interference, *host.interference]
        if load_of(both) > MOST_LOAD:
            raise ConfigError.of(
                source, "host.interference", None,
                f"leaves the vCPU no time, together with that of {host.profile}", "lower it",
            )  # fmt: skip
        changed = host.model_copy(update={"interference": both})
        experiment = experiment.model_copy(update={"host": changed})
    return Setting(labels, experiment, costs, profile)
