"""The stall ledger of migrations: what the guest lost, by cause and by who held the lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mmusim.base.units import show_ns, show_number
from mmusim.config.driver import Driver
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.report.tables import NOTHING, Cell, Table, mean_ledger, number
from mmusim.vocabulary.metrics import SLOW_SECONDS

LOCK: Final = "mmu_lock_wait"
FOR_LOG, FOR_VCPUS = "mmu_lock, held by the log", "mmu_lock, held by vCPUs"
GROUPS: Final = {
    "faults": (
        "fault_slow", "fault_fast", "table_alloc", "drop_large", "split_large", "mmap_wait",
        "clear_wait",
    ),
    "flushes": ("flush_wait", "flush_exit", "tlb_flush", "tlb_refill"),
    "buffers of the log": ("pml_drain", "ring_full"),
    "user space": ("user_exit", "bql_wait"),
    "halts": ("halt",),
    "throttle": ("throttle",),
    "stopped": ("paused", "snapshot_wait"),
    "post-copy": ("postcopy_wait",),
    "the host": ("interference", "steal"),
}  # fmt: skip
"""Lost causes as they are shown; with the wait for mmu_lock, which is shown by holder, all."""
LESS: Final = tuple(f"time_below_{percent}" for percent in SLOW_SECONDS)
TIMES: Final = ("postcopy_blocktime", "p50_postcopy_fault", "p99_postcopy_fault")


def parts(ledger: Mapping[str, float], for_log_ns: float) -> dict[str, float]:
    """Return what the guest lost in ns, by cause and holder; the parts sum to the whole exactly.

    Parameters
    ----------
    ledger : mapping
        Cause -> ns of all vCPUs, of a migration.
    for_log_ns : float
        How long they waited for mmu_lock while an operation of the log held it.
    """
    held = {FOR_LOG: for_log_ns, FOR_VCPUS: ledger[LOCK] - for_log_ns}
    return held | {name: sum(ledger[c] for c in causes) for name, causes in GROUPS.items()}


def migrates(result: SettingResult) -> bool:
    """Tell whether a migration is what the runs of a setting measure, as a whole."""
    driver = result.setting.experiment.driver
    runs = [run for rows in result.runs.values() for run in rows]
    whole = isinstance(driver, Driver) and not driver.window
    return whole and bool(runs) and all("migration_time" in run.values for run in runs)


def stall_ledger(outcome: Outcome) -> Table:
    """Return what migrations cost the guest, a row a setting and policy; no row: none migrates."""
    found = []
    for result in filter(migrates, outcome.settings):
        for policy, runs in result.runs.items():
            means = {
                name: sum(run.values[name] for run in runs) / len(runs)
                for name in (*LESS, "lock_wait_for_log", "sent_in_vain", *TIMES)
                if all(name in run.values for run in runs)
            }
            lost = parts(mean_ledger(result, policy), means["lock_wait_for_log"])
            found.append((result.setting.name or "all", policy, means, lost))
    shown = [part for part in (FOR_LOG, FOR_VCPUS, *GROUPS) if any(row[3][part] for row in found)]
    blocked = [name for name in TIMES if any(name in row[2] for row in found)]
    rows = [
        [
            Cell(setting), Cell(policy), *(_time(means[name]) for name in LESS),
            _time(sum(lost.values())), *(_time(lost[part]) for part in shown),
            number(means["sent_in_vain"], show_number(round(means["sent_in_vain"]))),
            *(_time(means[name]) if name in means else NOTHING for name in blocked),
        ]
        for setting, policy, means, lost in found
    ]  # fmt: skip
    columns = [
        "setting", "policy", *(f"below {percent} %" for percent in SLOW_SECONDS), "lost in all",
        *shown, "pages in vain", *(name.replace("_", " ") for name in blocked),
    ]  # fmt: skip
    return Table(
        id="stall-ledger-table", caption="What the migrations cost the guest",
        columns=[(name, place > 1) for place, name in enumerate(columns)],
        rows=rows,
        note="Mean over seeds. “Below” is time up to the switch-over, in seconds in which the "
        "vCPUs ran for less than that share. What is lost is that of all vCPUs; its parts sum to "
        "“lost in all” exactly. In post-copy the guest waits for pages of the source.",
    )  # fmt: skip


def _time(ns: float) -> Cell:
    return number(ns, show_ns(ns) if ns else "0")
