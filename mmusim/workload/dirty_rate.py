"""A dirty rate and a working set, as people who migrate guests know them."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Rate, Share, Strict, Time, shown
from mmusim.base.units import NS, PAGE, show_bytes
from mmusim.workload.base import Uniforms
from mmusim.workload.points import BLOCK, Law, Poisson
from mmusim.workload.rates import Rates
from mmusim.workload.zipf import Exponent

SINGLE_RANKS: Final = 64
"""Ranks of Zipf's law that have a rate of their own; behind them like ranks share one."""
DEFAULT: Final = 100_000_000
"""Dirty rate in bytes per second where nothing is said."""
LIKE: Final = 1.0625
"""Ranks whose ratio is at most this share a rate."""
MOST_PER_SECOND: Final = 1e6
"""Accesses of a page per second, at most."""
PerSecond = Annotated[float, Field(ge=0, le=MOST_PER_SECOND)]


class Class(NamedTuple):
    """Pages of like rates. `blocks` blocks of 64 pages; rates per page and second."""

    blocks: int
    writes: float
    reads: float


class Evenly(Strict):
    """Every page of the working set as often as every other."""

    kind: Annotated[Literal["uniform"], shown("uniform")]
    """The kind of spread."""

    def shares(self, blocks: int) -> list[tuple[int, float]]:
        """Return classes of a working set: blocks, and their share of the writes."""
        return [(blocks, 1.0)]


class HotFirst(Strict):
    """A share of the working set gets a larger share of the writes."""

    kind: Annotated[Literal["hot-cold"], shown("hot-cold")]
    """The kind of spread."""
    hot: Annotated[Share, Field(gt=0, lt=1), shown("10%")] = 0.1
    """Share of the working set that is hot."""
    hot_writes: Annotated[Share, Field(lt=1), shown("90%")] = 0.9
    """Share of the writes that go to the hot pages."""

    def shares(self, blocks: int) -> list[tuple[int, float]]:
        """Return classes of a working set: blocks, and their share of the writes."""
        hot = min(max(1, round(self.hot * blocks)), blocks)
        if hot == blocks:
            return [(blocks, 1.0)]
        return [(hot, self.hot_writes), (blocks - hot, 1 - self.hot_writes)]


class ByRankOfBlock(Strict):
    """Zipf's law over blocks of 64 neighbouring pages: the block of rank r as often as r^-s.

    The first 64 ranks have rates of their own. Behind them ranks whose ratio is at most 1.0625
    share the mean of their rates.
    """

    kind: Annotated[Literal["zipf"], shown("zipf")]
    """The kind of spread."""
    exponent: Annotated[Exponent, shown(0.99, "exponent")] = 0.99
    """Exponent of Zipf's law over the blocks."""

    def shares(self, blocks: int) -> list[tuple[int, float]]:
        """Return classes of a working set: blocks, and their share of the writes."""
        weight = np.arange(1, blocks + 1, dtype=float) ** -self.exponent
        weight /= weight.sum()
        starts, rank = list(range(min(SINGLE_RANKS, blocks))), SINGLE_RANKS
        while rank < blocks:
            starts.append(rank)
            rank = max(rank + 1, math.floor(rank * LIKE))
        sums = np.add.reduceat(weight, starts).tolist()
        return list(zip(np.diff([*starts, blocks]).tolist(), sums, strict=True))


Spread = Annotated[Evenly | HotFirst | ByRankOfBlock, Field(discriminator="kind")]
"""How the writes spread over the working set, by its kind and parameters."""


class PageClass(Strict):
    """Pages of like rates: one bar of a measured histogram."""

    share: Annotated[Share, Field(gt=0), shown("5%")]
    """Share of the memory that belongs to the class, in whole blocks of 64 pages."""
    writes: Annotated[PerSecond, shown(2.5, "writes per page and second")] = 0.0
    """Writes of each page in a second of guest time."""
    reads: Annotated[PerSecond, shown(10.0, "reads per page and second")] = 0.0
    """Reads of each page in a second of guest time."""


class DirtyRate(Strict):
    """Pages are written, and read, at random at given rates of guest time.

    The accesses of each page are a Poisson process. Guest time is the time that a vCPU spends in
    guest mode, so a vCPU that stalls, sleeps or is throttled dirties less. An access itself takes
    no time. Only accesses that change something cost simulation, so a long migration of a large
    guest is fast (docs/explanation/rates.md). Accesses that change nothing are in no histogram of
    latencies.

    `dirty_rate` is what QEMU's `calc-dirty-rate` measures: distinct pages written within `over`,
    per second, for the guest as a whole while it does not stall. A page of a uniform working set
    of N pages is then written -ln(1 - D over / N) / over times a second. `classes` gives the rates
    themselves.
    """

    pattern: Annotated[Literal["dirty-rate"], shown("dirty-rate")]
    """Name of the access pattern."""
    dirty_rate: Annotated[Rate | None, shown("100MB/s")] = None
    """Memory of the guest that becomes dirty per second, each page counted once within `over`.
    Without it and without `classes`, 100MB/s.
    """
    over: Annotated[Time, Field(ge=1e3, le=1e12), shown("1s")] = 1e9
    """Time over which the dirty rate was measured."""
    working_set: Annotated[Share, Field(gt=0), shown("25%")] = 1.0
    """Share of the memory that is written, in whole blocks of 64 pages."""
    spread: Annotated[Spread, shown({"kind": "hot-cold", "hot": "10%"})] = Evenly(kind="uniform")
    """How the writes spread over the working set, by `kind`: `uniform`, `hot-cold` or `zipf`."""
    reads: Annotated[PerSecond, shown(1.0, "reads per page and second")] = 0.0
    """Reads of each page of the memory in a second of guest time, with `dirty_rate`."""
    classes: Annotated[tuple[PageClass, ...], Field(max_length=1000, strict=False)] = Field(
        (), examples=[[{"share": "5%", "writes": 2.5}, {"share": "95%", "reads": 0.1}]]
    )
    """Classes of pages with their rates, as a histogram gives them, in the place of `dirty_rate`.
    What their shares leave is not accessed.
    """
    scattered: Annotated[bool, shown(False)] = True
    """Blocks of a class are scattered over the memory of the vCPU. If not, the classes follow each
    other in the order of addresses.
    """
    time: Annotated[Time, Field(ge=1e3, le=1e14), shown("2s")] = 1e9
    """Guest time of each vCPU in a phase `run`. A migration goes on until it ends by itself."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.dirty_rate is not None and self.classes:
            raise MisfitError(
                "dirty_rate", f"{show_bytes(self.dirty_rate)}/s", "and classes say the same thing",
                "write one of the two",
            )  # fmt: skip
        total = sum(one.share for one in self.classes)
        if total > 1 + 1e-9:
            raise MisfitError(
                "classes", f"{total:.6%}", "is more than all memory", "lower their shares",
            )  # fmt: skip
        return self

    def length(self, pages: int) -> int:
        """Return 1: accesses are not counted ahead."""
        del pages
        return 1

    @property
    def asked(self) -> int:
        """The dirty rate of the guest in bytes per second, where classes do not give the rates."""
        return DEFAULT if self.dirty_rate is None else self.dirty_rate

    def complaint(self, guest_pages: int) -> str | None:
        """Return why a guest of so many pages cannot have this rate, or None."""
        if self.classes:
            return None
        most = self.working_set * guest_pages * PAGE / (self.over / NS["s"])
        if self.asked < most * (1 - 1e-6):
            return None
        return (
            f"is not less than {show_bytes(round(most))}/s, at which the working set is dirty as a "
            "whole once in `over`"
        )

    def page_classes(self, pages: int, guest_pages: int) -> list[Class]:
        """Return the classes of a vCPU with `pages` pages, in a guest of `guest_pages`."""
        blocks = -(-pages // BLOCK)
        if self.classes:
            ends = np.cumsum([one.share for one in self.classes]) * blocks
            sizes = np.diff(np.minimum(np.rint(ends), blocks), prepend=0).astype(int).tolist()
            return [
                Class(size, one.writes, one.reads)
                for size, one in zip(sizes, self.classes, strict=True)
                if size
            ]
        written = max(1, round(self.working_set * blocks))
        shares = self.spread.shares(written)
        # A vCPU makes its part of the dirtying, by the size of its memory.
        dirty = self.asked / PAGE * (pages / guest_pages) * (self.over / NS["s"])
        writes = _writes_for(dirty, shares)
        seconds = self.over / NS["s"]
        found = [
            Class(n, writes * share / (n * BLOCK) / seconds, self.reads) for n, share in shares
        ]
        return found + ([Class(blocks - written, 0.0, self.reads)] if written < blocks else [])

    def rates(self, pages: int, guest_pages: int, uniforms: Uniforms) -> Rates:
        """Return the rates of a vCPU with `pages` pages, in a guest that has `guest_pages`."""
        blocks = -(-pages // BLOCK)
        classes = self.page_classes(pages, guest_pages)
        laws: dict[Law, int] = {}
        law = np.zeros((2, blocks), np.uint16)
        at = 0
        for one in classes:
            for kind, rate in enumerate((one.writes, one.reads)):
                if rate:
                    number = laws.setdefault(Poisson(rate / NS["s"]), len(laws) + 1)
                    law[kind, at : at + one.blocks] = number
            at += one.blocks
        if self.scattered:
            law = law[:, np.argsort(uniforms("block", 0, blocks), kind="stable")]
        kinds = 2 if law[1].any() else 1
        return Rates(tuple(laws), np.ascontiguousarray(law[:kinds]), round(self.time))

    def dirty_after(self, pages: int, guest_pages: int, seconds: float) -> float:
        """Return how many pages of a vCPU are written within so many seconds of guest time."""
        return sum(
            one.blocks * BLOCK * -math.expm1(-one.writes * seconds)
            for one in self.page_classes(pages, guest_pages)
        )


def _writes_for(dirty: float, shares: list[tuple[int, float]]) -> float:
    """Return how many writes make `dirty` pages dirty, by bisection of a growing function.

    `shares` are the blocks of each class and its share of the writes.
    """
    if dirty <= 0:
        return 0.0
    pages = np.array([n * BLOCK for n, _ in shares], float)
    share = np.array([share for _, share in shares], float)

    def made(writes: float) -> float:
        return float((pages * -np.expm1(-writes * share / pages)).sum())

    dirty = min(dirty, float(pages[share > 0].sum()) * (1 - 1e-9))
    low, high = dirty, 2 * dirty
    while made(high) < dirty:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if made(middle) < dirty else (low, middle)
    return high
