"""Runs of the grid's settings, measured and simulated, in one form."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.histogram import Histogram
from mmusim.config.host import HostProfile, load_profile
from mmusim.engine import simulate
from mmusim.execution.parallel import in_parallel
from mmusim.kvm.live import run_live
from mmusim.kvm.live_trace import LiveTrace
from mmusim.plan.make import Plan, make_plan
from mmusim.trace.records import Trace
from mmusim.validation.live_grid import PASSES, GridSetting

FORMAT: Final = 1
Kind = Literal["measured", "simulated"]
COUNTED: Final = ("pf_taken", "pf_fixed", "pf_fast", "pages_4k", "pages_2m")


@dataclass(frozen=True, slots=True)
class RunOf:
    """One pass of one run of a setting."""

    setting: str
    which: str  # first or steady
    kind: Kind
    seed: int
    total_ns: float  # from the first access to the end of the last
    latencies: Histogram
    counters: dict[str, int]  # faults with work to do, mappings; of the pass alone
    dirty: int | None  # what the log reported after it
    log_ns: float  # all log operations beside it and after it


def policy_of(setting: GridSetting, base: str) -> str:
    """Return the policy of a machine (``linux-6.18+shadow``) with a setting's reporting."""
    return f"{base}+{setting.reporting}"


def measure_all(
    settings: Sequence[GridSetting], base: str, mmu: str, repeats: int, *, seed: int = 1,
    told: Callable[[str], None] | None = None,
) -> list[RunOf]:  # fmt: skip
    """Run every setting `repeats` times on this machine, all settings once in each round.

    Rounds are in random order, so that a drift of the machine adds to the spread of every setting.
    """
    rng = np.random.default_rng(seed)
    runs: list[RunOf] = []
    for repeat in range(1, repeats + 1):
        for number in rng.permutation(len(settings)).tolist():
            setting = settings[number]
            policy = policy_of(setting, base)
            plan = make_plan(setting.setting(policy, mmu), policy, repeat)
            trace = run_live(plan)
            runs += [measured_run(setting.name, plan, trace, name, repeat) for name in PASSES]
        if told is not None:
            told(f"round {repeat} of {repeats}")
    return runs


def measured_run(setting: str, plan: Plan, trace: LiveTrace, name: str, seed: int) -> RunOf:
    """Return one named pass of a run on the machine."""
    index = _index(plan, name)
    histogram = Histogram()
    histogram.add(np.round(trace.latencies_ns(index)).astype(np.int64))
    phases = trace.phases
    log = _log_phases(plan, index)
    counted = dict(phases[index].counters)
    counted["pf_taken"] -= counted.get("pf_spurious", 0)
    return RunOf(
        setting, name, "measured", seed, trace.span_ns(index), histogram,
        {key: counted[key] for key in COUNTED}, phases[log[0]].dirty if log else None,
        float(sum(phases[i].ns for i in log)),
    )  # fmt: skip


def simulate_all(
    settings: Sequence[GridSetting], base: str, mmu: str, profile: str, seeds: Iterable[int],
    *, workers: int | None = None, scheduler: str | None = None,
    told: Callable[[str], None] | None = None,
) -> list[RunOf]:  # fmt: skip
    """Simulate every setting with a host profile (a path or name), once for each seed."""
    todo = [(s, base, mmu, profile, seed) for s in settings for seed in seeds]
    runs: list[RunOf] = []
    made = in_parallel(_simulated, todo, workers=workers, scheduler=scheduler)
    for number, pair in enumerate(made, 1):
        runs += pair
        if told is not None and number % len(settings) == 0:
            told(f"simulated {number} of {len(todo)}")
    return runs


def _simulated(job: tuple[GridSetting, str, str, str, int]) -> list[RunOf]:
    setting, base, mmu, path, seed = job
    profile: HostProfile = load_profile(path)
    policy = policy_of(setting, base)
    plan = make_plan(setting.simulated(policy, mmu, profile, path), policy, seed)
    trace = simulate(plan)
    return [simulated_run(setting.name, plan, trace, name, seed) for name in PASSES]


def simulated_run(setting: str, plan: Plan, trace: Trace, name: str, seed: int) -> RunOf:
    """Return one named pass of a run of the simulator."""
    index = _index(plan, name)
    phase = trace.phases[index]
    histogram = Histogram()
    histogram.merge(phase.reads)
    histogram.merge(phase.writes)
    log = _log_phases(plan, index)
    counted = Counter(phase.counters)
    counted["pf_taken"] -= counted["pf_spurious"]
    return RunOf(
        setting, name, "simulated", seed, float(phase.guest_end_ns - phase.start_ns), histogram,
        {key: int(counted[key]) for key in COUNTED}, trace.phases[log[0]].dirty if log else None,
        float(sum(trace.phases[i].end_ns - trace.phases[i].start_ns for i in log)),
    )  # fmt: skip


def _index(plan: Plan, name: str) -> int:
    return next(i for i, phase in enumerate(plan.driver.phases) if phase.name == name)


def _log_phases(plan: Plan, index: int) -> list[int]:
    """Return the log operations from a pass on, up to the next one."""
    found = []
    for i, phase in enumerate(plan.driver.phases[index + 1 :], index + 1):
        if phase.name in PASSES:
            break
        if phase.do == "sync-dirty-log":
            found.append(i)
    return found


def save_runs(path: Path, runs: Sequence[RunOf], facts: dict[str, Any]) -> None:
    """Write runs to a compressed file of JSON lines; the facts come first."""
    lines = [json.dumps({"format": FORMAT, "facts": facts})]
    for run in runs:
        fields = {name: getattr(run, name) for name in run.__slots__}
        lines.append(json.dumps(fields | {"latencies": run.latencies.sparse()}))
    with whole(path) as unfinished:
        unfinished.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def load_runs(path: Path) -> tuple[list[RunOf], dict[str, Any]]:
    """Read what :func:`save_runs` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read, is damaged, or has another format.
    """
    try:
        head, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        first = json.loads(head)
        data = [json.loads(line) for line in lines]
        version = first.get("format")
    except (OSError, EOFError, ValueError, AttributeError) as error:
        raise ConfigError.of(
            str(path), "file", None, f"is no file of recorded runs, or damaged ({error})",
            "record again with mmusim validate --live --record",
        ) from None  # fmt: skip
    if version != FORMAT:
        raise ConfigError.of(
            str(path), "format", version, f"is not {FORMAT}", "record again with this mmusim"
        )
    runs = [RunOf(**d | {"latencies": Histogram.from_sparse(d["latencies"])}) for d in data]
    return runs, first["facts"]
