"""The requested dirty rate of a guest beside the one that the syncs of a migration found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmusim.base.units import NS, PAGE, show_ns
from mmusim.config.driver import Driver
from mmusim.config.migrate import Migrate
from mmusim.config.settings import Setting
from mmusim.experiment.run import Outcome
from mmusim.metrics.measure import Metrics
from mmusim.workload.dirty_rate import DirtyRate
from mmusim.workload.rates import is_rated

Row = dict[str, Any]


def dirtied(outcome: Outcome) -> list[Row]:
    """Return a row for each setting and policy whose guest is given by rates in a migration.

    *asked* is what a guest that does not stall dirties in the mean time of a round, *found* the
    pages that the syncs after the first round reported and that were written since they were sent
    last, both per second, over all seeds. Stalls, throttles and pages that were sent before their
    log was cleared make the second less.
    """
    rows = []
    for result in outcome.settings:
        pattern = migrated_workload(result.setting)
        for policy, runs in result.runs.items() if pattern is not None else ():
            times, pages = later_rounds(runs)
            if not times:
                continue
            memory, vcpus = result.setting.experiment.vm.memory, result.setting.experiment.vm.vcpus
            seconds = sum(times) / NS["s"] / len(times)
            whole = memory // PAGE
            asked = vcpus * pattern.dirty_after(whole // vcpus, whole, seconds) / seconds
            rows.append(
                {
                    "setting": result.setting.name,
                    "policy": policy,
                    "written": _written(pattern),
                    "asked": f"{asked * PAGE / 1e6:,.4g} MB/s over {show_ns(seconds * NS['s'])}",
                    "found": f"{sum(pages) * PAGE / sum(times) * NS['s'] / 1e6:,.4g} MB/s",
                }
            )
    return rows


def migrated_workload(setting: Setting) -> Any:
    """Return the workload of a setting's migration if it is given by rates, else None."""
    driver = setting.experiment.driver
    for phase in driver.phases if isinstance(driver, Driver) else ():
        if isinstance(phase, Migrate):
            workload = setting.experiment.workloads.get(phase.workload)
            return workload if is_rated(workload) else None
    return None


def later_rounds(runs: Sequence[Metrics]) -> tuple[list[int], list[int]]:
    """Return times in ns, and pages that became dirty, of all rounds but the first, in which every
    page is dirty.

    What is left to be sent after a round is another number: a migration ends while pages are left.
    """
    rounds = [one for run in runs for one in run.rounds[1:] if one.end_ns > one.start_ns]
    return (
        [one.end_ns - one.start_ns for one in rounds],
        [one.reported - one.false_dirty for one in rounds],
    )


def _written(pattern: Any) -> str:
    """Return the rate as the file writes it."""
    if isinstance(pattern, DirtyRate) and not pattern.classes:
        return f"{pattern.asked / 1e6:,.4g} MB/s over {show_ns(pattern.over)}"
    return str(pattern.pattern)
