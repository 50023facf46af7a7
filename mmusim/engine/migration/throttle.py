"""Throttles that slow the guest down so that a migration converges: auto-converge, dirty-limit.

Sources: QEMU ``migration_trigger_throttle``, ``cpu_throttle_set``, ``cpu_throttle_thread``,
``dirtylimit_adjust_throttle``; ``domain`` F.5.
"""

from __future__ import annotations

from typing import Final, Protocol

from mmusim.base.units import BYTES, NS, PAGE
from mmusim.config.migrate import Migration
from mmusim.engine.processes.dirty_rings import reap
from mmusim.engine.processes.user_space import asleep, hold, hold_bql, run_on_all, run_on_cpu
from mmusim.engine.state.steps import WorkItem
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.trace.records import RATE_THREAD

TIMESLICE_NS: Final = 10 * NS["ms"]
"""CPU_THROTTLE_TIMESLICE_NS: how long a vCPU runs between two sleeps."""
PERIOD_NS: Final = NS["s"]
"""Period over which the migration thread and dirty-limit judge dirtying."""
TOLERANCE: Final = 25 * BYTES["MiB"]
"""Bytes per second by which dirtying may miss its limit (DIRTYLIMIT_TOLERANCE_RANGE)."""
RISES: Final = 2
"""Bad syncs without a falling ratio, after which a responsive trigger throttles."""
LINEAR: Final = 0.5
"""Dirtying is far from its limit if it misses it by more than this share of the larger."""
MOST_RINGS: Final = 99
"""Longest sleep of a vCPU, as a multiple of the time in which its ring fills."""


class Throttle(Protocol):
    """One way to slow the guest down."""

    def guest_down(self, dirty: float, allowed: float) -> None:
        """The guest dirtied more bytes than allowed: start the throttle, or increase it."""

    def stop(self) -> None:
        """End the throttle."""


class Trigger:
    """migration_trigger_throttle: notices that the guest dirties more than is sent.

    It judges at syncs at least a second apart. A sync is bad if more is dirty than the threshold's
    share of what was sent. After some bad syncs (:meth:`mmusim.vmm.Qemu.bad_syncs`), with or
    without good ones in between, it slows the guest down.

    A `responsive` trigger slows it down also after two bad syncs at which the ratio of dirty to
    sent was no lower than at the sync before (Huang, migration: Support responsive CPU throttle,
    qemu-devel, 16 September 2024).
    """

    def __init__(
        self, vm: Vm, threshold: float, throttle: Throttle | None, responsive: bool = False
    ) -> None:
        """Begin a period now."""
        self._responsive, self._ratio, self._rising = responsive, 0.0, 0
        self._vm = vm
        self._bad_syncs = vm.plan.qemu.bad_syncs()
        self._threshold = threshold
        self._throttle = throttle
        self._began_ns = vm.now
        self._sent_before = self._dirty_pages = self._high = 0

    def synced(self, new_dirty_pages: int, sent_bytes: int) -> None:
        """Handle a sync."""
        self._dirty_pages += new_dirty_pages
        if self._throttle is None or self._vm.now <= self._began_ns + PERIOD_NS:
            return
        sent = sent_bytes - self._sent_before
        dirty, allowed = self._dirty_pages * PAGE, sent * self._threshold
        if self._is_high(dirty, allowed) or (self._responsive and self._rises(dirty, sent)):
            self._throttle.guest_down(dirty, allowed)
        self._began_ns, self._sent_before, self._dirty_pages = self._vm.now, sent_bytes, 0

    def _is_high(self, dirty: float, allowed: float) -> bool:
        """Tell whether this is the last of some bad syncs (migration_dirty_rate_high)."""
        self._high += dirty > allowed
        if self._high < self._bad_syncs:
            return False
        self._high = 0
        return True

    def _rises(self, dirty: float, sent: float) -> bool:
        """Tell whether the ratio did not fall for the second time (migration_dirty_ratio_high)."""
        before, self._ratio = self._ratio, dirty / sent if sent else 0.0
        self._rising += before > 0 and self._ratio > self._threshold and self._ratio >= before
        if self._rising < RISES:
            return False
        self._rising = 0
        return True


class AutoConverge:
    """Every vCPU sleeps for a share p of the time: p / (1 - p) x 10 ms, every 10 ms / (1 - p)."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu], spec: Migration) -> None:
        """Throttle nobody yet."""
        self._vm = vm
        self._vcpus = vcpus
        self._spec = spec
        self._scheduled: set[int] = set()  # vCPUs that have not slept since the last request
        self.share = 0.0
        self.history: list[tuple[int, float]] = []

    def guest_down(self, dirty: float, allowed: float) -> None:
        """mig_throttle_guest_down; with tailslow the step is at most the excess of dirtying."""
        spec, began = self._spec, not self.share
        step = spec.cpu_throttle_increment
        if spec.cpu_throttle_tailslow:
            step = min(step, (1 - self.share) * (1 - allowed / dirty))
        share = self.share + step if self.share else 0.0
        share = min(share or spec.cpu_throttle_initial, spec.max_cpu_throttle)
        self._set(round(share, 6))
        if began:
            self._vm.env.process(self._tick())

    def _set(self, share: float) -> None:
        self.share = share
        self.history.append((self._vm.now, share))

    def stop(self) -> None:
        """cpu_throttle_stop: sleeping vCPUs wake up by themselves."""
        if self.share:
            self._set(0.0)

    def _tick(self) -> Steps:
        """cpu_throttle_timer_tick."""
        while self.share:
            ns = int(self.share / (1 - self.share) * TIMESLICE_NS)
            for v in self._vcpus:
                if v.number not in self._scheduled:
                    self._scheduled.add(v.number)
                    run_on_cpu(self._vm, v, self._sleep(ns))
            yield self._vm.spend(int(TIMESLICE_NS / (1 - self.share)))

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

    def __init__(self, vm: Vm, vcpus: list[Vcpu], quota: int) -> None:
        """Limit nobody yet; `quota` in bytes per second of each vCPU."""
        self._vm = vm
        self._vcpus = vcpus
        self._quota = quota
        self._fastest = 0.0
        self._on = False
        self.history: list[tuple[int, int, int]] = []

    def guest_down(self, dirty: float, allowed: float) -> None:
        """migration_dirty_limit_guest: limit the vCPUs from now on."""
        del dirty, allowed
        assert self._vm.vmm is not None
        if not self._on:
            self._on = self._vm.vmm.limits_dirtying = True
            self._vm.env.process(self._adjust_all())

    def stop(self) -> None:
        """qmp_cancel_vcpu_dirty_limit."""
        assert self._vm.vmm is not None
        self._on = self._vm.vmm.limits_dirtying = False
        for v in self._vcpus:
            v.sleep_per_full_ring = 0

    def _adjust_all(self) -> Steps:
        """dirtylimit_process: measure every vCPU over a period and adjust its sleep."""
        rings = [v.ring for v in self._vcpus if v.ring is not None]
        while True:
            pushed = [ring.pushed for ring in rings]
            yield self._vm.spend(PERIOD_NS)
            if self._on:
                yield from self._sync()
            if not self._on:
                return
            for v, ring, before in zip(self._vcpus, rings, pushed, strict=True):
                rate = (ring.pushed - before) * PAGE * NS["s"] / PERIOD_NS
                self._fastest = max(self._fastest, rate)
                self._adjust(v, rate, ring.size * PAGE)

    def _sync(self) -> Steps:
        """global_dirty_log_sync: read the rates from the rings after every vCPU has come out."""
        assert self._vm.vmm is not None
        yield from hold(self._vm.vmm.bql, RATE_THREAD)
        if self._on:
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
