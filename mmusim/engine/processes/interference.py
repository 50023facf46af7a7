"""What else the host does on a vCPU's processor: ticks, other tasks, interrupts of devices."""

from __future__ import annotations

from mmusim.costs.random_streams import Stream
from mmusim.engine.processes.flush import kick
from mmusim.engine.state.vm import Steps, Vcpu, Vm


def interfere(vm: Vm, v: Vcpu, number: int) -> Steps:
    """Interrupt a vCPU now and then, for as long as it runs a program.

    In the guest it exits at once. In the host's own code the time is taken at the next entry, as a
    task is preempted there that holds no spinlock. A vCPU that has halted loses what is left of it
    when it is woken. `number` is that of the source in the plan.
    """
    gaps = gaps_of(vm, v, number)
    lasts = lengths_of(vm, v, number)
    program = v.process
    while program is not None and program.is_alive and not only_interference_is_left(vm):
        yield vm.spend(max(1, gaps.at(v.interrupted[number])))
        if v.process is not program or not program.is_alive:
            break
        ns = lasts.at(v.interrupted[number])
        if v.halted:
            v.taken_until_ns = max(v.taken_until_ns, vm.now) + ns
        else:
            v.stolen_ns += ns
        v.interrupted[number] += 1
        if v.in_guest:
            kick(vm, v)
    vm.interferers -= 1


def gaps_of(vm: Vm, v: Vcpu, number: int) -> Stream:
    """Return the stream of times, in ns, between two interruptions of a vCPU by source `number`."""
    every = vm.plan.interference[number].every
    return vm.plan.draws.stream(f"interference_gap_{number}", v.number, every)


def lengths_of(vm: Vm, v: Vcpu, number: int) -> Stream:
    """Return the stream of times, in ns, that source `number` takes of a vCPU."""
    lasts = vm.plan.interference[number].lasts
    return vm.plan.draws.stream(f"interference_{number}", v.number, lasts)


def only_interference_is_left(vm: Vm) -> bool:
    """Tell whether nobody else will ever act: a deadlock, which :func:`simulate` reports."""
    return len(vm.env._queue) < vm.interferers
