"""Facts of a measured host profile beyond its costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from mmusim.base.quantities import Count, Share, Size, Strict, Time, shown
from mmusim.base.units import PAGE
from mmusim.config.cost import CostSpec, distribution
from mmusim.costs.hits import HitCurve, Measured

Level = Annotated[float, Field(gt=0, le=100)]
Pair = Annotated[list[Level], Field(min_length=2, max_length=2)]
Order = Literal["sequential", "random"]
LEVELLED: Final = ("c_fault_slow", "c_fault_fast", "c_lock_section", "c_exit", "c_entry")
"""Costs that take longer on some virtual machines of a host, and at some times, than on others."""


class Certainty(Strict):
    """How sure a measured cost is."""

    low: Time
    high: Time
    """A 95 % interval of the median, or of the constant or slope."""
    samples: Count
    replicates: Count
    """The unit of replication: new virtual machines, in random order."""


class Interference(Strict):
    """Something that the host does on the processor of every vCPU: ticks, other tasks."""

    every: Annotated[CostSpec, shown("4ms")]
    """Time from one interruption to the next. A constant is a tick; a gamma with cv = 1 is a
    Poisson process.
    """
    lasts: Annotated[CostSpec, shown("20us")]
    """How long the vCPU does not run."""

    @field_validator("every")
    @classmethod
    def _rare(cls, every: Any) -> Any:
        if distribution(every).mean() < 1000:
            raise ValueError('must be 1us or more on average; write e.g. "4ms"')
        return every


def load_of(interference: Iterable[Interference]) -> float:
    """Return the mean share of a processor's time that interference takes."""
    each = ((distribution(one.lasts), distribution(one.every)) for one in interference)
    return sum(lasts.mean() / every.mean() for lasts, every in each)


class Hits(Strict):
    """Times of accesses without faults, for one order and footprint."""

    order: Order
    memory: Size
    """Of one vCPU."""
    t_hit_2M: CostSpec  # noqa: N815 - as the cost is called
    t_walk_4K: CostSpec  # noqa: N815
    writes: Annotated[Share, shown("5%")] = 0.0
    """Of a curve: share of accesses that wrote, of which the first to each page exited."""
    exits: Annotated[Share, shown("4.5%")] = 0.0
    """Of a curve: share of accesses that exited while it was measured."""
    first: bool = False
    """Of a curve: each access was the first to its page since the guest went through all memory."""


class Curve(Strict):
    """Times of accesses without faults by the pages in use, apart from what exits displace."""

    displaces: Annotated[float, Field(ge=0, le=1000), shown(12.0, "touches of a page")]
    """Touches of pages that displace as much from caches and TLBs as one exit does."""
    low: Annotated[float, Field(ge=0, le=1000), shown(8.0, "touches of a page")] = 0.0
    high: Annotated[float, Field(ge=0, le=1000), shown(16.0, "touches of a page")] = 1000.0
    """A 95 % interval of it."""
    tables: Annotated[list[Hits], Field(min_length=1, max_length=256)]
    """Each order over some footprints, measured without exits, and with some where `writes` says
    so.
    """

    def of(self, order: str) -> HitCurve | None:
        """Return the curve of an order; None if it was not measured."""
        return self._of(order, first=False)

    def _of(self, order: str, *, first: bool) -> HitCurve | None:
        series: dict[float, list[Hits]] = {}
        for table in sorted(self.tables, key=lambda t: (t.writes, t.memory)):
            if (table.order, table.first) == (order, first) and table.memory >= PAGE:
                series.setdefault(table.writes, []).append(table)
        if 0.0 not in series:
            return None
        without, *with_exits = [_measured(tables) for tables in series.values()]
        return HitCurve(
            without.pages, without.large, without.walk, self.displaces, tuple(with_exits),
            None if first else self._of(order, first=True),
        )  # fmt: skip


def _measured(tables: list[Hits]) -> Measured:
    """Return tables of one share of writes as the model has them, one for each size."""
    by_size = {t.memory: t for t in tables}
    return Measured(
        tuple(size // PAGE for size in by_size),
        tuple(t.exits for t in by_size.values()),
        tuple(distribution(t.t_hit_2M) for t in by_size.values()),
        tuple(distribution(t.t_walk_4K) for t in by_size.values()),
    )


class Load(Strict):
    """Other load of the machine during the measurement."""

    seconds: float
    other_processors: float
    """Processors' worth of other tasks."""
    steal_processors: float
    """Processors that the hypervisor below took, on average."""
    runnable_tasks: int


class Measurement(Strict):
    """Where, when and how a profile was measured."""

    date: str
    kernel: str
    processor: str
    processors: Count
    modules: list[str]
    mmu: str
    parameters: dict[str, str]
    """Of the module kvm."""
    load: Load
    warning: str = ""
    """The load that was too high, with the number; empty if there was none."""
    clock: Time
    """Time of reading the clock in each measured latency. Costs do not contain it."""
    loop: Time
    """Time of the measuring guest between two accesses. Costs do not contain it."""
    late: Time
    """How much longer than requested the host thread sleeps."""
    samples: str = ""
    """File with the raw samples, beside the profile."""
    hits: Annotated[list[Hits], Field(default_factory=list)]
    levels: Annotated[list[Level], Field(default_factory=list, max_length=256)]
    """What faults took on the virtual machines that were measured, by the median one. A run has one
    of these levels, by its seed; tables of costs are those of the median machine.
    """
    together: Annotated[list[Pair], Field(default_factory=list, max_length=256)]
    """The same of two vCPUs that faulted side by side, for each virtual machine that was measured
    with two, by the median one with one vCPU. A run with more vCPUs than one has levels from here:
    every two of its vCPUs have those of one of these machines, by its seed.
    """
    curve: Curve | None = None
    """What hits take by pages in use and by exits; it counts in the place of `hits`."""


def hits_for(hits: list[Hits], order: str, memory: int) -> Hits | None:
    """Return the table of an order with the nearest footprint, by ratio; None without tables."""
    near = [table for table in hits if table.order == order]
    if not near:
        return None

    def apart(table: Hits) -> float:
        return max(table.memory / memory, memory / table.memory)

    return min(near, key=apart)
