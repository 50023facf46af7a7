"""Actors: their processes, and their view of the host."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any, Final

import simpy

from mmusim.actors import Actor
from mmusim.base.errors import ConfigError, nearest
from mmusim.base.packages import source_of
from mmusim.base.patience import asked
from mmusim.base.units import PAGES_PER_REGION, show_ns
from mmusim.costs import log_operations
from mmusim.costs.distributions import Gamma
from mmusim.engine.host.lock_break import PiecewisePayment, added, pieces_of
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, pay
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.processes.interference import only_interference_is_left
from mmusim.engine.state.vm import LAST_NS, Steps, Vm
from mmusim.mmu import walk as walks
from mmusim.mmu.slot import MemSlot, leaves_over
from mmusim.mmu.spte import Edit
from mmusim.trace.records import FIRST_ACTOR
from mmusim.vocabulary import COSTS

MOST_CV: Final = 100.0
_MEND: Final = "correct the actor, or leave it out"


def start_actors(vm: Vm) -> None:
    """Start the process of every actor of the plan."""
    for number, actor in enumerate(vm.plan.actors):
        vm.env.process(act(actor, SimulatedHost(vm, actor, FIRST_ACTOR - number)))


def act(actor: Actor, host: SimulatedHost) -> Steps:
    """Go through an actor's process.

    Raises
    ------
    ConfigError
        If its code raises, does not return, yields something that is not an event, or ends with
        mmu_lock held.
    """
    key, function = f"host.actors.{actor.kind}", type(actor).process
    steps = asked(key, "process", function, lambda: actor.process(host), _MEND)
    if not isinstance(steps, Generator):
        raise host.wrong(f"has no yield, it is of {source_of(function)}", _MEND)
    answer: Any = None
    while True:
        event = asked(key, "process", function, partial(_next_of, steps, answer), _MEND)
        if event is _ENDED:
            break
        if not isinstance(event, simpy.Event):
            raise host.wrong(
                f"yields {event!r}, which is not an event; it is of {source_of(function)}",
                "write e.g. yield from host.sleep(1e6)",
            )
        answer = yield event
    if host.holds:
        raise host.wrong(
            f"ends with mmu_lock held, it is of {source_of(function)}",
            "call host.release_mmu_lock() before",
        )


_ENDED: Final = object()


def _next_of(steps: Steps, answer: Any) -> Any:
    """Return the next event that an actor waits for, or that it has ended."""
    try:
        return steps.send(answer)
    except StopIteration:
        return _ENDED


class SimulatedHost:
    """A :class:`mmusim.actors.HostView`: the VM of a run in the hands of one actor."""

    def __init__(self, vm: Vm, actor: Actor, who: int) -> None:
        """Act as number `who`, below those of the host's other threads."""
        self._vm, self._actor, self._who = vm, actor, who
        self.holds = False  # mmu_lock

    def wrong(self, rule: str, remedy: str, key: str = "process", value: object = None) -> Any:
        """Return the error that names the actor, the key, its value, the rule and the remedy."""
        return ConfigError.of(f"host.actors.{self._actor.kind}", key, value, rule, remedy)

    @property
    def now(self) -> int:
        """Simulated time in nanoseconds."""
        return self._vm.now

    @property
    def pages(self) -> int:
        """How many 4 KiB pages the guest's memory has."""
        return self._vm.plan.pages

    @property
    def host_page(self) -> int:
        """How many 4 KiB pages a page of the host that holds guest memory has."""
        return int(PAGES_PER_REGION ** (self._vm.plan.backing - 1))

    @property
    def vcpus(self) -> int:
        """How many vCPUs the guest has."""
        return self._vm.plan.vcpus

    def sleep(self, ns: float) -> Steps:
        """Let `ns` pass. If no other process can ever act, sleep for ever, so that the deadlock is
        reported.

        Raises
        ------
        ConfigError
            If `ns` is not a time from 1 ns to 146 years.
        """
        if not 1 <= ns <= LAST_NS:
            raise self.wrong(
                f"sleeps for no time from 1 ns to {show_ns(LAST_NS)}", "sleep longer", "sleep", ns
            )
        vm = self._vm
        vm.interferers += 1
        yield vm.spend(round(ns))
        nothing_happens = only_interference_is_left(vm)
        vm.interferers -= 1
        if nothing_happens:
            yield vm.env.event()

    def spend(self, costs: Mapping[str, float]) -> Steps:
        """Spend the time of operations; `costs`: name of a cost -> number of payments.

        Raises
        ------
        ConfigError
            If there is no such cost, or if it cannot be paid that often.
        """
        for cost, times in costs.items():
            if cost not in COSTS:
                remedy = nearest(str(cost), COSTS)
                raise self.wrong("is not a cost of the model", remedy, "spend", cost)
            if not (math.isfinite(times) and 0 <= times <= 1e9):
                raise self.wrong("is not a number of payments", "pay 0 to 1e9 times", cost, times)
        yield self._vm.spend(pay(self._vm, costs, {}))

    def hold_mmu_lock(self) -> Steps:
        """Take mmu_lock for write.

        Raises
        ------
        ConfigError
            If the actor holds it.
        """
        if self.holds:
            raise self.wrong("takes mmu_lock, which it holds", "release it before")
        yield from hold_mmu_lock(self._vm, self._who, {})
        self.holds = True

    def release_mmu_lock(self) -> None:
        """Give mmu_lock back.

        Raises
        ------
        ConfigError
            If the actor does not hold it.
        """
        if not self.holds:
            raise self.wrong("releases mmu_lock, which it does not hold", "take it before")
        self.holds = False
        self._vm.lock.release(self._who)

    def write_protect(self, first_gfn: int, pages: int) -> Generator[Any, Any, bool]:
        """Clear W of every leaf in a range and spend the time; return whether a flush is owed.

        The range has `pages` pages of 4 KiB from `first_gfn` on, whole 2 MiB regions.

        Raises
        ------
        ConfigError
            If the range is not valid, or the actor does not hold mmu_lock.
        """
        vm, part = self._vm, self._range(first_gfn, pages)
        if not self.holds:
            raise self.wrong("changes sptes without mmu_lock", "take it before", "write_protect")
        whole, done, payment = walks.Walk(), 0, PiecewisePayment(vm, {})
        for piece in pieces_of(vm, part):
            walk = walks.protect_slot(vm.table, piece, Edit.WRITE_PROTECT, pml=False)
            if walk.changed:
                vm.revoke(piece.pages, piece.regions)
            vm.changed(self._who)
            whole, done = added(whole, walk), done + piece.npages
            yield vm.spend(
                payment.up_to(log_operations.protect_range(vm.plan.choices, done, whole))
            )
        return whole.changed

    def age(self, first_gfn: int, pages: int, *, flush: bool) -> Generator[Any, Any, bool]:
        """Clear A of the leaves over one page of the host; return whether there were any.

        The page has `pages` pages of 4 KiB from `first_gfn` on. Up to 6.14 this takes mmu_lock.
        With `flush` the TLBs are flushed where the kernel does so.

        Raises
        ------
        ConfigError
            If the range is not in the guest's memory, or if the actor holds mmu_lock.
        """
        vm, kernel = self._vm, self._vm.plan.kernel
        if pages < 1 or first_gfn < 0 or first_gfn + pages > self.pages:
            raise self.wrong(f"is no range within {self.pages} pages", "stay below host.pages",
                             "age", (first_gfn, pages))  # fmt: skip
        if kernel.ages_under_lock():
            yield from self.hold_mmu_lock()
        leaves = leaves_over(vm.table, MemSlot(int(first_gfn), int(pages)))
        counts = log_operations.age(kernel, vm.plan.choices, pages, leaves)
        yield vm.spend(pay(vm, counts, {}))
        if leaves and flush and kernel.flushes_when_aging():
            yield from self.flush()
        if kernel.ages_under_lock():
            self.release_mmu_lock()
        return leaves > 0

    def _range(self, first_gfn: int, pages: int) -> MemSlot:
        wrong = pages < 1 or first_gfn < 0 or first_gfn + pages > self.pages
        if wrong or first_gfn % PAGES_PER_REGION or pages % PAGES_PER_REGION:
            raise self.wrong(
                f"is not a range of whole 2 MiB regions within {self.pages} pages",
                f"begin and end at multiples of {PAGES_PER_REGION}", "write_protect",
                (first_gfn, pages),
            )  # fmt: skip
        return MemSlot(int(first_gfn), int(pages))

    def flush(self) -> Steps:
        """Flush the TLBs of all vCPUs and wait for those in guest mode."""
        yield from flush_remote(self._vm, self._vm.vcpus[0], recorder=False)

    def times(self, name: str, mean_ns: float, cv: float) -> Iterator[int]:
        """Yield random times of at least 1 ns without end, in ns: gamma by mean and coefficient of
        variation.

        `name` distinguishes the streams of one actor.

        Raises
        ------
        ConfigError
            If the mean or the spread is not valid.
        """
        if not (1 <= mean_ns <= LAST_NS and 0 <= cv <= MOST_CV):
            raise self.wrong(
                f"is not a mean of at least 1 ns with a spread of 0 to {MOST_CV:g}", "correct it",
                f"times({name!r})", (mean_ns, cv),
            )  # fmt: skip
        if cv == 0:
            return itertools.repeat(round(mean_ns))
        draws = self._vm.plan.draws
        stream = draws.stream(f"t_actor_{self._actor.kind}_{name}", self._who, Gamma(mean_ns, cv))
        return (max(stream.at(number), 1) for number in itertools.count())
