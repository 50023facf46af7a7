"""A processor that the host thread and a vCPU share in turns, and its current owner."""

from __future__ import annotations

from typing import Final

import simpy

from mmusim.engine.state.virtual_cpu import Vcpu
from mmusim.plan.make import Plan
from mmusim.trace.records import HOST

NOBODY: Final = -2


class Processor:
    """One processor for two threads of equal weight, in turns of a slice.

    The law of the fair scheduler for two threads (kernel/sched/fair.c). Who asks gets a processor
    that nobody has. Else it waits until the other sleeps, or until a slice of the other is over.
    Slices follow each other from when that one got the processor. Before Linux 6.6 (5e963f2bd465,
    EEVDF) a thread that wakes up does not wait for the end of the slice (check_preempt_wakeup).
    """

    def __init__(self, plan: Plan, env: simpy.Environment, v: Vcpu) -> None:
        """Start with the processor free; `v` is the vCPU that has it beside the host thread."""
        self._env = env
        self.vcpu = v
        self.slice_ns = max(1, round(plan.costs["c_sched_slice"].mean()))
        self.at_wakeup = plan.kernel.preempts_at_wakeup()
        self.holder = NOBODY
        self.since_ns = 0  # when the holder got it
        self.host_waits: simpy.Event | None = None
        self.vcpu_waits: simpy.Event | None = None
        self._vcpu_woke = False  # it waits since it woke up, and was not put off
        v.shares_processor = True

    def take(self, who: int) -> None:
        """Give the processor, which must be free, to the thread `who` from now on."""
        self.holder, self.since_ns = who, int(self._env.now)

    def asked_by_host(self) -> simpy.Event:
        """The host thread wants the processor; return the event of its getting it."""
        self.host_waits = self._env.event()
        return self.host_waits

    def asked_by_vcpu(self, woke: bool) -> simpy.Event:
        """The vCPU wants the processor; return the event of its getting it.

        `woke` says whether it has just woken up; else it was put off.
        """
        self._vcpu_woke = woke
        self.vcpu_waits = self._env.event()
        return self.vcpu_waits

    def leave(self, who: int) -> None:
        """If the thread `who` has the processor, give it to the other if that waits, or free it."""
        if self.holder != who:
            return
        self.holder = NOBODY
        if who == HOST and self.vcpu_waits is not None:
            waiting, self.vcpu_waits = self.vcpu_waits, None
            self.take(self.vcpu.number)
            waiting.succeed()
        elif who != HOST and self.host_waits is not None:
            waiting, self.host_waits = self.host_waits, None
            self.vcpu.need_resched = False
            self.take(HOST)
            waiting.succeed()

    def slice_ends_ns(self) -> int:
        """Return when the slice of the thread that has the processor is over, in ns."""
        passed = int(self._env.now) - self.since_ns
        return self.since_ns + (passed // self.slice_ns + 1) * self.slice_ns

    def host_is_due(self) -> bool:
        """Tell whether the host thread, which has the processor, is to give it to the vCPU."""
        if self.holder != HOST or self.vcpu_waits is None:
            return False
        over = int(self._env.now) - self.since_ns >= self.slice_ns
        return over or (self._vcpu_woke and self.at_wakeup)


def shared_processor(
    plan: Plan, env: simpy.Environment, vcpus: list[Vcpu]
) -> Processor | None:  # fmt: skip
    """Return the processor that the host thread shares; None if it has one of its own."""
    return None if plan.emulatorpin is None else Processor(plan, env, vcpus[plan.emulatorpin])
