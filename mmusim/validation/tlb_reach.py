"""When a guest meets entries that lost W: measured on a machine, and simulated with each TLB.

One vCPU on 4 KiB mappings reads and writes a part of its memory at random, half and half. Meanwhile
the host enables logging: one walk over the slot, one flush at its end. Where a write that faults
waits for ``mmu_lock``, the longest access tells how early the walk was met: as a share of the
enabling, 1 is its beginning and 0 its end. Where faults do not wait, their number tells it. A TLB
that keeps everything until the flush predicts about 0 for both.

The simulation is given two measured times and nothing else: that of the walk for a page, and that
of an access.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import ConfigError, MmusimError
from mmusim.base.quantities import exact_ns
from mmusim.base.units import PAGE, PAGES_PER_REGION, show_bytes
from mmusim.config.settings import settings_of
from mmusim.config.tlb import UNLIMITED
from mmusim.engine import simulate
from mmusim.kvm.live import run_live
from mmusim.kvm.live_trace import LiveTrace
from mmusim.kvm.machine import Machine
from mmusim.plan.make import Plan, make_plan
from mmusim.policies import Mmu

PARTS: Final = (0.2, 0.05, 0.03, 0.01, 0.0005)
"""Shares of the memory that the guest uses."""
TLBS: Final = (UNLIMITED, 64, 1536, 3072)
GUEST, SLEEP, ENABLE = 1, 2, 3
ACCESSES: Final = 4
"""For each page of memory in the lap beside which logging is enabled. It outlasts the enabling."""
TRIES: Final = 6
"""Runs for each one that is asked for; many find the vCPU before or behind its lap."""
FIRST_SLEEP_NS: Final = 60_000_000
LEAST_MEMORY: Final = 16 << 20
MOST_MEMORY: Final = 4 << 30
FREE: Final = ("c_head", "c_srcu", "c_tdp_visit", "t_walk_4K", "t_write")
"""Costs that are a part of the two measured times."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run on the machine whose lap began before the enabling and ended behind it."""

    enabling_ns: int
    longest_ns: float  # access that began before the enabling's end and ended after its beginning
    access_ns: float  # between the beginnings of two accesses, the median
    faults: int  # while the log was being enabled and until the counters were read

    @property
    def share(self) -> float:
        """The longest access as a share of the enabling."""
        return self.longest_ns / self.enabling_ns


@dataclass(frozen=True, slots=True)
class Predicted:
    """A simulated run with a TLB."""

    tlb: str | int
    share: float
    faults: int


@dataclass(frozen=True, slots=True)
class Reach:
    """A part of the memory in use, measured and simulated."""

    part: float
    pages: int
    tries: int
    measured: tuple[MeasuredRun, ...]
    predicted: tuple[Predicted, ...]


def measure_reach(
    machine: Machine,
    memory: int,
    parts: Sequence[float] = PARTS,
    tlbs: Sequence[str | int] = TLBS,
    repeats: int = 8,
    *,
    tell: Callable[[str], None] | None = None,
) -> list[Reach]:
    """Measure each part in use on this machine's KVM, and simulate it with each TLB.

    Parameters
    ----------
    machine : Machine
        This machine, which KVM must be usable on.
    memory : int
        Bytes of the guest, whole regions of 2 MiB.
    parts : sequence of float
        Shares of the memory that are in use, each above 0 and at most 1.
    tlbs : sequence
        Entries, or ``unlimited``.
    repeats : int
        Runs that count for each part; up to six times as many are tried.

    Raises
    ------
    ConfigError
        If writes cannot meet protected entries here, or memory or a part is not possible.
    MmusimError
        If in no run of a part a lap was under way while logging was enabled.
    """
    policy = policy_of(machine)
    check_sizes(memory, parts)
    runs: dict[float, tuple[list[MeasuredRun], int]] = {}
    for part in parts:
        runs[part] = found, tries = _measured(machine, policy, memory, part, repeats)
        if not found:
            raise MmusimError(
                f"in none of {tries} runs a lap of the vCPU was under way while logging was "
                "enabled; try again when the machine is quiet, or with chrt -f 10"
            )
        if tell is not None:
            tell(f"{100 * part:.4g} % of the memory in use: {len(found)} of {tries} runs count")
    everything = [run for found, _ in runs.values() for run in found]
    walk_ns = min(run.enabling_ns for run in everything) * PAGE / memory
    made = []
    for part, (found, tries) in runs.items():
        access_ns = statistics.median(run.access_ns for run in found)
        predicted = tuple(
            predict(policy, machine.mmu, memory, part, tlb, walk_ns, access_ns) for tlb in tlbs
        )
        made.append(Reach(part, pages_of(memory, part), tries, tuple(found), predicted))
    return made


def policy_of(machine: Machine) -> str:
    """Return the machine's policy.

    Raises
    ------
    ConfigError
        If its processor logs writes by itself, so that none meets a protected entry.
    """
    if machine.pml:
        raise ConfigError.of(
            "tlb-reach", "pml", "Y",
            "means that the processor logs writes, and no write meets a protected entry",
            "load kvm_intel with pml=0",
        )  # fmt: skip
    return machine.policy("get-clears")


def check_sizes(memory: int, parts: Sequence[float]) -> None:
    """Refuse sizes that cannot be measured: `memory` in bytes, `parts` as shares of it.

    Raises
    ------
    ConfigError
        If the memory is no whole number of 2 MiB regions within bounds, or a part is no page of it.
    """
    region = PAGES_PER_REGION * PAGE
    if memory % region or not LEAST_MEMORY <= memory <= MOST_MEMORY:
        raise ConfigError.of(
            "tlb-reach", "--memory", show_bytes(memory),
            f"is not a whole number of 2 MiB regions from {show_bytes(LEAST_MEMORY)} to "
            f"{show_bytes(MOST_MEMORY)}", "give e.g. 512MiB",
        )  # fmt: skip
    for part in parts:
        if not 0 < part <= 1 or not pages_of(memory, part):
            raise ConfigError.of(
                "tlb-reach", "--part", f"{100 * part:.4g}%",
                "is no page of the memory or more than all", "give e.g. 20%",
            )  # fmt: skip


def pages_of(memory: int, part: float) -> int:
    """Return how many pages a part of the memory has."""
    return round(memory // PAGE * part)


def _measured(
    machine: Machine, policy: str, memory: int, part: float, repeats: int
) -> tuple[list[MeasuredRun], int]:
    """Run until enough runs count; each begins to enable in what was the lap of the one before."""
    found: list[MeasuredRun] = []
    sleep = FIRST_SLEEP_NS
    for number in range(1, TRIES * repeats + 1):
        plan = _plan(policy, machine.mmu, memory, part, UNLIMITED, sleep, {})
        trace = run_live(plan)
        run = measured_run(trace)
        if run is not None:
            found.append(run)
        if len(found) == repeats:
            return found, number
        ((began, ended),) = trace.phases[GUEST].guest[0].laps
        begun = trace.phases[SLEEP].began
        sleep = max(1_000_000, began - begun + (ended - began) // 4)
    return found, TRIES * repeats


def measured_run(trace: LiveTrace) -> MeasuredRun | None:
    """Return what a run tells; none if logging was not enabled within the vCPU's lap."""
    guest, enabling = trace.phases[GUEST].guest[0], trace.phases[ENABLE]
    ((began, ended),) = guest.laps
    over = enabling.began + enabling.ns
    if not began < enabling.began <= over < ended:
        return None
    gaps = guest.starts[1:] - guest.starts[:-1]
    begins = began + (guest.starts - guest.starts[0]) / trace.ghz  # by the host's clock
    meanwhile = (begins < over) & (begins + guest.cycles / trace.ghz > enabling.began)
    return MeasuredRun(
        enabling_ns=enabling.ns,
        longest_ns=float(guest.cycles[meanwhile].max(initial=0)) / trace.ghz,
        access_ns=statistics.median(gaps.tolist()) / trace.ghz,
        faults=enabling.counters["pf_taken"] - enabling.counters["pf_spurious"],
    )


def predict(
    policy: str, mmu: Mmu, memory: int, part: float, tlb: str | int,
    walk_ns: float, access_ns: float,
) -> Predicted:  # fmt: skip
    """Simulate a run with `walk_ns` for a page of the walk and `access_ns` for an access."""
    of_walk = "c_tdp_wclear" if mmu is Mmu.TDP else "c_wclear"
    costs = dict.fromkeys(FREE, "0ns") | {
        of_walk: exact_ns(walk_ns),
        "t_hit_2M": exact_ns(access_ns),
    }
    quarter = round(memory // PAGE * ACCESSES * access_ns / 4)  # of the lap, as on the machine
    trace = simulate(_plan(policy, mmu, memory, part, tlb, quarter, costs))
    guest, enabling = trace.phases[GUEST], trace.phases[ENABLE]
    longest = max(guest.reads.maximum, guest.writes.maximum)
    return Predicted(
        tlb, longest / (enabling.end_ns - enabling.start_ns), enabling.counters["pf_taken"]
    )


def _plan(
    policy: str, mmu: Mmu, memory: int, part: float, tlb: str | int, sleep: int,
    costs: dict[str, str],
) -> Plan:  # fmt: skip
    data: dict[str, Any] = {
        "schema": 1, "id": "tlb-reach", "question": "When does a vCPU meet the walk?",
        "vm": {"memory": show_bytes(memory), "backing": "4KiB",
               "kernel": policy.partition("+")[0], "mmu": mmu.value},
        "host": {"profile": "skylake-2021", "variance": "none", "tlb": tlb, "costs": costs},
        "policies": {"baseline": policy, "compare": ["none"]},
        "driver": {"phases": [
            {"do": "write"},
            {"do": "run", "workload": "part", "background": True},
            {"do": "sleep", "time": f"{sleep}ns"},
            {"do": "enable-logging"},
            {"do": "sleep", "time": "1ms"},
            {"do": "wait"},
        ]},
        "workloads": {"part": {
            "pattern": "hot-cold", "accesses_per_page": ACCESSES, "hot": f"{100 * part:.6g}%",
            "hot_reads": "100%", "hot_writes": "100%", "writes": "50%",
        }},
    }  # fmt: skip
    (setting,) = settings_of(data, "tlb-reach", Path())
    return make_plan(setting, policy, 1)
