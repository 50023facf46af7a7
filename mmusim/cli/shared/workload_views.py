"""The tables of ``mmusim workload list`` and ``show``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.units import NS, PAGE, parse_bytes, show_ns
from mmusim.config.workloads import PATTERNS, load_workload, workload_of
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.workload.base import Pattern
from mmusim.workload.rates import RatedPattern, is_rated
from mmusim.workload.replay import Replay
from mmusim.workload.trace_file import PageTrace, read_trace
from mmusim.workload.working_set import Ints, mean_working_set

STEP: Final = 4  # one window length over the one before
NS_PER_INSTRUCTION: Final = 0.5  # what replay takes unless told otherwise


class Use(NamedTuple):
    """The reads and writes of pages over time."""

    page: Ints
    write: NDArray[np.bool_]
    at: Ints
    span: int
    unit: str  # of time
    unit_ns: float  # 0: it has no length
    facts: dict[str, Any]


def working_sets(use: Use) -> tuple[dict[int, float], dict[int, float]]:
    """Return the writable and the whole working set by window length."""
    windows = [STEP**i for i in range(40) if STEP**i < use.span] + [use.span]
    least = use.facts.get("quantum", 1)  # within a quantum a trace does not tell
    windows = [window for window in windows if window >= least]
    w = use.write
    pairs = ((use.page[w], use.at[w]), (use.page, use.at))
    written, touched = (mean_working_set(p, at, use.span, windows).tolist() for p, at in pairs)
    return dict(zip(windows, written, strict=True)), dict(zip(windows, touched, strict=True))


def use_of(name: str, memory: str, seed: int) -> Use:
    if name in PATTERNS:
        return _of_pattern(workload_of({"pattern": name}, Path(), name), memory, seed)
    if name.endswith(".toml"):
        return _of_pattern(load_workload(Path(name)), memory, seed)
    if not Path(name).exists():
        raise ConfigError.of(
            "workload show", "NAME_OR_FILE", name, "is neither a pattern nor a file",
            nearest(name, PATTERNS),
        )  # fmt: skip
    trace = read_trace(name)
    return _of_trace(trace, dict(trace.facts))


def rated_of(name: str) -> Any:
    """Return a workload that is given by rates, by the name of a pattern or file; else None."""
    workload: Any = None
    if name in PATTERNS:
        workload = workload_of({"pattern": name}, Path(), name)
    elif name.endswith(".toml"):
        workload = load_workload(Path(name))
    return workload if is_rated(workload) else None


def dirty_rates(workload: RatedPattern, memory: str) -> list[dict[str, Any]]:
    """Return the pages that one vCPU dirties in windows of 1 ms to 1,000 s."""
    pages = _pages(memory)
    rule = workload.complaint(pages)
    if rule is not None:
        raise ConfigError.of(
            "workload show", "dirty_rate", None, rule, "give more --memory, or lower it"
        )
    rows = []
    for power in range(-3, 4):
        seconds = 10.0**power
        dirty = workload.dirty_after(pages, pages, seconds)
        rows.append(
            {
                "window": show_ns(seconds * NS["s"]),
                "dirty_pages": round(dirty, 1),
                "dirty_rate": f"{dirty * PAGE / seconds / 1e6:,.4g} MB/s",
            }
        )
    return rows


def _of_trace(trace: PageTrace, facts: dict[str, Any]) -> Use:
    return Use(
        trace.page, trace.write, trace.at, trace.instructions, "instructions", NS_PER_INSTRUCTION,
        {k: v for k, v in facts.items() if k not in ("footprint", "records") and v != ""},
    )  # fmt: skip


def _of_pattern(workload: Any, memory: str, seed: int) -> Use:
    facts = workload.model_dump(mode="json")
    if isinstance(workload, Replay):
        return _of_trace(read_trace(workload.trace), {**read_trace(workload.trace).facts, **facts})
    pages = _pages(memory)
    pattern: Pattern = workload
    draws = Draws(seed)
    made = pattern.accesses(0, pages, lambda p, first, n: uniforms(draws.key(f"{p}0", 0), first, n))
    count = len(made.gfn)
    return Use(made.gfn, made.write, np.arange(count), count, "accesses", 0, facts)


def _pages(memory: str) -> int:
    try:
        pages = parse_bytes(memory) // PAGE
        if pages < 1:
            raise ValueError('must be at least 4KiB; write e.g. "64MiB"')
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of("workload show", "--memory", memory, rule, remedy) from None
    return pages
