"""Times of accesses without faults."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmusim.kvm.bench import Ints, Rng, Sink, bench, firsts


def hits(rng: Rng, sink: Sink, mib: int) -> None:
    """Accesses without faults: by mapping, order, footprint; alone and between faults.

    Before each pass the guest goes once through all of its memory, as after populating it. What a
    cache still holds of that is part of a hit's time.
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
            b.get()
            write = rng.random(len(gfns)) < 0.3
            ns = b.touch(gfns, write)
            sink.add(f"hit/4K/{order}/{mib}/beside/read", thin(ns[~write]))
            sink.add(f"hit/4K/{order}/{mib}/alone/read", thin(b.touch(gfns, False)))


def thin(ns: NDArray[np.float64], most: int = 3000) -> NDArray[np.float64]:
    """Keep every k-th sample, so that a file stays small."""
    return ns[:: max(1, len(ns) // most)]
