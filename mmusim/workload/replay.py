"""Replay of a recorded program, page by page."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmusim.base.errors import ConfigError
from mmusim.base.quantities import Strict, Time, shown
from mmusim.base.units import PAGE, show_bytes
from mmusim.workload.base import Accesses, Uniforms
from mmusim.workload.trace_file import PageTrace, read_trace

MOST_NS: Final = 100 * 365 * 86_400 * 10**9
"""Within 63 bits, with room for the rest of a run."""


class Replay(Strict):
    """Every vCPU replays a recorded trace on its own pages, as a separate program.

    Record r of the trace is access r. The guest works `instruction_time` for each instruction
    between two records: think time, in whole nanoseconds whose sum is exact. A trace that is
    shorter than `records` starts again.
    """

    pattern: Annotated[Literal["replay"], shown("replay")]
    """Name of the access pattern."""
    trace: Annotated[str, shown("traces/redis.trace.xz")]
    """Trace file. Its path is relative to the file that names it."""
    records: Annotated[int, Field(ge=0, le=1 << 27), shown(100000, "records")] = 0
    """Number of records. A longer trace is cut, a shorter one starts again. 0 means the whole
    trace, once.
    """
    instruction_time: Annotated[Time, Field(le=1e6), shown("0.5ns")] = 0.5
    """Guest time per instruction. 0.5 ns is one instruction per cycle at 2 GHz."""
    order: Annotated[Literal["first-touch", "address"], shown("address")] = "first-touch"
    """Which page of the vCPU stands for which page of the program: in the order of first touches,
    as a guest kernel hands out free memory, or of addresses.
    """
    start: Annotated[Literal["beginning", "random"], shown("random")] = "beginning"
    """Where in the trace a vCPU starts. `random` draws the record per seed and vCPU."""

    def length(self, pages: int) -> int:
        """Return the records asked for, or as many as the trace has."""
        del pages
        return self.records or len(read_trace(self.trace).page)

    def fit(self, source: str, key: str, pages: int) -> None:
        """Check that the trace can be read and that `pages` pages hold it.

        Raises
        ------
        ConfigError
            If not.
        """
        trace = read_trace(self.trace)
        footprint, rounds = trace.footprint, self.length(pages) // len(trace.page) + 2
        if rounds * trace.instructions * max(self.instruction_time, 1.0) > MOST_NS:
            raise ConfigError.of(
                source, key, self.trace, "takes more than a hundred years in all",
                "lower records or instruction_time",
            )  # fmt: skip
        if footprint > pages:
            raise ConfigError.of(
                source, key, self.trace,
                f"touches {footprint} pages and leaves the {pages} of a vCPU",
                f"give each vCPU at least {show_bytes(footprint * PAGE)}: raise vm.memory or lower "
                "vm.vcpus",
            )  # fmt: skip

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the trace on the pages from `base_gfn`."""
        trace, count = read_trace(self.trace), self.length(pages)
        records = len(trace.page)
        begin = int(uniforms("start", 0, 1)[0] * records) if self.start == "random" else 0
        rounds, record = np.divmod(np.arange(begin, begin + count), records)
        at = rounds * trace.instructions + trace.at[record]
        before = int(trace.at[begin - 1]) if begin else 0
        work = np.floor((at - before) * self.instruction_time).astype(np.int64)
        place = first_touch(trace) if self.order == "first-touch" else trace.page
        page = place[record]
        return Accesses(base_gfn + page, trace.write[record], think=np.diff(work, prepend=0))


@lru_cache(maxsize=4)
def first_touch(trace: PageTrace) -> NDArray[np.int64]:
    """Return, shape (records,), the place of each record's page in the order of first touches."""
    _, first, page = np.unique(trace.page, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[page]
