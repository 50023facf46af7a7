"""How the guest is slowed down as a rule of :mod:`mmusim.vmm.throttle` asks: sleeps and limits.

Sources: QEMU ``migration_trigger_throttle``, ``cpu_throttle_set``, ``cpu_throttle_thread``,
``dirtylimit_adjust_throttle``; ``domain`` F.5.
"""

from __future__ import annotations

from typing import Final

from mmusim.base.units import BYTES, NS, PAGE
from mmusim.engine.processes.dirty_rings import reap
from mmusim.engine.processes.user_space import asleep, hold, hold_bql, run_on_all, run_on_cpu
from mmusim.engine.state.steps import WorkItem
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.trace.records import RATE_THREAD
from mmusim.vmm.throttle import Period, Throttle, Watched

MEASURE_NS: Final = NS["s"]
"""Period over which the dirty limit measures each vCPU."""
TOLERANCE: Final = 25 * BYTES["MiB"]
"""Bytes per second by which dirtying may miss its limit (DIRTYLIMIT_TOLERANCE_RANGE)."""
LINEAR: Final = 0.5
"""Dirtying is far from its limit if it misses it by more than this share of the larger."""
MOST_RINGS: Final = 99
"""Longest sleep of a vCPU, as a multiple of the time in which its ring fills."""


class Sleeps:
    """Every vCPU sleeps for a share of the time, all at once, in cycles of the rule."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu], rule: Throttle | None) -> None:
        """Start without a throttle."""
        self._vm = vm
        self._vcpus = vcpus
        self._rule = rule
        self._scheduled: set[int] = set()  # vCPUs that have not slept since the last request
        self._ticks = False
        self.share = 0.0
        self.history: list[tuple[int, float]] = []

    def take(self, share: float) -> None:
        """Let each vCPU sleep for another `share` of the time, 0 to 1 (cpu_throttle_set).

        0 lets sleeping vCPUs finish.
        """
        if share == self.share:
            return
        self.share = share
        self.history.append((self._vm.now, share))
        if share and not self._ticks:
            self._ticks = True
            self._vm.env.process(self._tick())

    def _tick(self) -> Steps:
        """cpu_throttle_timer_tick."""
        assert self._rule is not None
        while self.share:
            ns, cycle_ns = self._rule.ask("cycle", self.share)
            for v in self._vcpus:
                if v.number not in self._scheduled:
                    self._scheduled.add(v.number)
                    run_on_cpu(self._vm, v, self._sleep(ns))
            yield self._vm.spend(cycle_ns)
        self._ticks = False

    def _sleep(self, ns: int) -> WorkItem:
        """cpu_throttle_thread: sleep without the big lock."""

        def sleep(vm: Vm, v: Vcpu) -> Steps:
            assert vm.vmm is not None
            vm.vmm.bql.release(v.number)
            yield from asleep(vm, v, ns, wakes=vm.plan.qemu.throttle_ends_at_stop())
            self._scheduled.discard(v.number)
            yield from hold_bql(vm, v)

        return sleep


class DirtyLimit:
    """A vCPU that dirties more than its quota sleeps each time its ring is full."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu]) -> None:
        """Start without a limit."""
        self._vm = vm
        self._vcpus = vcpus
        self._quota = 0  # bytes per second of each vCPU
        self._fastest = 0.0
        self._measures = False
        self.history: list[tuple[int, int, int]] = []

    def limit(self, quota: int) -> None:
        """Limit each vCPU to `quota` bytes per second from now on; 0 ends the limit.

        Source: migration_dirty_limit_guest.
        """
        assert self._vm.vmm is not None
        self._quota = quota
        self._vm.vmm.limits_dirtying = bool(quota)
        if quota and not self._measures:
            self._measures = True
            self._vm.env.process(self._adjust_all())
        if not quota:
            for v in self._vcpus:
                v.sleep_per_full_ring = 0

    def _adjust_all(self) -> Steps:
        """dirtylimit_process: measure every vCPU over a period and adjust its sleep."""
        rings = [v.ring for v in self._vcpus if v.ring is not None]
        while True:
            pushed = [ring.pushed for ring in rings]
            yield self._vm.spend(MEASURE_NS)
            if self._quota:
                yield from self._sync()
            if not self._quota:
                self._measures = False
                return
            for v, ring, before in zip(self._vcpus, rings, pushed, strict=True):
                rate = (ring.pushed - before) * PAGE * NS["s"] / MEASURE_NS
                self._fastest = max(self._fastest, rate)
                self._adjust(v, rate, ring.size * PAGE)

    def _sync(self) -> Steps:
        """global_dirty_log_sync: read the rates from the rings after every vCPU has come out."""
        assert self._vm.vmm is not None
        yield from hold(self._vm.vmm.bql, RATE_THREAD)
        if self._quota:
            yield from run_on_all(self._vm, self._vcpus, RATE_THREAD)
            yield from reap(self._vm, RATE_THREAD, self._vm.vcpus[0], {})
        self._vm.vmm.bql.release(RATE_THREAD)

    def _adjust(self, v: Vcpu, rate: float, ring_bytes: int) -> None:
        """dirtylimit_adjust_throttle, for a vCPU that dirties `rate` bytes per second."""
        if abs(rate - self._quota) <= TOLERANCE:
            return
        if rate == 0:
            v.sleep_per_full_ring = 0
            return
        full_ns = ring_bytes * NS["s"] / self._fastest
        low, high = sorted((rate, float(self._quota)))
        far = (high - low) / high > LINEAR
        step = full_ns * (high - low) / low if far else full_ns / 10
        sleep = v.sleep_per_full_ring + (step if rate > self._quota else -step)
        v.sleep_per_full_ring = int(min(max(sleep, 0.0), full_ns * MOST_RINGS))
        self.history.append((self._vm.now, v.number, v.sleep_per_full_ring))


class Trigger:
    """migration_trigger_throttle: asks the rule at syncs, and slows the guest down as it says."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu], rule: Throttle | None) -> None:
        """Begin a period now."""
        self._vm, self._rule = vm, rule
        self.sleeps, self.limit = Sleeps(vm, vcpus, rule), DirtyLimit(vm, vcpus)
        self._origin_ns = self._began_ns = vm.now
        self._sent_before = self._dirty_pages = 0
        self._periods: list[Period] = []

    @property
    def judged_ns(self) -> int:
        """When a sync ended a period last (time_last_bitmap_sync)."""
        return self._began_ns

    def synced(self, new_dirty_pages: int, sent_bytes: int) -> None:
        """Take note of a sync: pages that became dirty, and all bytes sent since the beginning.

        If a period of the rule is over, the rule is asked again.
        """
        self._dirty_pages += new_dirty_pages
        rule, now = self._rule, self._vm.now
        if rule is None or now <= self._began_ns + rule.least_period_ns:
            return
        sent = sent_bytes - self._sent_before
        self._periods.append(Period(now - self._origin_ns, self._dirty_pages * PAGE, sent))
        watched = Watched(self._periods, self.sleeps.share, self._vm.plan.qemu)
        share = rule.ask("share", watched)
        self.sleeps.take(share)
        if rule.needs_rings:
            self.limit.limit(rule.ask("quota", watched))
        self._began_ns, self._sent_before, self._dirty_pages = now, sent_bytes, 0

    def stop(self) -> None:
        """Let the guest run at full speed again, because the migration is over."""
        if self._rule is not None:
            self.sleeps.take(0.0)
            if self._rule.needs_rings:
                self.limit.limit(0)
