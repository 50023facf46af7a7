"""The machine: kernel, processor, module parameters, and its load."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmusim.base.units import NS
from mmusim.policies import Mmu

PARAMETERS: Final = Path("/sys/module/kvm/parameters")
VENDORS: Final = {"kvm_intel": "ept", "kvm_amd": "npt"}
"""Module of a vendor -> its parameter that switches two-dimensional paging."""
TICKS: Final = os.sysconf("SC_CLK_TCK")

QUIET_OTHERS: Final = 0.10
"""Share of a processor that other tasks may use on a quiet machine."""
QUIET_STEAL: Final = 0.01
"""Share of a processor that the hypervisor below may take."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts that decide the costs of KVM on this machine."""

    kernel: str
    processor: str
    processors: int
    modules: tuple[str, ...]
    tdp_mmu: bool
    eager_page_split: bool
    two_dimensional_paging: bool
    pml: bool  # the processor logs writes itself, where paging is two-dimensional
    parameters: dict[str, str]

    @property
    def mmu(self) -> Mmu:
        """The MMU code that runs guests."""
        if not self.two_dimensional_paging:
            return Mmu.SHADOW
        return Mmu.TDP if self.tdp_mmu else Mmu.LEGACY

    @property
    def release(self) -> str:
        """The kernel as policies name it: ``linux-6.18``."""
        version = re.match(r"(\d+)\.(\d+)", self.kernel)
        return f"linux-{version[1]}.{version[2]}" if version else "linux-6.18"

    def policy(self, reporting: str) -> str:
        """Name the policy of this kernel with these parameters, and a way of reporting."""
        name = f"{self.release}+{self.mmu.value}+{reporting}"
        if self.mmu is Mmu.TDP and not self.eager_page_split:
            name += "+split-on-fault"
        return name + "+pml" * self.pml


def this_machine(parameters: Path = PARAMETERS) -> Machine:
    """Read the facts of this machine."""
    values = {}
    for path in sorted(parameters.glob("*")):
        try:
            values[path.name] = path.read_text().strip()
        except OSError:
            continue
    modules = tuple(
        sorted(path.name for path in parameters.parent.parent.glob("kvm*") if path.is_dir())
    )
    root = parameters.parent.parent
    paging = any(_is_on(root / m / "parameters" / p) for m, p in VENDORS.items())
    return Machine(
        kernel=platform.release().partition("-")[0],  # without the builder's suffix
        processor=_processor(),
        processors=len(os.sched_getaffinity(0)),
        modules=modules,
        tdp_mmu=values.get("tdp_mmu") == "Y",
        eager_page_split=values.get("eager_page_split") == "Y",
        two_dimensional_paging=paging,
        pml=paging and _is_on(root / "kvm_intel" / "parameters" / "pml"),
        parameters=values,
    )


def _is_on(parameter: Path) -> bool:
    try:
        return parameter.read_text().strip() in ("Y", "1")
    except OSError:
        return False


def _processor() -> str:
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name", "unknown processor")
    family = [facts.get(key, "?") for key in ("cpu family", "model", "stepping")]
    return f"{name} (family {family[0]}, model {family[1]}, stepping {family[2]})"


class Times(NamedTuple):
    """A reading of the processors' clocks, in seconds since boot, summed over processors."""

    at: float
    busy: float  # everything but idle and waiting for disks, ours included
    steal: float
    own: float  # of this process and its threads


def read_times() -> Times:
    """Read the clocks now."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    own = os.times()
    # the time of a guest is in the user time of its process and of the machine
    return Times(
        time.monotonic(),
        (user + nice + system + irq + softirq + steal) / TICKS,
        steal / TICKS,
        own.user + own.system,
    )


@dataclass(frozen=True, slots=True)
class Load:
    """The load of other tasks during a measurement."""

    seconds: float
    others: float  # processors' worth of other tasks
    steal: float  # processors' worth that the hypervisor below took
    runnable: int  # runnable tasks at the end, without this one

    @property
    def quiet(self) -> bool:
        """Whether the measurements can be trusted to describe this machine."""
        return self.others <= QUIET_OTHERS and self.steal <= QUIET_STEAL

    def warning(self) -> str:
        """Name the load that was too high, with the number; empty if there was none."""
        parts = []
        if self.others > QUIET_OTHERS:
            parts.append(f"other tasks used {self.others:.2f} processors")
        if self.steal > QUIET_STEAL:
            parts.append(f"the hypervisor below took {self.steal:.2f} processors (steal time)")
        if not parts:
            return ""
        return f"the machine was not quiet: {' and '.join(parts)}; measure again when it is"

    def facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "seconds": round(self.seconds, 2), "other_processors": round(self.others, 3),
            "steal_processors": round(self.steal, 3), "runnable_tasks": self.runnable,
        }  # fmt: skip


def load_since(before: Times) -> Load:
    """Return the load of other tasks since a reading."""
    now = read_times()
    seconds = max(now.at - before.at, 1 / NS["ms"])
    steal = (now.steal - before.steal) / seconds
    others = (now.busy - before.busy - (now.own - before.own)) / seconds - steal
    runnable = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]) - 1
    return Load(seconds, max(0.0, others), max(0.0, steal), max(0, runnable))
