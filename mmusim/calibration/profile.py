"""The host profile that samples give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from mmusim.base.files import whole
from mmusim.base.quantities import exact_ns
from mmusim.calibration.fault_costs import clock_ns, fault_costs, levels, round_trip
from mmusim.calibration.findings import Finding, Findings, constant
from mmusim.calibration.first_touches import first_touches
from mmusim.calibration.hit_costs import hit_costs
from mmusim.calibration.hit_curve import hit_curve
from mmusim.calibration.in_flight import in_flight
from mmusim.calibration.interference import as_renewal, interruptions
from mmusim.calibration.log_costs import log_costs
from mmusim.calibration.samples import Samples, load_samples
from mmusim.calibration.side_by_side import together
from mmusim.calibration.tables import as_cost, median_certainty
from mmusim.config.host import Cost, HostProfile, load_profile
from mmusim.config.load import check
from mmusim.costs.distributions import Constant, Distribution, Empirical
from mmusim.vocabulary import COSTS

BASE: Final = "skylake-2021"
"""The profile that gives the values which were not measured."""


def find_costs(samples: Samples) -> Findings:
    """Return every cost that the samples determine."""
    found = interruptions(samples)
    out = fault_costs(samples, found)
    hits, _ = hit_costs(samples)
    out |= hits
    out |= log_costs(samples, out)
    if "c_zap_large" in out and "c_flush_init" in out:
        flush = out["c_flush_init"].distribution.mean()
        whole_ns = out["c_zap_large"].distribution.mean()
        out["c_zap_large"] = constant(
            whole_ns - min(flush, whole_ns), out["c_zap_large"].certainty,
            out["c_zap_large"].note + ", less c_flush_init",
        )  # fmt: skip
        if flush > whole_ns:  # a flush without a target takes at most drop and flush
            out["c_flush_init"] = constant(
                whole_ns, out["c_zap_large"].certainty, "bounded by what a drop takes in a fault"
            )
    out |= in_flight(samples, out)
    out |= _entries(samples)
    out["c_walk_guest"] = constant(0.0, None, "in c_fault_slow", "derived")
    return out


def _entries(samples: Samples) -> Findings:
    """From user space into the guest and back."""
    if "user-exit" not in samples.arrays:
        return {}
    walls = samples.of("user-exit")
    certainty = median_certainty(samples.arrays["user-exit"])
    trip = round_trip(samples)
    both = float(np.median(walls))
    rest = certainty._replace(low=certainty.low - trip, high=certainty.high - trip)
    note = "KVM_RUN with one access and an outb"
    return {
        "t_pass": constant(both, certainty, f"{note}: into the guest from user space and back"),
        "c_user_exit": constant(both - trip, rest, f"{note}, less c_exit and c_entry"),
    }


def profile_data(
    samples: Samples, name: str, file: str = "", base: str = BASE
) -> dict[str, Any]:  # fmt: skip
    """Return a host profile as TOML data: the measurements, and the base's values for the rest."""
    findings = find_costs(samples)
    fallback = load_profile(base)
    costs: dict[str, Any] = {}
    for cost in COSTS:
        if cost in findings:
            costs[cost] = _written(findings[cost])
        else:
            costs[cost] = _assumed(fallback.costs[cost], base)
    data: dict[str, Any] = {
        "name": name,
        "describes": _describes(samples.facts),
        "source": "mmusim probe" + (f", raw samples in {file}" if file else ""),
        "costs": costs,
    }
    found = interruptions(samples)
    if found is not None:
        every, lasts = as_renewal(found)
        gaps = {"gamma": {"mean": exact_ns(every.average), "cv": every.cv}}
        data["interference"] = [{"every": gaps, "lasts": as_cost(lasts)}]
    if "kernel" in samples.facts:
        data["measurement"] = _measurement(samples, file)
    if samples.facts.get("topology"):
        data["machine"] = samples.facts["topology"] | NO_LAWS
    return data


def _assumed(old: Cost, base: str) -> dict[str, Any]:
    """Return a cost that was not measured: the value of the base, and its bounds if it has some."""
    written = old.model_dump(mode="json", include={"value", "plausible"}, exclude_none=True)
    note = f"not measured on this host; {base} has: {old.note}"
    return written | {"provenance": "assumed", "note": note}


NO_LAWS: Final = {
    "laws": [], "provenance": "measured",
    "note": "as sysfs shows it; the constants of laws are not measured, name those to follow",
}  # fmt: skip


def _describes(facts: dict[str, Any]) -> str:
    if "kernel" not in facts:
        return "fitted from samples"
    return f"{facts['processor']}, Linux {facts['kernel']}, {facts['mmu']} MMU"


def _measurement(samples: Samples, file: str) -> dict[str, Any]:
    facts = samples.facts
    keys = ("date", "kernel", "processor", "processors", "modules", "mmu", "parameters", "load")
    _, hits = hit_costs(samples)
    late = samples.of("sleep-late")
    return {
        **{key: facts[key] for key in keys},
        "warning": facts.get("warning", ""),
        "clock": exact_ns(clock_ns(samples)),
        "loop": exact_ns(float(np.median(samples.of("loop")))),
        "late": exact_ns(float(np.median(late)) if len(late) else 0.0),
        "samples": file,
        **({"levels": found} if (found := levels(samples)) else {}),
        **({"together": pairs} if found and (pairs := together(samples)) else {}),
        "hits": [
            {
                "order": table.order, "memory": f"{table.mib}MiB",
                "t_hit_2M": as_cost(table.large), "t_walk_4K": as_cost(table.walk),
            }
            for table in hits
        ],
    } | _curve(samples)  # fmt: skip


def _curve(samples: Samples) -> dict[str, Any]:
    """Return hits by pages and exits, with first touches; nothing if they were not measured."""
    curve = hit_curve(samples)
    if curve is None:
        return {}
    return {"curve": curve | {"tables": curve["tables"] + first_touches(samples)}}


def _written(finding: Finding) -> dict[str, Any]:
    out: dict[str, Any] = {
        "value": _value(finding.distribution), "provenance": finding.provenance,
        "note": finding.note,
    }  # fmt: skip
    if finding.certainty is not None:
        sure = finding.certainty
        out["certainty"] = {
            "low": exact_ns(round(sure.low, 3)), "high": exact_ns(round(sure.high, 3)),
            "samples": sure.samples, "replicates": sure.replicates,
        }  # fmt: skip
    if finding.ks is not None:
        out["ks"] = round(finding.ks, 5)
    return out


def _value(distribution: Distribution) -> Any:
    if isinstance(distribution, Empirical):
        return as_cost(distribution)
    assert isinstance(distribution, Constant)
    return exact_ns(distribution.ns)


def write_profile(samples: Samples, path: Path, *, keep_samples: bool = True) -> HostProfile:
    """Write the profile to a TOML file and the samples beside it; return it as it reads back.

    Raises
    ------
    ConfigError
        If the place cannot be written.
    """
    import tomli_w

    name = path.stem
    file = f"{name}.samples.npz" if keep_samples else ""
    if keep_samples:  # first, so that the measurements are safe
        samples.save(path.with_name(file))
        samples = load_samples(path.with_name(file))  # as rounded as anybody will read them
    data = profile_data(samples, name, file)
    profile = check(data, HostProfile, str(path))
    with whole(path) as unfinished:
        unfinished.write_text(tomli_w.dumps(data), encoding="utf-8")
    return profile
