"""The settings in which simulated and measured latencies are compared.

Nothing is fitted to them: `mmusim probe` measures other sequences on other sizes. A setting is one
guest. It populates its memory, and logging is enabled. A *first* pass runs, and the host reads the
log. A *steady* pass follows, with reads of the log at intervals if the setting says so.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.quantities import Share, Size, Strict, Time, exact_ns
from mmusim.base.units import BYTES, PAGE, show_bytes
from mmusim.calibration.tables import as_cost
from mmusim.config.host import HostProfile
from mmusim.config.load import load
from mmusim.config.settings import Setting, settings_of
from mmusim.costs.distributions import Empirical, Shifted
from mmusim.plan.make import Plan, make_plan

FIRST: Final = "first"
STEADY: Final = "steady"
PASSES: Final = (FIRST, STEADY)
ACCESSES: Final = 6144
"""In a pass of all vCPUs together, or as many as there are pages."""
FAULT_NS: Final = 30_000.0
"""Only decides how many gets a pass is given."""


class GridSetting(Strict):
    """One setting of the grid."""

    memory: Size
    writes: Share
    order: Literal["sequential", "random"]
    vcpus: Annotated[int, Field(ge=1, le=8)] = 1
    reporting: Literal["get-clears", "manual-clear", "initially-all-set", "dirty-ring"] = (
        "get-clears"
    )
    every: Time | None = None
    """The log is read at this interval during the steady pass."""
    chunk: Size | None = None
    """Of clears, where there are any."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.memory % (self.vcpus * 2 * BYTES["MiB"]):
            raise ValueError("memory must be whole 2 MiB regions for each vCPU; round it")
        return self

    @property
    def name(self) -> str:
        """The setting in a few words."""
        parts = [f"{show_bytes(self.memory)}", f"{self.writes:.0%} writes", self.order]
        if self.vcpus > 1:
            parts.append(f"{self.vcpus} vCPUs")
        if self.every:
            parts.append(f"log read every {self.every / 1e6:g} ms")
        if self.reporting != "get-clears":
            parts.append(self.reporting)
        if self.chunk:
            parts.append(f"chunks of {show_bytes(self.chunk)}")
        return ", ".join(parts)

    @property
    def syncs(self) -> int:
        """How often the log is read during the steady pass."""
        if self.every is None:
            return 0
        busy = ACCESSES / self.vcpus * max(self.writes, 0.02) * FAULT_NS
        return max(3, math.ceil(busy / (self.every + 100_000)))

    def phases(self, *, loop_ns: float, late_ns: float) -> list[dict[str, Any]]:
        """Return the driver's phases, without what a real guest and host do by themselves."""
        pages = self.memory // PAGE
        touch = {
            "do": "touch", "writes": f"{self.writes * 100:.15g}%", "order": self.order,
            "pages": f"{100 * min(1.0, ACCESSES / pages):.15g}%", "think": exact_ns(loop_ns),
        }  # fmt: skip
        sync: dict[str, Any] = {"do": "sync-dirty-log"}
        if self.chunk:
            sync["chunk"] = show_bytes(self.chunk)
        steady = touch | {"name": STEADY}
        phases: list[dict[str, Any]] = [
            {"do": "write", "name": "populate"}, {"do": "enable-logging"},
            touch | {"name": FIRST}, sync,
        ]  # fmt: skip
        if not self.syncs:
            return [*phases, steady, sync]
        assert self.every is not None
        wait = {"do": "sleep", "time": exact_ns(self.every + late_ns)}
        return [*phases, steady | {"background": True}, *[wait, sync] * self.syncs,
                {"do": "wait"}, sync]  # fmt: skip

    def setting(self, policy: str, mmu: str) -> Setting:
        """Return the setting of an experiment that is this setting, for a run on the machine."""
        data = self._data(policy, mmu, self.phases(loop_ns=0, late_ns=0))
        (setting,) = settings_of(data, "live validation", Path())
        return setting

    def simulated(self, policy: str, mmu: str, profile: HostProfile, path: str) -> Setting:
        """Return the setting as the measuring guest has it, for a run of the simulator."""
        measurement = profile.measurement
        assert measurement is not None
        phases = self.phases(loop_ns=measurement.loop, late_ns=measurement.late)
        data = self._data(policy, mmu, phases)
        return as_measured(data, profile, path, Path())

    def _data(self, policy: str, mmu: str, phases: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "schema": 1,
            "id": "live-validation",
            "question": "Is the simulated guest like the measured one?",
            "vm": {"vcpus": self.vcpus, "memory": show_bytes(self.memory), "mmu": mmu,
                   "kernel": policy.partition("+")[0]},
            "host": {"profile": "skylake-2021"},
            "policies": {"baseline": policy, "compare": ["none"]},
            "driver": {"phases": phases, "measure": STEADY},
        }  # fmt: skip


def as_measured(data: dict[str, Any], profile: HostProfile, path: str, folder: Path) -> Setting:
    """Return the only setting of an experiment on a measured host, its guest being the measuring
    one.

    Reading the clock is then part of every access, and a phase begins with its first access.
    """
    assert profile.measurement is not None
    data = data | {"host": {"profile": path}}
    (plain,) = settings_of(data, "live validation", folder)
    hit = plain.costs["t_hit_2M"]
    base: Any = as_cost(hit) if isinstance(hit, Empirical) else exact_ns(hit.mean())
    clock = exact_ns(profile.measurement.clock)
    costs = {"t_pass": "0ns", "t_hit_2M": {"shifted": {"by": clock, "base": base}}}
    (setting,) = settings_of(
        data | {"host": {"profile": path, "costs": costs}}, "live validation", folder
    )
    return setting


def plan_as_measured(setting: Setting, policy: str, seed: int) -> Plan:
    """Return the plan of a run in which reading the clock is part of every access.

    :func:`as_measured` shifts the plain cost of hits; if the host has a curve, this shifts that.
    """
    plan = make_plan(setting, policy, seed)
    measurement = setting.profile.measurement
    assert measurement is not None
    curve = measurement.curve and measurement.curve.of(setting.experiment.order)
    if not curve:
        return plan
    clock = float(measurement.clock)
    return dataclasses.replace(plan, curve=curve.each(lambda d: Shifted(clock, d), walks=False))


class Grid(Strict):
    """A file of settings."""

    settings: Annotated[list[GridSetting], Field(min_length=1)]


def shipped_grid() -> Path:
    """Return the grid that comes with mmusim."""
    from importlib.resources import files

    return Path(str(files("mmusim.validation") / "live_grid.toml"))


def held_out_grid() -> Path:
    """Return the grid that was compared once, when the model was finished."""
    return shipped_grid().with_name("live_held_out.toml")


def read_grid(path: Path | None = None) -> list[GridSetting]:
    """Read a grid, the shipped one by default.

    Raises
    ------
    ConfigError
        With all that is wrong in the file.
    """
    return load(path or shipped_grid(), Grid).settings
