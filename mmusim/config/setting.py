"""One setting of an experiment: a variant at a point of the sweep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.packages import code_of
from mmusim.config.driver import Driver
from mmusim.config.experiment import Experiment
from mmusim.config.host import HostProfile
from mmusim.config.measured import LEVELLED, Measurement
from mmusim.config.topology import Machine
from mmusim.config.workloads import Workload
from mmusim.costs.distributions import Distribution
from mmusim.costs.hits import HitCurve
from mmusim.policies import policies
from mmusim.workload.replay import Replay
from mmusim.workload.trace_file import digest

OF_HITS: Final = frozenset({"t_hit_2M", "t_walk_4K"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an experiment, in which policies are compared."""

    labels: dict[str, Any]  # {"variant": ..., swept key: value}
    experiment: Experiment
    costs: dict[str, Distribution]
    profile: HostProfile

    @property
    def machine(self) -> Machine | None:
        """Processors and memory of the host, if they are described and follow a law."""
        machine = self.experiment.host.machine or self.profile.machine
        return machine if machine is not None and machine.laws else None

    @property
    def curve(self) -> HitCurve | None:
        """What hits take by pages in use and recent exits, if that was measured on the host.

        An experiment that says itself what hits or walks cost has its own costs.
        """
        host, measured = self.experiment.host, self.profile.measurement
        if measured is None or measured.curve is None or host.costs.keys() & OF_HITS:
            return None
        curve = measured.curve.of(self.experiment.order)
        return curve.without_variance() if curve and host.variance == "none" else curve

    @property
    def with_levels(self) -> Measurement | None:
        """The measurement whose levels a run has; None if its costs are the same in all runs.

        An experiment that says itself what one of these costs takes has its own costs.
        """
        host, measured = self.experiment.host, self.profile.measurement
        own = host.costs.keys() & LEVELLED
        if measured is None or host.variance == "none" or own:
            return None
        return measured if measured.levels or measured.together else None

    @property
    def name(self) -> str:
        """The labels as text: ``R1, memory=1GiB``; empty if there is only one setting."""
        last = [key.rpartition(".")[2] for key in self.labels]
        short = dict(zip(self.labels, last, strict=True))
        texts = (
            str(value)
            if key == "variant"
            else f"{short[key] if last.count(short[key]) == 1 else key}={value}"
            for key, value in self.labels.items()
        )
        return ", ".join(texts)

    def key(self) -> str:
        """Hash everything that decides a run's result, except policy, seed and version.

        The version is that of mmusim. The code of policies and rules of other packages counts here.
        """
        e = self.experiment
        facts: dict[str, Any] = {
            "vm": e.vm.model_dump(mode="json"),
            "driver": e.driver.model_dump(mode="json"),
            "workloads": {k: _facts(w) for k, w in e.workloads.items()},
            "pairing": e.replications.pairing,
            "interference": [rare.model_dump(mode="json") for rare in e.host.interference],
            "need_resched": e.host.need_resched,
            "costs": {name: repr(cost) for name, cost in sorted(self.costs.items())},
        }
        if e.host.emulatorpin is not None:
            facts["emulatorpin"] = e.host.emulatorpin
        if e.host.actors:
            facts["actors"] = [table.facts() for table in e.host.actors]
        if self.machine is not None:
            facts["machine"] = self.machine.facts()
        if self.curve is not None:
            facts["curve"] = self.curve.facts()
        if (measured := self.with_levels) is not None:
            facts["levels"] = measured.levels, measured.together
        if others := _of_other_packages(e):
            facts["code"] = others
        return hashlib.blake2b(
            json.dumps(facts, sort_keys=True).encode(), digest_size=10
        ).hexdigest()


def _of_other_packages(experiment: Experiment) -> dict[str, str]:
    """Return hashes of the code of the policies and rules that other packages bring, by name."""
    driver = experiment.driver
    found = {
        f"policy {part}": code_of(cls)
        for name in experiment.policies.all
        for part in name.split("+")
        if (cls := policies().get(part)) is not None
    }
    if isinstance(driver, Driver):
        its = driver.migration
        rules = [its.switch_over, its.postcopy_way, its.throttle_rule]
        found |= {f"{r.kind} {r.name}": code_of(type(r)) for r in rules if r is not None}
    return {name: code for name, code in found.items() if code}


def _facts(workload: Workload) -> dict[str, Any]:
    """Return the facts that decide a workload; of a recorded trace its contents, not its place."""
    facts: dict[str, Any] = workload.model_dump(mode="json")
    return facts | {"trace": digest(workload.trace)} if isinstance(workload, Replay) else facts


def setting_named(settings: Sequence[Setting], name: str, source: str) -> Setting:
    """Return the setting with a name; without a name the only one.

    Raises
    ------
    ConfigError
        If there is no such setting, or several and no name. `source` is named in the message.
    """
    names = [setting.name for setting in settings]
    if not name and len(settings) == 1:
        return settings[0]
    if name in names:
        return settings[names.index(name)]
    if not name:
        rule = f"is needed: the experiment has {len(settings)} settings"
        remedy = f"choose one of: {'; '.join(map(repr, names))}"
    else:
        rule = "is not a setting of the experiment"
        remedy = nearest(name, names) if any(names) else "leave it out: there is only one setting"
    raise ConfigError.of(source, "--setting", name or None, rule, remedy)
