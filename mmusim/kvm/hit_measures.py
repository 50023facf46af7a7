"""Times of accesses without faults."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import PAGES_PER_REGION
from mmusim.kvm.bench import Bench, Ints, Rng, Sink, bench, firsts


def hits(rng: Rng, sink: Sink, mib: int) -> None:
    """Accesses without faults: by mapping, order, footprint; alone and between faults.

    Before each pass the guest goes once through all of its memory, as after populating it. What a
    cache still holds of that is part of a hit's time. Between faults, pages of LOST of the regions
    fault, whose large mapping is gone, and all other pages are read through theirs.
    """
    with bench(mib) as b:
        pages, vm = b.vm.pages, b.vm
        everything = np.arange(pages)

        def some(order: str) -> Ints:
            return rng.permutation(pages)[:6000] if order == "random" else everything[:6000]

        b.quietly(firsts(pages), True)
        for order in rng.permutation(["sequential", "random"]).tolist():
            for kind in ("read", "write"):
                b.quietly(everything, True)
                ns = b.touch(some(order), kind == "write")
                sink.add(f"hit/2M/{order}/{mib}/alone/{kind}", thin(ns))
        vm.log(True)
        b.quietly(firsts(pages), True)
        near = {order: some(order) for order in ("sequential", "random")}
        for gfns in near.values():
            b.quietly(gfns, True)
        for order in rng.permutation(["sequential", "random"]).tolist():
            gfns = near[order]
            for state in rng.permutation(list(SHARES)).tolist():
                b.get()
                write = rng.random(len(gfns)) < SHARES[state]
                ns = b.touch(gfns, write)
                sink.add(f"hit/4K/{order}/{mib}/{state}/read", thin(ns[~write]))
            sink.add(f"hit/4K/{order}/{mib}/alone/read", thin(b.touch(gfns, False)))
        vm.log(False)
        b.quietly(everything, True)
        vm.log(True)
        lost = rng.permutation(firsts(pages))[: round(LOST * len(firsts(pages)))]
        b.quietly(lost, True)
        gfns = some("random")
        ns = b.touch(gfns, False)
        hit = ~np.isin(gfns // PAGES_PER_REGION, lost // PAGES_PER_REGION)
        sink.add(f"hit/2M/random/{mib}/beside/read", thin(ns[hit]))
        few_exits(rng, sink, b, mib)


def few_exits(rng: Rng, sink: Sink, b: Bench, mib: int) -> None:
    """Reads through 2 MiB mappings, of which FEW fault: pages of one region that has lost its."""
    pages, vm = b.vm.pages, b.vm
    vm.log(False)
    b.quietly(np.arange(pages), True)
    vm.log(True)
    lost = int(rng.choice(firsts(pages)))
    b.quietly(np.array([lost]), True)
    inside = lost + 1 + rng.permutation(PAGES_PER_REGION - 1)
    outside = rng.permutation(pages)
    outside = outside[outside // PAGES_PER_REGION != lost // PAGES_PER_REGION][:6000]
    gfns = rng.permutation(np.concatenate([inside[: round(FEW * len(outside))], outside]))
    ns = b.touch(gfns, False)
    hit = gfns // PAGES_PER_REGION != lost // PAGES_PER_REGION
    sink.add(f"hit/2M/random/{mib}/few/read", thin(ns[hit]))


def curve(rng: Rng, sink: Sink, mib: int) -> None:
    """Reads by pages in use, as workloads draw them, and the same beside some faults.

    Pages are drawn with replacement. Twice as many untimed draws as there are pages come first, so
    that caches and TLBs hold what they do in the long run.
    """
    with bench(mib) as b:
        pages, vm = b.vm.pages, b.vm

        def draws(order: str, count: int) -> Ints:
            if order == "random":
                return rng.integers(0, pages, count)
            return (int(rng.integers(pages)) + np.arange(count)) % pages

        def reads(size: str) -> None:
            for order in rng.permutation(["sequential", "random"]).tolist():
                for _ in range(2):
                    b.quietly(draws(order, pages), False)
                ns = b.touch(draws(order, DRAWS), False)
                sink.add(f"hit/curve/{size}/{order}/{mib}", thin(ns))

        b.quietly(firsts(pages), True)
        reads("2M")
        vm.log(True)
        first = b.touch(firsts(pages), True)
        if float(np.median(first)) * pages > LONGEST_NS:  # too many faults to map all of it
            return
        b.quietly(np.arange(pages), True)
        reads("4K")
        for percent in rng.permutation(PERCENTS).tolist():
            b.get()
            gfns, write = draws("random", DRAWS), rng.random(DRAWS) < percent / 100
            ns = b.touch(gfns, write)
            faults = first_writes(gfns, write)
            sink.add(f"hit/mix/{mib}/{percent}", thin(ns[~faults]))
            sink.add(f"hit/exits/{mib}/{percent}", [[faults.sum(), DRAWS]])


LOST: Final = 0.3
"""Of the regions have lost their large mapping where hits through large ones are read."""
FEW: Final = 0.02
"""Of accesses fault where hits are read beside few exits."""
SHARES: Final = {"beside": 0.3, "few": FEW}
"""Of accesses write, and fault, where hits are read through 4 KiB mappings."""
DRAWS: Final = 20_000
PERCENTS: Final = (1, 5, 20)
"""Of accesses that write: each first write to a page after a get faults."""
LONGEST_NS: Final = 2e9
"""Time of the faults that map all pages at 4 KiB. Of more memory, only 2 MiB mappings are read."""


def first_writes(gfns: Ints, write: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which accesses are the first write to their page."""
    first = np.zeros(len(gfns), np.bool_)
    at = np.flatnonzero(write)
    first[at[np.unique(gfns[at], return_index=True)[1]]] = True
    return first


def thin(ns: NDArray[np.float64], most: int = 3000) -> NDArray[np.float64]:
    """Keep every k-th sample, so that a file stays small."""
    return ns[:: max(1, len(ns) // most)]
