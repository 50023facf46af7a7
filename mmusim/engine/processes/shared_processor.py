"""The host thread and a vCPU on one processor: who runs, who waits for it.

The host thread computes while it is in a log operation, except while it sleeps: for a grace period
of SRCU, and for slots_lock, a mutex. mmu_lock spins, and so does who waits for a flush. A thread
with a spinlock is not preempted. So the vCPU gives way where it enters the guest, and the host
thread where it asks for mmu_lock, or where its walk gives mmu_lock up (cond_resched_lock). Any
sleep of a vCPU (halt, big lock, slots_lock, throttle, stop) leaves the processor to the other.
"""

from __future__ import annotations

from mmusim.engine.processes.flush import kick
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.trace.records import HOST
from mmusim.vocabulary.causes import STEAL


def reschedule(vm: Vm, v: Vcpu) -> Steps:
    """Give the processor to the host thread on the way into the guest (schedule); wait for a
    turn.
    """
    assert vm.processor is not None
    v.need_resched = False
    granted = vm.processor.asked_by_vcpu(woke=False)
    vm.processor.leave(v.number)
    yield from _stolen(vm, v, granted)


def leave_processor(vm: Vm, v: Vcpu) -> None:
    """The thread of a vCPU sleeps, or its program is over."""
    assert vm.processor is not None
    vm.processor.leave(v.number)


def on_processor(vm: Vm, v: Vcpu) -> Steps:
    """Get the processor for a vCPU whose thread wakes up, and charge the wait for it."""
    assert vm.processor is not None
    if vm.processor.holder == HOST:
        yield from _stolen(vm, v, vm.processor.asked_by_vcpu(woke=True))
    else:
        vm.processor.take(v.number)


def _stolen(vm: Vm, v: Vcpu, granted: object) -> Steps:
    began = vm.now
    v.waits_for = "its processor, which the host thread has"
    vm.rests(v)
    yield granted  # type: ignore[misc]
    v.waits_for = ""
    vm.runs(v)
    vm.charge(v, STEAL, began, vm.now)


def host_runs(vm: Vm, spent: dict[str, int], woke: bool = True) -> Steps:
    """Get the processor for the host thread, if it shares one; `spent` collects the wait.

    A vCPU that has to give way is kicked out of the guest, and leaves it at its next entry else.
    """
    shared = vm.processor
    if shared is None or shared.holder == HOST:
        return
    v, asked = shared.vcpu, vm.now
    if shared.holder == v.number:
        granted = shared.asked_by_host()
        due = vm.now if woke and shared.at_wakeup else shared.slice_ends_ns()
        if due > vm.now:
            yield vm.env.any_of([granted, vm.spend(due - vm.now)])
        if not granted.triggered:
            v.need_resched = True
            if v.in_guest:
                kick(vm, v)
            yield granted
        _note(spent, "run_delay", vm.now - asked)
    else:
        shared.take(HOST)
    if shared.vcpu_waits is not None:  # it was put off: a switch there, and one back
        switch = round(vm.plan.costs["c_resched"].mean())
        _note(spent, "c_resched", switch)
        yield vm.spend(switch)


def host_sleeps(vm: Vm) -> None:
    """The host thread leaves its processor, if it shares one, and computes no more."""
    if vm.processor is not None:
        vm.processor.leave(HOST)


def host_gives_way(vm: Vm, spent: dict[str, int]) -> Steps:
    """Let the vCPU run if its turn has come. The host thread holds no spinlock."""
    if vm.processor is not None and vm.processor.host_is_due():
        vm.processor.leave(HOST)
        yield from host_runs(vm, spent, woke=False)


def _note(spent: dict[str, int], what: str, ns: int) -> None:
    if ns:
        spent[what] = spent.get(what, 0) + ns
