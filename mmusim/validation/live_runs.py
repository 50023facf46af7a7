"""Runs of the grid's settings, measured and simulated, in one form."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.histogram import BINS, Histogram
from mmusim.base.inputs import read_gzip_text, unreadable
from mmusim.base.parsing import parse_json
from mmusim.config.host import HostProfile, load_profile
from mmusim.engine import simulate
from mmusim.execution.parallel import in_parallel
from mmusim.kvm.live import run_live
from mmusim.kvm.live_trace import LiveTrace
from mmusim.plan.make import Plan, make_plan
from mmusim.trace.records import Trace
from mmusim.validation.live_grid import PASSES, GridSetting, plan_as_measured

FORMAT: Final = 1
Kind = Literal["measured", "simulated"]
COUNTED: Final = ("pf_taken", "pf_fixed", "pf_fast", "pages_4k", "pages_2m")


_RECORD_AGAIN: Final = "record again with mmusim validate --live --record"


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
    tell: Callable[[str], None] | None = None,
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
        if tell is not None:
            tell(f"round {repeat} of {repeats}")
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
    tell: Callable[[str], None] | None = None,
) -> list[RunOf]:  # fmt: skip
    """Simulate every setting with a host profile (a path or name), once for each seed."""
    todo = [(s, base, mmu, profile, seed) for s in settings for seed in seeds]
    runs: list[RunOf] = []
    made = in_parallel(_simulated, todo, workers=workers, scheduler=scheduler)
    for number, pair in enumerate(made, 1):
        runs += pair
        if tell is not None and number % len(settings) == 0:
            tell(f"simulated {number} of {len(todo)}")
    return runs


def _simulated(job: tuple[GridSetting, str, str, str, int]) -> list[RunOf]:
    setting, base, mmu, path, seed = job
    profile: HostProfile = load_profile(path)
    policy = policy_of(setting, base)
    plan = plan_as_measured(setting.simulated(policy, mmu, profile, path), policy, seed)
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


Number = Annotated[int, Field(ge=0)]
Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Sparse(BaseModel):
    """A histogram as :meth:`Histogram.sparse` writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    bins: list[Number]
    counts: list[Number]
    exact: Annotated[list[int], Field(min_length=3, max_length=3)]


class _Stored(BaseModel):
    """A line of a file of recorded runs."""

    model_config = ConfigDict(extra="forbid", strict=True)
    setting: str
    which: str
    kind: Kind
    seed: int
    total_ns: Time
    latencies: _Sparse
    counters: dict[str, int]
    dirty: Number | None
    log_ns: Time

    def run(self) -> RunOf:
        """Return the run.

        Raises
        ------
        ValueError
            If the histogram has a bin that there is not, or not a count for each bin.
        """
        sparse = self.latencies
        if len(sparse.bins) != len(sparse.counts) or max(sparse.bins, default=0) >= BINS:
            raise ValueError("latencies have not a count for each of their bins")
        fields = {name: getattr(self, name) for name in RunOf.__slots__}
        return RunOf(**fields | {"latencies": Histogram.from_sparse(sparse.model_dump())})


def load_runs(path: Path) -> tuple[list[RunOf], dict[str, Any]]:
    """Read what :func:`save_runs` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read, is damaged, or has another format.
    """
    source = str(path)
    lines = [line for line in read_gzip_text(path).split("\n") if line.strip()]
    first, *data = [
        parse_json(line, f"{source} line {number}") for number, line in enumerate(lines, 1)
    ] or [None]
    if not isinstance(first, dict):
        raise unreadable(path, "is not a file of recorded runs", _RECORD_AGAIN)
    if first.get("format") != FORMAT:
        raise ConfigError.of(
            source, "format", first.get("format"), f"is not {FORMAT}", _RECORD_AGAIN
        )
    if not isinstance(first.get("facts"), dict):
        raise unreadable(path, "is not a file of recorded runs: it lacks facts", _RECORD_AGAIN)
    runs = []
    for number, fields in enumerate(data, 2):
        try:
            runs.append(_Stored.model_validate(fields).run())
        except ValueError as error:  # pydantic's too
            said = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error)}
            key = ".".join(map(str, said.get("loc", ()))) or "line"
            raise ConfigError.of(
                f"{source} line {number}", key, None, str(said["msg"]).lower(), _RECORD_AGAIN
            ) from None  # fmt: skip
    return runs, first["facts"]
