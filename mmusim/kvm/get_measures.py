"""Times of reads of the log, by dirty words of the bitmap and beside a vCPU that faults."""

from __future__ import annotations

import threading
import time
from typing import Final

import numpy as np

from mmusim.kvm.bench import Bench, Ints, Rng, Sink, bench, firsts
from mmusim.kvm.vcpu import Timed

WORD: Final = 64
"""Pages in a word of the bitmap."""
WORDS: Final = (16, 64)
DENSITIES: Final = (1, 4, 16, 64)
"""Dirty pages in a dirty word."""
BLOCK: Final = 4096
"""Pages that are mapped by 4 KiB and among which the dirty ones are."""


def words(rng: Rng, sink: Sink) -> None:
    """Gets that find so many words with so many dirty pages each.

    A row: pages of the slot, dirty pages, words with dirty pages, ns.
    """
    with bench(64) as b:
        pages, vm = b.vm.pages, b.vm
        b.quietly(firsts(pages), True)
        vm.log(True)
        b.get()
        start = int(rng.integers(0, (pages - BLOCK) // 512 + 1)) * 512
        b.quietly(np.arange(start, start + BLOCK), True)
        b.get()
        rows: list[list[int]] = []
        patterns = [(count, density) for count in WORDS for density in DENSITIES]
        for count, density in rng.permutation([*patterns, (0, 0)]).tolist():
            at = rng.permutation(BLOCK // WORD)[:count] * WORD + start
            each = [word + rng.permutation(WORD)[:density] for word in at.tolist()]
            if each:
                b.quietly(rng.permutation(np.concatenate(each)), True)
            ns = b.get()
            dirty = int(np.bitwise_count(b.bits).sum())
            rows.append([pages, dirty, int(np.count_nonzero(b.bits)), ns])
        sink.add("log/get-words", rows)


def in_flight(rng: Rng, sink: Sink) -> None:
    """Gets beside a vCPU that does nothing but fault, and what its slowest access took.

    Most of these kicks find the vCPU on its way out of the guest or into it.
    A row: dirty pages, words with dirty pages, ns of the get, ns of the slowest access beside it,
    median ns of the accesses.
    """
    with bench(32, vcpus=1) as b:
        mapped = b.arm(rng, 1000)
        rows, starts = [], []
        for _ in range(12):
            found: list[Timed] = []
            runner = threading.Thread(
                target=lambda into=found: into.append(_fault(b, mapped)), daemon=True
            )
            b.pin(-1)
            runner.start()
            time.sleep(0.001 + 0.008 * float(rng.random()))
            ns = b.get()
            dirty, dirty_words = int(np.bitwise_count(b.bits).sum()), np.count_nonzero(b.bits)
            runner.join()
            took = b.ns(found.pop())
            at = int(took.argmax())
            rows.append([dirty, dirty_words, ns, took[at], float(np.median(took))])
            starts.append(took[max(0, at - 2) : at + 3])
            b.get()
        sink.add("flush/in-flight", rows)
        sink.add("flush/in-flight-near", np.concatenate(starts))


def _fault(b: Bench, gfns: Ints) -> Timed:
    b.pin(0)
    return b.v.access(gfns, np.ones(len(gfns), np.bool_))
