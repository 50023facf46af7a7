"""The part of a fault under mmu_lock, from the waits of two vCPUs for each other, by simulation.

Closed forms exist for two customers of one lock with random times (machine repairman). But faults
vary so little that the two vCPUs fall into step and wait less. So the function simulates the wait
for sections of several lengths, with the measured distribution of faults, and looks up the measured
wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.base.quantities import exact_ns
from mmusim.calibration.tables import as_cost
from mmusim.config.settings import settings_of
from mmusim.costs.distributions import Distribution, Empirical
from mmusim.engine import simulate
from mmusim.plan.make import make_plan

SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what could be under the lock."""
POLICY: Final = "linux-6.13+shadow"


class LockWaits(NamedTuple):
    """Mean wait of a fault for each length of the section under the lock, in ns; ascending."""

    sections: tuple[float, ...]
    waits: tuple[float, ...]

    def section(self, wait: float) -> float:
        """Return the section that makes two vCPUs wait this long, within the ends."""
        return float(np.interp(wait, self.waits, self.sections))


def lock_waits(fault: Distribution, round_trip_ns: float, most: float) -> LockWaits:
    """Simulate two vCPUs that do nothing but fault.

    Parameters
    ----------
    fault : Distribution
        A whole slow fault, in ns.
    round_trip_ns, most : float
        What exit and entry take together, and the longest section that leaves room for them.
    """
    sections = [max(0.0, most) * share for share in SHARES]
    waits = [mean_wait(fault, round_trip_ns, section) for section in sections]
    rising = np.maximum.accumulate(waits) + np.arange(len(waits)) * 1e-6
    return LockWaits(tuple(sections), tuple(rising.tolist()))


def mean_wait(fault: Distribution, round_trip_ns: float, section: float) -> float:
    """Return what a fault waits for mmu_lock on average, in ns."""
    costs: dict[str, Any] = {
        "c_fault_slow": as_cost(fault) if isinstance(fault, Empirical) else exact_ns(fault.mean()),
        "c_exit": exact_ns(round_trip_ns / 2), "c_entry": exact_ns(round_trip_ns / 2),
        "c_lock_section": exact_ns(section),
    }  # fmt: skip
    zero = ("c_lock_handoff", "c_alloc_table", "t_hit_2M", "t_walk_4K", "t_write", "t_pass",
            "c_walk_guest")  # fmt: skip
    data = {
        "schema": 1, "id": "lock-share", "question": "How long do two vCPUs wait?",
        "vm": {"vcpus": 2, "memory": "16MiB", "kernel": "linux-6.13"},
        "host": {"profile": "skylake-2021", "costs": costs | dict.fromkeys(zero, "0ns")},
        "policies": {"baseline": POLICY, "compare": ["none"]},
        "driver": {"phases": [{"do": "enable-logging"}, {"do": "write"}]},
    }  # fmt: skip
    (setting,) = settings_of(data, "lock share", Path())
    phase = simulate(make_plan(setting, POLICY, 1)).phases[1]
    return phase.ledger["mmu_lock_wait"] / phase.counters["pf_taken"]
