"""Measure a machine: all measurements, replicated, in random order, within a bounded time."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from mmusim.base.errors import ConfigError, MmusimError
from mmusim.calibration.samples import Samples
from mmusim.kvm.device import open_kvm
from mmusim.kvm.machine import Machine, load_since, read_times, this_machine
from mmusim.kvm.measures import MEASURES
from mmusim.kvm.topology import topology

SECONDS: Final = 60.0
"""How long a probe takes by default."""
MIN_REPLICATES: Final = 2
"""Replicates of every measurement that are made even after the time is up."""


def probe(
    seconds: float = SECONDS, *, seed: int = 1, tell: Callable[[str], None] | None = None
) -> Samples:
    """Measure this machine for about `seconds`.

    Every measure is replicated; the replicates of all of them come in one random order, so that a
    drift of the machine is spread over all. When time is up, what has been made at least twice is
    left alone.

    A measure that this machine cannot do (a capability or memory is lacking) is left out and named
    in the facts.

    Raises
    ------
    ConfigError
        If KVM cannot be used here, or no fault could be measured.
    """
    os.close(open_kvm(needs=("binary statistics",)))
    rng = np.random.default_rng(seed)
    todo = [(name, i) for name, (_, count) in MEASURES.items() for i in range(count)]
    rng.shuffle(todo)
    todo.sort(key=lambda item: item[1] >= MIN_REPLICATES)  # the first two of each come first
    samples = Samples()
    loads: list[dict[str, Any]] = []
    start, before = time.monotonic(), read_times()
    began = datetime.datetime.now(datetime.UTC)
    failed: dict[str, str] = {}
    made: dict[str, int] = dict.fromkeys(MEASURES, 0)
    for name, _ in todo:
        if made[name] >= MIN_REPLICATES and time.monotonic() - start > seconds:
            continue
        if name in failed:
            continue
        watch = read_times()
        measure, _ = MEASURES[name]
        one = Samples()
        try:
            measure(rng, one)
        except (MmusimError, OSError) as error:  # the others are optional
            failed[name] = str(error)
            continue
        samples.merge(one)
        made[name] += 1
        loads.append({"measure": name, **load_since(watch).facts()})
        if tell is not None:
            tell(f"{time.monotonic() - start:5.1f} s  {name}")
    if not samples.names("fault/"):
        reason = next(iter(failed.values()), "no time")
        raise ConfigError.of(
            "probe", "faults", None, f"could not be measured ({reason})", "remove the cause"
        )
    load = load_since(before)
    samples.facts = facts(this_machine()) | {
        "date": began.isoformat(timespec="seconds"), "replicates": made, "seed": seed,
        "failed": failed, "topology": topology(),
        "load": load.facts(), "warning": load.warning(), "loads": loads,
    }  # fmt: skip
    return samples


def facts(machine: Machine) -> dict[str, Any]:
    """Return the facts of the machine that belong into a profile."""
    return {
        "kernel": machine.kernel, "processor": machine.processor,
        "processors": machine.processors, "modules": list(machine.modules),
        "mmu": machine.mmu.value, "parameters": machine.parameters,
    }  # fmt: skip
