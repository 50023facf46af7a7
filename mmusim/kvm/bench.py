"""A small VM for measurements: vCPUs, times in nanoseconds, samples by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmusim.base.units import BYTES, PAGES_PER_REGION
from mmusim.kvm.stats_fd import Statistics
from mmusim.kvm.vcpu import Timed, Vcpu
from mmusim.kvm.vm import Vm

MIB: Final = BYTES["MiB"]
Ints = NDArray[np.int64]
Rng = np.random.Generator


class Sink(Protocol):
    """Takes samples by name."""

    def add(self, name: str, values: ArrayLike) -> None:
        """Take what one replicate measured."""


class Bench:
    """A VM with vCPUs, times in nanoseconds."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu], processors: list[int]) -> None:
        self.vm, self.vcpus, self.v, self.processors = vm, vcpus, vcpus[0], processors
        self.ghz = self.v.tsc_khz() / 1e6
        self.statistics = Statistics(self.v.fd)
        self.bits = vm.bitmap()
        for v in vcpus:
            v.touch_own()
            v.clock(64)

    def ns(self, run: Timed) -> NDArray[np.float64]:
        """Return the latencies of a run."""
        return run.cycles / self.ghz

    def touch(self, gfns: Ints, write: bool | NDArray[np.bool_]) -> NDArray[np.float64]:
        """Touch pages in order, timed."""
        return self.ns(self.v.access(gfns, np.broadcast_to(write, gfns.shape)))

    def quietly(self, gfns: Ints, write: bool) -> None:
        """Touch pages in order, only to change the tables."""
        self.v.access(gfns, np.broadcast_to(write, gfns.shape), timed=False)

    def faults(self, sink: Sink, kind: str, gfns: Ints, write: bool) -> None:
        """Touch pages that will fault; name the samples by the way in which the fault was fixed."""
        before = self.statistics.read()
        ns = self.touch(gfns, write)
        now = self.statistics.read()
        taken = now.get("pf_taken", 0) - before.get("pf_taken", 0)
        fast = now.get("pf_fast", 0) - before.get("pf_fast", 0)
        how = "none" if taken < len(gfns) / 2 else "fast" if fast > len(gfns) / 2 else "slow"
        sink.add(f"fault/{how}/{kind}", ns)

    def get(self) -> int:
        """Read the log and let the kernel re-arm it."""
        return self.vm.get_dirty(self.bits)

    def arm(self, rng: Rng, count: int) -> Ints:
        """Switch logging on and map `count` pages by 4 KiB; return them, clean and re-armed.

        Their 2 MiB regions were mapped large before, and no bit of the log is set afterwards.
        """
        pages = self.vm.pages
        self.quietly(firsts(pages), True)
        self.vm.log(True)
        self.get()
        mapped = others(rng, pages, count)
        self.quietly(firsts(pages), True)
        self.quietly(mapped, True)
        self.get()
        return mapped

    def pin(self, number: int) -> None:
        """Pin this thread where a live run pins the thread of vCPU `number`; -1: the host's."""
        at = 0 if number < 0 else -1 - number % len(self.processors)
        os.sched_setaffinity(0, {self.processors[at]})


@contextmanager
def bench(
    mib: int, *, vcpus: int = 1, huge: bool = True, manual: int = 0, ring_bytes: int = 0
) -> Iterator[Bench]:
    """Yield a VM of `mib` MiB with its vCPUs, pinned as in a live run."""
    pages = mib * MIB // 4096
    allowed = os.sched_getaffinity(0)
    with Vm(
        mib * MIB, max(pages, 1 << 15), vcpus=vcpus, huge=huge, manual=manual,
        ring_bytes=ring_bytes,
    ) as vm:  # fmt: skip
        made = [Vcpu(vm, number) for number in range(vcpus)]
        try:
            it = Bench(vm, made, sorted(allowed))
            it.pin(0)
            yield it
            it.statistics.close()
        finally:
            os.sched_setaffinity(0, allowed)
            for v in made:
                v.close()


def firsts(pages: int) -> Ints:
    """Return the first page of every 2 MiB region."""
    return np.arange(0, pages, PAGES_PER_REGION)


def others(rng: Rng, pages: int, count: int) -> Ints:
    """Return distinct pages that are first in no region, in random order."""
    gfns = rng.permutation(pages)
    return gfns[gfns % PAGES_PER_REGION > 0][:count]
