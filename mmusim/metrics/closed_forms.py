"""Closed forms of metrics, beside which measured means are printed."""

from __future__ import annotations

from typing import Any

from mmusim.base.units import PAGES_PER_REGION
from mmusim.config.settings import Setting
from mmusim.policies import Reporting
from mmusim.workload.reads_beside_writes import ReadsBesideWrites


def expected_fault_free_pages(workload: ReadsBesideWrites) -> float:
    """Pages of a region that are read without a fault before its first write drops the large spte.

    512 lr / (lr + 512 lw) for Poisson reads at rate lr, spread over 512 pages, and writes at rate
    lw: each page is read first with probability (lr/512) / (lr/512 + lw) (domain, B.4).
    """
    reads, writes = 1 - workload.writes, workload.writes / workload.written_regions
    return PAGES_PER_REGION * reads / (reads + PAGES_PER_REGION * writes)


def theory(metric: str, setting: Setting) -> float:
    """Return the closed form of a metric for a setting, in the unit of the metric.

    Raises
    ------
    ValueError
        If the metric has no closed form, or if the measured phase runs no workload that has one.
    """
    driver = setting.experiment.driver.script(Reporting.GET_CLEARS)
    phase: Any = driver.phases[driver.measured]
    workload = setting.experiment.workloads.get(getattr(phase, "workload", ""))
    if metric != "fault_free_pages" or not isinstance(workload, ReadsBesideWrites):
        raise ValueError(f"there is no closed form of {metric} for phase {phase.do!r}")
    return expected_fault_free_pages(workload)
