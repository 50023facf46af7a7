"""The measurements of `mmusim probe`, one function each: a small VM, a few hundred ms, named
samples.

A measurement takes a random generator and a place for samples. The preparation decides which fault
an access takes. The VM's statistics say whether the kernel fixed it without ``mmu_lock``. Sequences
are those of the cost tables of the domain reference (H.1-H.3).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import PAGES_PER_REGION
from mmusim.kvm.bench import Bench, Ints, Rng, Sink, bench, firsts, others
from mmusim.kvm.get_measures import in_flight, words
from mmusim.kvm.hit_measures import curve, hits
from mmusim.kvm.vcpu import Timed, Vcpu

SLEEP_NS: Final = 2_000_000
FOOTPRINTS: Final = (24, 96, 384)
"""MiB that a guest reads at random or in sequence: from the size of a cache to far more."""

CURVE: Final = (4, 8, 16, 32, 64, 128, 256, 512)
"""MiB over which hits are measured by pages in use."""


Measure = Callable[[Rng, Sink], None]


def clocks(rng: Rng, sink: Sink) -> None:
    """Timer, loop, exits that end in the kernel and in user space."""
    del rng
    with bench(2) as b:
        run = b.v.clock(1 << 13)
        starts = run.starts.astype(np.int64)
        sink.add("clock", b.ns(run))
        sink.add("loop", np.diff(starts) / b.ghz - b.ns(run)[:-1])
        sink.add("cpuid", b.ns(b.v.ask(400)))
        sink.add("user-exit", [b.v.clock(1).wall_ns for _ in range(100)])
        late = []
        for _ in range(20):
            began = time.perf_counter_ns()
            time.sleep(SLEEP_NS / 1e9)
            late.append(max(0, time.perf_counter_ns() - began - SLEEP_NS))
        sink.add("sleep-late", late)


def interruptions(rng: Rng, sink: Sink) -> None:
    """The host's interference with a guest that never faults: a long run of hits."""
    del rng
    with bench(2) as b:
        lasts: list[NDArray[np.float64]] = []
        exposure = 0.0
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            run = b.v.clock(1 << 15)
            starts = run.starts.astype(np.int64) / b.ghz
            between = np.diff(starts)
            lasts.append(between[between > 1000] - np.median(between))
            exposure += starts[-1] - starts[0]
        sink.add("interruption/lasts", np.concatenate(lasts))
        sink.add("interruption/exposure", [exposure])


def faults_2m(rng: Rng, sink: Sink) -> None:
    """Every kind of fault of a slot that the host backs by 2 MiB pages."""
    with bench(64) as b:
        pages, vm = b.vm.pages, b.vm
        b.faults(sink, "populate-2M-read", firsts(pages), False)
        b.faults(sink, "populate-2M-write", firsts(pages), True)
        sink.add("log/enable", [[pages, 0, pages // 512, vm.log(True)]])
        b.faults(sink, "write-read-only-2M", firsts(pages), True)
        some = others(rng, pages, 1600)
        b.faults(sink, "read-after-drop", some[:800], False)
        b.faults(sink, "write-after-drop", some[800:], True)
        sink.add("log/get", [[pages, len(some) + len(firsts(pages)), b.get()]])
        b.faults(sink, "write-protected-4K", some, True)
        b.get()
        b.faults(sink, "write-protected-4K", some, True)
        mapped = len(some) + len(firsts(pages))
        sink.add("log/disable", [[pages, mapped, vm.log(False)]])
        b.quietly(firsts(pages), True)
        sink.add("log/recreate", [[pages, pages // 512, vm.recreate(logging=True)]])
        b.v.touch_own()
        b.v.clock(64)
        b.faults(sink, "first-of-region", firsts(pages), True)
        b.faults(sink, "write-after-recreate", some[:200], True)


def faults_4k(rng: Rng, sink: Sink) -> None:
    """Faults of a slot that the host backs by 4 KiB pages."""
    with bench(16, huge=False) as b:
        pages = b.vm.pages
        b.quietly(firsts(pages), True)  # this moves every region to its table
        apart = np.arange(8, pages, 8)
        apart = rng.permutation(apart[apart % PAGES_PER_REGION > 0])[:400]
        b.faults(sink, "populate-4K", apart, True)


def log_operations(rng: Rng, sink: Sink, mib: int) -> None:
    """Get, enable and disable for several numbers of dirty pages and the sizes of FOOTPRINTS."""
    with bench(mib) as b:
        pages, vm = b.vm.pages, b.vm
        b.quietly(firsts(pages), True)
        sink.add("log/enable", [[pages, 0, pages // 512, vm.log(True)]])
        b.get()
        mapped = others(rng, pages, 3000)
        b.quietly(firsts(pages), True)
        b.quietly(mapped, True)
        rows = [[pages, len(mapped) + pages // 512, b.get()]]
        for count in rng.permutation([0, 0, 0, 200, 600, 1400]).tolist():
            if count:
                b.quietly(mapped[:count], True)
            rows.append([pages, count, b.get()])
        sink.add("log/get", rows)
        all_mapped = len(mapped) + pages // 512
        sink.add("log/disable", [[pages, all_mapped, vm.log(False)]])
        b.quietly(firsts(pages), True)
        sink.add("log/recreate", [[pages, pages // 512, vm.recreate(logging=False)]])


def clears(rng: Rng, sink: Sink, mib: int) -> None:
    """Manual protect: a get that only copies, and clears of chunks with and without dirty pages."""
    with bench(mib, manual=1) as b:
        pages, vm = b.vm.pages, b.vm
        b.quietly(firsts(pages), True)
        vm.log(True)
        b.quietly(firsts(pages), True)
        mapped = others(rng, pages, 2400)
        b.quietly(mapped, True)
        sink.add("log/get-only", [[pages, len(mapped) + pages // 512, b.get()]])
        for chunk in (64 * 512, 4096, 512):
            if chunk > pages:
                continue
            b.get()
            bits = b.bits.copy()
            rows = []
            for first in range(0, pages, chunk):
                dirty = int(np.bitwise_count(bits[first // 64 : (first + chunk) // 64]).sum())
                size = min(chunk, pages - first)
                rows.append([size, dirty, vm.clear_dirty(bits, first, size)])
            sink.add("log/clear", rows)
            b.quietly(mapped[:600], True)


def flushes(rng: Rng, sink: Sink) -> None:
    """Gets that flush while another vCPU runs in the guest and never faults."""
    with bench(32) as b:
        mapped = b.arm(rng, 64)
        idle, beside, hit = [], [], []
        b.pin(-1)
        for _ in range(12):
            b.quietly(mapped, True)
            idle.append(b.get())
        runs: list[Timed] = []
        for _ in range(12):
            b.quietly(mapped, True)
            runner = threading.Thread(target=lambda: runs.append(_spin(b)), daemon=True)
            runner.start()
            time.sleep(0.004)
            beside.append(b.get())
            runner.join()
            starts = runs.pop().starts.astype(np.int64) / b.ghz
            hit.append(float(np.diff(starts).max()))
        sink.add("flush/idle", idle)
        sink.add("flush/beside", beside)
        sink.add("flush/target", hit)


def _spin(b: Bench) -> Timed:
    b.pin(0)
    return b.v.clock(1 << 15, think=round(300 * b.ghz))


def contention(rng: Rng, sink: Sink) -> None:
    """The same faults by one vCPU alone and by two at a time, each on its own pages."""
    with bench(64, vcpus=2) as b:
        pages, vm = b.vm.pages, b.vm
        b.quietly(firsts(pages), True)
        vm.log(True)
        mine = others(rng, pages, 2400)
        b.quietly(firsts(pages), True)
        b.quietly(mine, True)
        b.get()
        one, two = mine[:1200], mine[1200:]
        sink.add("contention/alone", b.touch(one, True))
        b.get()
        ready = threading.Barrier(2)
        found: dict[int, Timed] = {}

        def work(v: Vcpu, gfns: Ints) -> None:
            b.pin(v.number)
            ready.wait()
            found[v.number] = v.access(gfns, np.ones(len(gfns), np.bool_))

        threads = [
            threading.Thread(target=work, args=pair, daemon=True)
            for pair in zip(b.vcpus, (one, two), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first = max(int(run.starts[0]) for run in found.values())
        last = min(int(run.starts[-1]) for run in found.values())
        for run in found.values():
            both = (run.starts >= first) & (run.starts < last)
            sink.add("contention/both", run.cycles[both] / b.ghz)


def rings(rng: Rng, sink: Sink) -> None:
    """Exits because a dirty ring is full; harvest and reset of scattered and of dense entries."""
    with bench(32, ring_bytes=16384) as b:
        pages, vm = b.vm.pages, b.vm
        b.quietly(firsts(pages), True)
        vm.log(True)

        reaped: list[int] = []

        def reap() -> tuple[int, int, int]:
            began = time.perf_counter_ns()
            count = b.v.harvest()
            harvested = time.perf_counter_ns() - began
            return count, harvested, vm.reset_rings()

        def full() -> None:
            began = time.perf_counter_ns()
            reap()
            reaped.append(time.perf_counter_ns() - began)

        rows: list[list[float]] = []
        for dense in rng.permutation([0, 1, 0, 1]).tolist():
            start = int(rng.integers(1, pages // 512 - 2)) * 512
            for count in (16, 200, 400):
                gfns = np.arange(start, start + count) if dense else others(rng, pages, count)
                b.v.access(gfns, np.ones(count, np.bool_), when_full=full)
                done, harvested, reset = reap()
                masks = -(-count // 64) if dense else count
                rows.append([done, masks, harvested, reset])
        sink.add("ring/reap", rows)
        reaped.clear()
        gfns = others(rng, pages, 2500)
        run = b.v.access(gfns, np.ones(len(gfns), np.bool_), when_full=full)
        sink.add("ring/exit", b.ns(run)[list(run.fulls)] - np.array(reaped))


def _sizes(
    name: str, measure: Callable[..., None], count: int, sizes: tuple[int, ...] = FOOTPRINTS
) -> dict[str, tuple[Measure, int]]:
    """Return a measure at every footprint."""
    return {f"{name}, {mib} MiB": (partial(measure, mib=mib), count) for mib in sizes}


Schedule = dict[str, tuple[Measure, int]]

MEASURES: Final[Schedule] = {
    "clocks": (clocks, 12), "interruptions": (interruptions, 20), "faults, 2 MiB": (faults_2m, 50),
    "faults, 4 KiB": (faults_4k, 10), "flushes": (flushes, 12), "contention": (contention, 20),
    "gets by words": (words, 16), "gets beside faults": (in_flight, 16),
    "rings": (rings, 12), **_sizes("log operations", log_operations, 15),
    **_sizes("clears", clears, 6), **_sizes("hits", hits, 12),
    **_sizes("hits by pages", curve, 4, CURVE),
}  # fmt: skip
"""A measurement, and its number of repetitions if time permits."""
