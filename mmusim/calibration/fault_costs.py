"""Costs of faults, exits, flushes and contention from samples."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmusim.calibration.findings import Finding, Findings, constant, measured
from mmusim.calibration.interference import PLAIN, Interruptions, without
from mmusim.calibration.lock_share import lock_waits
from mmusim.calibration.samples import Samples
from mmusim.calibration.side_by_side import ALONE, BOTH, together, without_levels
from mmusim.calibration.tables import Certainty, Floats, median_certainty

LEVELS: Final = 32
"""Levels of a profile, equally frequent; as many virtual machines must have been measured."""


def fault_costs(samples: Samples, found: Interruptions | None) -> Findings:
    """Return the costs of a fault and of its parts."""
    names = {how: _plain(samples, how) for how in ("slow", "fast")}
    out: Findings = {}
    for how, kinds in names.items():
        if kinds:
            out[f"c_fault_{how}"] = _faults(samples, kinds, found)
    reference = out.get("c_fault_slow") or out.get("c_fault_fast")
    if reference is None:
        return out
    if "c_fault_slow" not in out:
        out["c_fault_slow"] = reference
    trip = _round_trip(samples, names["fast"] or names["slow"])
    asked = samples.of("cpuid")
    note = (
        f"half of the round trip: the smaller of cpuid's {np.median(asked):,.0f} ns and nine tenths"
        " of the cheapest faults; how it parts into exit and entry is not seen"
    )
    certainty = median_certainty(samples.arrays["cpuid"])
    for name in ("c_exit", "c_entry"):
        out[name] = constant(trip / 2, _scaled(certainty, trip / 2), note, "derived")
    if "c_fault_fast" not in out:
        slow = out["c_fault_slow"]
        out["c_fault_fast"] = Finding(
            distribution=slow.distribution, provenance="derived", certainty=slow.certainty,
            note="no fault was fixed without mmu_lock here; the value of c_fault_slow",
        )  # fmt: skip
    out |= _tables(samples)
    out |= _contention(samples, out["c_fault_slow"], found, trip)
    return out | _flushes(samples, found, trip)


def round_trip(samples: Samples) -> float:
    """Return the time of exit and entry together, in ns."""
    return _round_trip(samples, _plain(samples, "fast") or _plain(samples, "slow"))


def _plain(samples: Samples, how: str) -> list[str]:
    names = [f"fault/{how}/{kind}" for kind in PLAIN]
    return [name for name in names if name in samples.arrays]


def _round_trip(samples: Samples, kinds: list[str]) -> float:
    """Exit and entry: at most the time of cpuid, and they must fit into the cheapest fault."""
    cheapest = min(float(np.quantile(samples.of(name), 0.05)) for name in kinds)
    asked = samples.of("cpuid")
    return min(float(np.median(asked)), 0.9 * cheapest) if len(asked) else 0.9 * cheapest


def _faults(samples: Samples, kinds: list[str], found: Interruptions | None) -> Finding:
    """Pool the kinds, each with equal weight, without the interruptions in their samples.

    If the profile has levels, the samples of each virtual machine are put to the median level.
    """
    clock, has_levels = clock_ns(samples), bool(levels(samples))
    each = [levelled(a) if has_levels else np.concatenate(a)
            for a in (samples.arrays[name] for name in kinds)]  # fmt: skip
    cleaned = [without(ns, found) - clock for ns in each]
    most = max(map(len, cleaned))
    pooled = np.concatenate([np.resize(np.sort(ns), most) for ns in cleaned])
    replicates = [a - clock for name in kinds for a in samples.arrays[name]]
    medians = ", ".join(
        f"{name.rpartition('/')[2]} {np.median(ns):,.0f} ns"
        for name, ns in zip(kinds, cleaned, strict=True)
    )
    certainty = median_certainty(replicates)
    note = f"pooled in equal parts: {medians}; interruptions apart"
    return measured(pooled, certainty, note, deep=has_levels)


def levelled(replicates: list[Floats]) -> Floats:
    """Return samples of all replicates, each scaled so that its median is that of the medians."""
    medians = [float(np.median(ns)) for ns in replicates]
    level = float(np.median(medians))
    return np.concatenate([ns * (level / m) for ns, m in zip(replicates, medians, strict=True)])


def levels(samples: Samples) -> list[float]:
    """Return what faults took on each virtual machine, by the median one: LEVELS quantiles.

    Samples of probes that made no gets beside faults give profiles without levels, as before.
    """
    if "flush/in-flight" not in samples.arrays:
        return []
    names = [name for name in _plain(samples, "slow") if len(samples.arrays[name]) >= LEVELS]
    if not names:
        return []
    each = []
    for name in names:
        medians = np.array([np.median(ns) for ns in samples.arrays[name]])
        each.append(medians / np.median(medians))
    found = np.quantile(np.concatenate(each), (np.arange(LEVELS) + 0.5) / LEVELS)
    return [round(float(level), 4) for level in found]


def _tables(samples: Samples) -> Findings:
    """The extra time of the first fault of a region: a table, and a large spte that blocks it."""
    base = _replicates(samples, "write-after-recreate")
    first = _replicates(samples, "first-of-region")
    drop = _replicates(samples, "write-read-only-2M")
    out: Findings = {}
    if base and first:
        more, certainty = difference(first, base)
        out["c_alloc_table"] = constant(
            more, certainty, "first fault of a region whose tables are gone, less the others"
        )
    if first and drop:
        more, certainty = difference(drop, first)
        out["c_zap_large"] = constant(
            more, certainty, "first write below a read-only 2 MiB spte, less one without; the "
            "flush, which nobody had to answer, is in it",
        )  # fmt: skip
    return out


def _replicates(samples: Samples, kind: str) -> list[Floats]:
    for how in ("slow", "fast"):
        if f"fault/{how}/{kind}" in samples.arrays:
            return samples.arrays[f"fault/{how}/{kind}"]
    return []


def difference(one: list[Floats], two: list[Floats], seed: int = 1) -> tuple[float, Certainty]:
    """Return by how much the median of `one` exceeds that of `two`, paired by replicate."""
    count = min(len(one), len(two))
    each = np.array([np.median(a) - np.median(b) for a, b in zip(one, two, strict=False)])
    rng = np.random.default_rng(seed)
    again = np.median(rng.choice(each, (2000, count)), axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    size = sum(map(len, one[:count]))
    return float(np.median(each)), Certainty(float(low), float(high), size, count)


def _contention(
    samples: Samples, slow: Finding, found: Interruptions | None, trip: float
) -> Findings:
    """The part of a fault under mmu_lock, from two vCPUs that fault without a pause."""
    if ALONE not in samples.arrays or BOTH not in samples.arrays:
        return {}
    mean = _body_mean(without(samples.of(ALONE), found))
    alone, both = samples.arrays[ALONE], samples.arrays[BOTH]
    if levels(samples) and together(samples):
        alone, both = without_levels(samples)
    more, certainty = difference(
        [np.array([_body_mean(a)]) for a in both], [np.array([_body_mean(a)]) for a in alone]
    )
    most = min(mean, slow.distribution.mean()) - trip  # exit and entry are not under the lock
    law = lock_waits(slow.distribution, trip, most)
    low, value, high = (law.section(wait) for wait in (certainty.low, more, certainty.high))
    known = Certainty(low, high, len(samples.of(BOTH)), certainty.replicates)
    if certainty.low <= 0:  # cannot be distinguished from zero
        note = (
            f"two vCPUs wait {more:,.0f} ns more a fault than one, which is not significant: at "
            f"most {high:,.0f} ns are locked; half of the fault beside exit and entry, or that"
        )
        return {"c_lock_section": constant(min(high, most / 2), known, note, "derived")}
    note = (
        f"two vCPUs wait {more:,.0f} ns more a fault than one: {value / mean:.1%} of a fault is "
        "locked, by simulating two vCPUs with sections of several lengths"
    )
    return {"c_lock_section": constant(value, known, note)}


def _body_mean(ns: Floats) -> float:
    """Mean without the largest 2 %: the effect of queueing, without the effect of the host."""
    return float(np.sort(ns)[: max(1, round(0.98 * len(ns)))].mean())


def _flushes(samples: Samples, found: Interruptions | None, trip: float) -> Findings:
    """The cost of a kick: from interruptions for the target, from gets for the waiting thread."""
    out: Findings = {}
    if found is not None and found.overhead > 0:
        note = (
            f"an interruption takes {found.overhead:,.0f} ns longer in guest mode than in the "
            "host, by which the tail of faults comes out; less c_exit and c_entry"
        )
        out["c_ack"] = constant(found.overhead - trip, None, note, "derived")
    if "flush/idle" not in samples.arrays or "flush/beside" not in samples.arrays:
        return out
    more, certainty = difference(samples.arrays["flush/beside"], samples.arrays["flush/idle"])
    out["c_flush_target"] = constant(
        more, certainty, "a get that kicks a vCPU in the guest, less one that kicks nobody"
    )
    return out


def _scaled(certainty: Certainty, to: float) -> Certainty:
    middle = (certainty.low + certainty.high) / 2
    factor = to / middle if middle else 1.0
    return certainty._replace(low=certainty.low * factor, high=certainty.high * factor)


def clock_ns(samples: Samples) -> float:
    """Return the time of reading the clock in every sample of the guest."""
    return float(np.median(samples.of("clock"))) if "clock" in samples.arrays else 0.0
