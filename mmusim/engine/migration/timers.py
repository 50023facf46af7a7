"""Other threads of QEMU during a migration: the sync timer, a throttle's own, the ring reaper.

Sources: QEMU ``cpu_throttle_dirty_sync_timer_tick``, ``kvm_dirty_ring_reaper_thread``; ``domain``
K.2 Q8 and Q21; :class:`mmusim.vmm.throttle.background_watcher.BackgroundWatcher`.
"""

from __future__ import annotations

from typing import Final, Protocol

from mmusim.base.units import NS
from mmusim.config.migrate import Migration as Spec
from mmusim.engine.migration.sync import LogSync
from mmusim.engine.migration.throttle import Trigger
from mmusim.engine.processes.dirty_rings import reap
from mmusim.engine.processes.user_space import hold
from mmusim.engine.state.vm import Steps, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.trace.records import MAIN_LOOP, RATE_THREAD, REAPER
from mmusim.vmm import Qemu
from mmusim.vmm.throttle import Throttle

REAP_EVERY_NS: Final = NS["s"]
LOOK_EVERY_NS: Final = NS["s"]
"""Period of a throttle's own thread."""


class Migration(Protocol):
    """The view that these threads have of a migration."""

    vm: Vm
    vmm: Vmm
    spec: Spec
    qemu: Qemu
    stopped: bool
    slowed_by: Throttle | None
    trigger: Trigger
    log: LogSync

    @property
    def active(self) -> bool:
        """Whether it is still in progress."""


def start_timers(migration: Migration) -> None:
    """Start the threads that this release of QEMU runs beside the migration thread."""
    env = migration.vm.env
    rule = migration.slowed_by
    every_ns = rule.ask("sync_every", migration.qemu) if rule is not None else 0
    if every_ns:
        env.process(sync_timer(migration, every_ns))
    if rule is not None and rule.ask("overdue_after", 0.0):
        env.process(watcher(migration, rule))
    if migration.log.rings:
        env.process(reaper(migration))


def goes_on(migration: Migration) -> bool:
    """Tell whether the guest still runs at the source."""
    return migration.active and not migration.stopped


def sync_timer(migration: Migration, every_ns: int) -> Steps:
    """Every `every_ns` read the log, if no sync came in between; not in the first pass over memory.

    The main loop holds the big lock all the time, also while it waits for bitmap_mutex.
    """
    before = 0
    while True:
        yield migration.vm.spend(every_ns)
        if not goes_on(migration):
            return
        if migration.log.count > 1 and migration.log.count == before:
            yield from hold(migration.vmm.bql, MAIN_LOOP)
            if goes_on(migration):
                yield from migration.log.read(MAIN_LOOP)
            migration.vmm.bql.release(MAIN_LOOP)
        before = migration.log.count


def watcher(migration: Migration, rule: Throttle) -> Steps:
    """Every second look whether a pass, not the first, goes on and the last sync is too long ago.

    If so, read the log for the throttle. The thread ends when the rule says so.
    """
    vm, log = migration.vm, migration.log
    before = 2
    while overdue_ns := rule.ask("overdue_after", migration.trigger.sleeps.share):
        yield vm.spend(LOOK_EVERY_NS)
        if not goes_on(migration):
            return
        if log.passes <= 1:
            continue
        goes_on_still, before = log.passes == before, log.passes
        if goes_on_still and vm.now > migration.trigger.judged_ns + overdue_ns:
            yield from hold(migration.vmm.bql, RATE_THREAD)
            if goes_on(migration):
                yield from log.read(RATE_THREAD, for_throttle=True)
            migration.vmm.bql.release(RATE_THREAD)


def reaper(migration: Migration) -> Steps:
    """Harvest all rings every second, without a kick; not while a dirty limit is in force.

    Source: kvm_dirty_ring_reaper_thread.
    """
    vm = migration.vm
    while True:
        yield vm.spend(REAP_EVERY_NS)
        if not goes_on(migration):
            return
        if migration.vmm.limits_dirtying:
            continue
        yield from hold(migration.vmm.bql, REAPER)
        if goes_on(migration):
            yield from reap(vm, REAPER, vm.vcpus[0], {})
        migration.vmm.bql.release(REAPER)
