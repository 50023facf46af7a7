"""``mmusim bench``: the speed of the engines beside plain loops, in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import simpy
import typer

from mmusim.cli.shared import bench_history, lock_model
from mmusim.cli.shared.bench_extras import costs_of_extras
from mmusim.cli.shared.bench_scale import scale as scaling
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.config.settings import settings_of
from mmusim.engine.choice import COMPILED, SIMPY, prepare, resolve
from mmusim.engine.simulate import Simulation
from mmusim.plan.make import make_plan

ROUNDS = 5
FAULTS = 32_768
PASSES = 40
CONTENDED = (16, 64, 256)  # vCPUs that fault all the time
PAIRS = 11
LOADED = (1, 16, 64)  # vCPUs whose faults are timed with more around them
SIZE: Final = {SIMPY: 1, COMPILED: 16}
"""Factor of the work of a faster engine, so that set-up does not dominate the measurement."""


class Work(NamedTuple):
    """A timed piece of work: the number of its operations, and their time in seconds."""

    what: str
    by: str
    measure: Callable[[], float]  # operations per second


def bench(
    scale: Annotated[
        bool, typer.Option("--scale", help="Measure how the cost of a run grows with its size.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="With --scale: the .svg, .png or .pdf file to write.", show_default=False
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="With --scale: auto, simpy or compiled [auto].", show_default=False),
    ] = None,
    faults: Annotated[
        int | None,
        typer.Option(
            min=1 << 13,
            max=1 << 26,
            help="With --scale: largest number of faults [4,194,304].",
            show_default=False,
        ),
    ] = None,
    append: Annotated[
        Path | None,
        typer.Option(
            help="Add the ratios to this history, which bench-history draws.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the engines' speed beside plain loops in Python and C, in one run."""
    if scale:
        refuse_ignored("bench", "with --scale", {"--append": append})
        scaling(to, engine or "auto", faults or 1 << 22, as_json)
        return
    refuse_ignored("bench", "without --scale", {"--to": to, "--engine": engine, "--faults": faults})
    everything = list(works())
    rates: list[list[float]] = [[] for _ in everything]
    for _ in range(ROUNDS):
        for work, rate in zip(everything, rates, strict=True):
            rate.append(work.measure())
    found = {(w.what, w.by): statistics.median(r) for w, r in zip(everything, rates, strict=True)}
    rows = [
        {
            "work": work.what,
            "by": work.by,
            "median_per_second": round(statistics.median(rate)),
            "slowest": round(min(rate)),
            "fastest": round(max(rate)),
            "ns_each": 1e9 / statistics.median(rate),
            "relative_to_SimPy": _ratio(found, work),
        }
        for work, rate in zip(everything, rates, strict=True)
    ]
    if append is not None:
        bench_history.append(append, rows)
    engine = resolve()
    costs = costs_of_extras(partial(_contended, engine), LOADED, engine, PAIRS)
    table(f"Medians of {ROUNDS} interleaved rounds", rows, as_json, extras=costs)
    if not as_json:
        table("A slow fault with more around it, processor time", costs, as_json=False)


def _ratio(found: dict[tuple[str, str], float], work: Work) -> float:
    """How much faster it is than the SimPy engine at the same work, or bare SimPy at events."""
    same = found.get((work.what, "SimPy engine"))
    return found[work.what, work.by] / (same or found[EVENTS, "bare SimPy"])


EVENTS: Final = "events"


def works() -> Iterator[Work]:
    """Yield the pieces of work."""
    yield Work(EVENTS, "bare SimPy", _timeouts)
    yield Work(EVENTS, "Python heap, a lock", lambda: _lock(lock_model.in_python, 300))
    in_c = lock_model.in_c()
    if in_c is not None:
        yield Work(EVENTS, "C loop, a lock", lambda: _lock(in_c, 30_000))
    engines = [SIMPY, COMPILED] if resolve() == COMPILED else [SIMPY]
    for engine in engines:
        prepare(engine)
        by = {SIMPY: "SimPy engine", COMPILED: "compiled engine"}[engine]
        if engine == COMPILED:
            yield Work(EVENTS, by, _events)
        yield Work("slow faults, uncontended", by, _faults(engine, 1))
        for vcpus in CONTENDED:
            yield Work(f"slow faults, {vcpus} vCPUs at mmu_lock", by, _faults(engine, vcpus))
        yield Work("writes that hit, 4 KiB", by, _hits(engine, _plan))
        yield Work("reads that hit, 2 MiB", by, _hits(engine, _large))


def _lock(run: Callable[[int], int], cycles: int) -> float:
    started = time.perf_counter()
    run(cycles)
    return lock_model.events(cycles) / (time.perf_counter() - started)


def _timeouts(count: int = 200_000) -> float:
    def process(env: simpy.Environment) -> Iterator[simpy.Event]:
        for _ in range(count):
            yield env.timeout(1)

    env = simpy.Environment()
    env.process(process(env))  # type: ignore[arg-type]
    started = time.perf_counter()
    env.run()
    return count / (time.perf_counter() - started)


def _plan(
    passes: int,
    vcpus: int = 1,
    regions: int = 64,
    pages: str = "100%",
    more: dict[str, Any] | None = None,
) -> Any:
    """One slow fault a page, then passes of nothing but hits; so many 2 MiB regions a vCPU."""
    phases = [{"do": "enable-logging"}, *[{"do": "write", "pages": pages}] * passes]
    return _made(phases, vcpus, regions, more or {})


def _made(
    phases: list[dict[str, Any]], vcpus: int, regions: int, more: dict[str, Any] | None = None
) -> Any:
    data: dict[str, Any] = {
        "schema": 1, "id": "bench", "question": "how fast?",
        "vm": {"vcpus": vcpus, "memory": f"{2 * vcpus * regions}MiB"},
        "host": {"profile": "skylake-2021"},
        "driver": {"phases": phases},
        "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
    }  # fmt: skip
    for key, table_of in (more or {}).items():
        data[key] |= table_of
    (setting,) = settings_of(data, "bench", Path())
    return make_plan(setting, "eager-drop", 1)


def _large(passes: int) -> Any:
    """A slow fault a region, then passes of reads that go through 2 MiB mappings."""
    return _made([{"do": "write"}, *[{"do": "read"}] * (1 + passes)], 1, 64)


def _contended(engine: str, vcpus: int, more: dict[str, Any] | None = None) -> Any:
    """As many slow faults as one vCPU takes, by many at once."""
    faults = FAULTS * SIZE[engine]
    regions = max(1, faults // 512 // vcpus)
    share = f"{100 * faults / (vcpus * regions * 512):.15g}%"
    return _plan(1, vcpus, regions, share, more)


def _faults(engine: str, vcpus: int) -> Callable[[], float]:
    plan = _contended(engine, vcpus)

    def rate() -> float:
        started = time.perf_counter()
        trace = Simulation(plan, engine=engine).run()
        return trace.counters["pf_taken"] / (time.perf_counter() - started)

    return rate


def _events() -> float:
    """Events of compiled vCPUs at a contended lock: the lock model, with all that a fault is."""
    simulation = Simulation(_contended(COMPILED, lock_model.ACTORS), engine=COMPILED)
    started = time.perf_counter()
    simulation.run()
    return simulation.events() / (time.perf_counter() - started)


def _hits(engine: str, plan: Callable[[int], Any]) -> Callable[[], float]:
    """Rate of hits alone, without the time of the first pass, which faults."""
    passes = PASSES * SIZE[engine] // 2 if engine == COMPILED else PASSES
    many, one = plan(passes), plan(1)

    def rate() -> float:
        started = time.perf_counter()
        trace = Simulation(many, engine=engine).run()
        elapsed = time.perf_counter() - started
        started = time.perf_counter()
        Simulation(one, engine=engine).run()
        elapsed -= time.perf_counter() - started
        return sum(p.writes.count + p.reads.count for p in trace.phases[2:]) / elapsed

    return rate
