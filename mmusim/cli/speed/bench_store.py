"""``mmusim bench-store``: the overhead of a sweep, and the time to load results."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.config.settings import Setting, load_settings
from mmusim.execution.progress import ProgressReport
from mmusim.execution.workers import Job, processors, run_job
from mmusim.experiment.run import run_experiment
from mmusim.store import LEDGER, Key, Store
from mmusim.store.provenance import model_version
from mmusim.store.run_table import frame

ROUNDS: Final = 3
STORED: Final = 10_000
POLICY: Final = "eager-drop"
EXPERIMENT: Final = """
schema = 1
id = "bench-store"
question = "What does a sweep cost?"
[vm]
memory = "{memory}"
[host]
profile = "skylake-2021"
[policies]
baseline = "eager-drop"
compare = ["lazy-drop"]
[driver]
phases = [{{ do = "enable-logging" }}, {{ do = "write", pages = "{pages}" }}]
[replications]
seeds = {seeds}
"""
TINY_RUNS: Final = {"memory": "2MiB", "pages": "2%", "seeds": 100}
LONG_RUNS: Final = {"memory": "8MiB", "pages": "100%", "seeds": 20}


def bench_store(as_json: AsJson = False) -> None:
    """Measure the overhead of a sweep, and how fast results load."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *_sweeps(Path(folder), TINY_RUNS, 1, "tiny runs, in this process"),
            *_sweeps(Path(folder), TINY_RUNS, processors(), f"tiny runs, {processors()} processes"),
            *_sweeps(Path(folder), LONG_RUNS, processors(), f"long runs, {processors()} processes"),
            *_loading(Path(folder)),
        ]
    table(f"Medians of {ROUNDS} rounds", rows, as_json)


class Measured(NamedTuple):
    """A sweep and as many bare runs."""

    run_ms: float  # mean time inside a run, in the sweep
    apart_ms: float  # from run to run, minus the time inside
    busy: float  # share of the processors' time that is inside runs
    speed: float  # runs per second, relative to processes that do nothing but run


def _sweeps(
    folder: Path, size: dict[str, Any], workers: int, name: str
) -> Iterator[dict[str, Any]]:
    file = folder / "experiment.toml"
    file.write_text(EXPERIMENT.format(**size))
    (setting,) = load_settings(file)[1]
    with ExitStack() as stack:
        apply: Callable[..., Iterable[None]] = map
        if workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, get_context("spawn")))
            apply = pool.map
        list(apply(_bare, [setting] * workers, [range(2)] * workers))  # imports
        rounds = [
            _round(folder / name / str(n), file, setting, workers, apply) for n in range(ROUNDS)
        ]
    m = Measured(*map(statistics.median, zip(*rounds, strict=True)))
    yield {"what": f"{name}: inside a run", "value": m.run_ms, "unit": "ms"}
    if workers == 1:  # of several, one waits while another is served
        yield {"what": f"{name}: overhead per run", "value": m.apart_ms, "unit": "ms"}
    yield {"what": f"{name}: processors inside runs", "value": 100 * m.busy, "unit": "%"}
    yield {"what": f"{name}: speed against bare runs", "value": 100 * m.speed, "unit": "%"}


def _round(
    out: Path, file: Path, setting: Setting, workers: int, apply: Callable[..., Iterable[None]]
) -> Measured:  # fmt: skip
    """Make the runs of a sweep, and as many bare runs."""
    out.parent.mkdir(exist_ok=True)
    ends: list[float] = []

    def note(state: ProgressReport) -> None:
        if state.under_way is None:
            ends.append(time.perf_counter())

    run_experiment(file, out, workers=workers, engine="simpy", progress=note)
    begun = 2 * workers + 2  # until then, processes are being started
    count, span = len(ends) - begun, ends[-1] - ends[begun - 1]
    with closing(Store.open(out)) as store:
        inside = statistics.mean(store.durations()[begun:])
    parts = [range(n, count, workers) for n in range(workers)]
    began = time.perf_counter()
    list(apply(_bare, [setting] * workers, parts))
    bare = time.perf_counter() - began
    per_run = span * workers / count
    return Measured(1e3 * inside, 1e3 * (per_run - inside), inside / per_run, bare / span)


def _bare(setting: Setting, seeds: range) -> None:
    for number in seeds:
        run_job(
            setting,
            Job(0, ("eager-drop", "lazy-drop")[number % 2], number // 2 + 1),
            engine="simpy",
        )


def _loading(folder: Path) -> Iterator[dict[str, Any]]:
    """Fill a run directory with copies of one result and load it."""
    file, out = folder / "experiment.toml", folder / "many"
    file.write_text(EXPERIMENT.format(**LONG_RUNS | {"seeds": 2}))
    run_experiment(file, out, workers=1, engine="simpy")
    with closing(Store.open(out)) as store:
        setting, _, _, record = next(store.results())
        began = time.perf_counter()
        for seed in range(STORED):
            store.end(Key(setting, POLICY, seed, "simpy", model_version()), 0.1, record)
        storing = time.perf_counter() - began
    times, own = [], []
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        frame(out)
        times.append(time.perf_counter() - began)
        own.append(time.process_time() - used)
    yield {"what": "storing a run", "value": 1e3 * storing / STORED, "unit": "ms"}
    yield {"what": "a stored run", "value": (out / LEDGER).stat().st_size / STORED, "unit": "bytes"}
    loading = f"loading {STORED:,} runs into a frame"
    yield {"what": loading, "value": statistics.median(times), "unit": "s"}
    yield {"what": f"{loading}: processor time", "value": statistics.median(own), "unit": "s"}
