"""Times of dirty_log_perf_test at full size, from runs over a part of the memory.

Every cost of a pass and of a log operation is paid once (set-up), per page or per region, and
contention is the same in each part of memory. So the time of a phase is affine in the touched
memory, and two small runs give it at full size: ``T(M) = T(m) + (T(2m) - T(m)) (M - m) / m``. A
backing page of 1 GiB is paid once for each GiB: it is dropped, split and scanned. So with such
backing these two runs give the time of 1 GiB per vCPU, and G GiB take G times as long. Populating
is the exception, because memory is cleared for one vCPU while others touch what they have. It is
cheap to simulate, so runs over all of 1 and of 2 GiB give its time. The tests check these claims
against runs of other sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmusim.base.errors import require_known
from mmusim.base.units import BYTES, PAGES_PER_REGION
from mmusim.config.load import load
from mmusim.config.settings import Setting, settings_of
from mmusim.config.topology import Machine
from mmusim.costs.machine import LAWS
from mmusim.engine import simulate
from mmusim.execution.parallel import in_parallel
from mmusim.plan.make import make_plan
from mmusim.trace.records import PhaseTrace
from mmusim.validation.published import Run

REGIONS: Final = BYTES["GiB"] // BYTES["MiB"] // 2  # in a GiB
TOUCHED: Final = 128
"""Regions that all vCPUs touch together in the larger of two runs; at least two for each vCPU."""
SEED: Final = 1
POPULATE: Final = "populate memory"

Parts = dict[str, float]
Costs = Mapping[str, Any]
"""Costs that replace those of the profile, in the spelling of files."""
PROFILE: Final = "skylake-2021"
MACHINE: Final = Path(__file__).with_name("machine.toml")


def the_machine(laws: Iterable[str] | None = None) -> Machine | None:
    """Return the machine of the published times, with all laws or some; None without laws.

    Raises
    ------
    ConfigError
        If there is no such law.
    """
    machine = load(MACHINE, Machine)
    if laws is None:
        return machine
    chosen = list(dict.fromkeys(laws))
    for law in chosen:
        require_known(law, LAWS, "validate", "--laws", "is not a law of load")
    return machine.model_copy(update={"laws": chosen}) if chosen else None


class Times(NamedTuple):
    """The time of a phase of a run, and its parts."""

    ns: float
    parts: Parts  # ledger causes (mean over vCPUs) or parts of log operations -> ns


def predict(
    runs: Iterable[Run],
    costs: Costs,
    *,
    machine: Machine | None = None,
    touched: int = TOUCHED,
    workers: int | None = None,
    scheduler: str | None = None,
) -> dict[Run, dict[str, Times]]:
    """Simulate runs; return the times of each one's phases, by the selftest's names.

    Parameters
    ----------
    runs : iterable of Run
    costs : mapping
        Costs that replace those of the profile.
    machine : Machine, optional
        Processors and laws of load of the host. Without it, no vCPU slows another down.
    touched : int, optional
        Regions that all vCPUs touch together in the larger of the two runs behind each time.
    workers, scheduler
        As for :func:`mmusim.execution.parallel.in_parallel`.
    """
    todo = sorted(set(runs), key=lambda run: -run.vcpus)
    each = partial(times, costs=costs, touched=touched, machine=machine)
    found = in_parallel(each, todo, workers=workers, scheduler=scheduler)
    return dict(zip(todo, found, strict=True))


def times(
    run: Run, costs: Costs, touched: int = TOUCHED, machine: Machine | None = None
) -> dict[str, Times]:
    """Simulate a run at two sizes and return its times at full size."""
    small = max(1, touched // 2 // run.vcpus)
    one, two = (phases(run, costs, regions, machine) for regions in (small, 2 * small))
    parts = run.gib if run.backing == "1GiB" else 1  # of the memory, which all take the same time
    steps = (run.gib * REGIONS // parts - small) / small

    def at_full_size(x: float, y: float) -> float:
        return parts * (x + (y - x) * steps)

    found = {name: _both(one[name], two[name], at_full_size) for name in one}
    if parts > 1:
        first, both = (populating(run, costs, gib, machine) for gib in (1, 2))
        found[POPULATE] = _both(first, both, lambda x, y: x + (y - x) * (parts - 1))
    return found


def _both(one: Times, two: Times, join: Callable[[float, float], float]) -> Times:
    """Join the times of a phase in two runs, and its parts."""
    causes = one.parts | two.parts
    return Times(
        join(one.ns, two.ns),
        {part: join(one.parts.get(part, 0.0), two.parts.get(part, 0.0)) for part in causes},
    )


def populating(run: Run, costs: Costs, gib: int, machine: Machine | None = None) -> Times:
    """Simulate how a run populates all memory of so many GiB per vCPU."""
    driver = {"phases": [{"do": "touch", "name": POPULATE}], "measure": POPULATE}
    whole = run._replace(gib=gib)
    setting = setting_of(whole, costs, gib * REGIONS, machine, driver)
    (phase,) = simulate(make_plan(setting, run.policy, SEED)).phases
    return _times(phase, run.vcpus)


def phases(
    run: Run, costs: Costs, regions: int, machine: Machine | None = None
) -> dict[str, Times]:
    """Simulate a run in which each vCPU touches this many regions; return the times of its
    phases.
    """
    trace = simulate(make_plan(setting_of(run, costs, regions, machine), run.policy, SEED))
    return {phase.name: _times(phase, run.vcpus) for phase in trace.phases if phase.name}


def _times(phase: PhaseTrace, vcpus: int) -> Times:
    parts: Parts = dict(Counter(phase.spent))
    if phase.guest:
        parts = {cause: ns / vcpus for cause, ns in phase.ledger.items() if ns}
    return Times(phase.end_ns - phase.start_ns, parts)


def setting_of(
    run: Run,
    costs: Costs,
    regions: int,
    machine: Machine | None = None,
    driver: Mapping[str, Any] | None = None,
) -> Setting:
    """Return the setting of a run of which each vCPU touches this many 2 MiB regions.

    Without a `driver` it is that of the selftest.

    A part of a GiB cannot be a 1 GiB page. So with such backing the memory is made of whole GiB,
    of which each vCPU touches the first regions. Otherwise it has only the touched regions.
    """
    regions = min(regions, run.gib * REGIONS)
    memory = -(-regions // REGIONS) * REGIONS if run.backing == "1GiB" else regions
    driver = driver or {
        "kind": "dirty-log-perf-test", "write_percent": run.writes,
        "run_vcpus_while_disabling": run.running, "sample": f"{100 * regions / memory:.15g}%",
        "manual_protect": "initially-all-set" if run.all_set else "off",
        "iterations": run.rounds,
    }  # fmt: skip
    described = {} if machine is None else {"machine": machine.model_dump(mode="json")}
    data = {
        "schema": 1,
        "id": "published",
        "question": "How long does each phase take?",
        "vm": {"vcpus": run.vcpus, "memory": f"{run.vcpus * memory * PAGES_PER_REGION * 4}KiB",
               "backing": run.backing, "prefaulted": False, "kernel": run.policy.partition("+")[0]},
        "host": {"profile": PROFILE, "costs": dict(costs)} | described,
        "policies": {"baseline": run.policy, "compare": ["none"]},
        "driver": dict(driver),
    }  # fmt: skip
    (setting,) = settings_of(data, "published", Path())
    return setting
