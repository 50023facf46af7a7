"""Exposure of an experiment's runs, and warnings that follow for its answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from mmusim.base.errors import require_known
from mmusim.base.units import show_ns
from mmusim.comparison.exposure import COUNTED, differences, mean, no_verdict, objections
from mmusim.config.driver import Driver
from mmusim.config.tlb import UNLIMITED
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.exposure import Exposure

MOST_WARNINGS: Final = 6
LONG_NS: Final = 1_000_000
"""A log operation; in that time a guest uses more translations than a TLB holds."""


def in_window(outcome: Outcome, window: str) -> Outcome:
    """Return an outcome whose runs have the metrics of a given window.

    Parameters
    ----------
    outcome : Outcome
        The evaluated runs.
    window : str
        Name of a window of the driver.

    Only the guest's values are those of the window; values of the whole run stay.

    Raises
    ------
    ConfigError
        If the driver has no such window.
    """
    known = [w.name for w in outcome.experiment.driver.windows]
    rule = "is not a window of the driver"
    require_known(window, known, outcome.experiment.id, "--window", rule)

    return replace(
        outcome,
        settings=[
            replace(
                r,
                runs={
                    policy: [run.within(window) for run in runs] for policy, runs in r.runs.items()
                },
            )
            for r in outcome.settings
        ],
    )


def refusal(result: SettingResult, candidate: str) -> str:
    """Say why there can be no verdict on a policy against the baseline; empty if there can be one.

    Parameters
    ----------
    result : SettingResult
        The runs of one setting.
    candidate : str
        Name of the policy.
    """
    baseline = result.setting.experiment.policies.baseline
    return no_verdict(result.runs, baseline, candidate)


def warnings(outcome: Outcome) -> list[str]:
    """Return the objections against comparing the runs as they are, the gravest first."""
    found = []
    for result in outcome.settings:
        where = f"{result.setting.name}: " if result.setting.name else ""
        baseline = outcome.experiment.policies.baseline
        found += [(True, f"{where}{text}") for text in _idle_limit(result)]
        found += [(True, f"{where}{text}") for text in _twins(result, baseline)]
        found += [(True, f"{where}{text}") for text in _endless_tlb(result)]
        found += [
            (not o.forbids, f"{where}{o.text}") for o in objections(result.runs, baseline)
        ]  # fmt: skip
    lines = [text for _, text in sorted(found, key=lambda one: one[0])]
    if len(lines) > MOST_WARNINGS:
        rest = f"and {len(lines) - MOST_WARNINGS} more; see mmusim exposure"
        lines = [*lines[:MOST_WARNINGS], rest]
    return lines


def _idle_limit(result: SettingResult) -> Iterator[str]:
    """Warn where a dirty limit was set and never acted."""
    driver = result.setting.experiment.driver
    if not isinstance(driver, Driver) or not driver.migration.key_that_needs_rings:
        return
    for policy, runs in result.runs.items():
        sleeps = [run.values.get("longest_ring_sleep", 0) for run in runs]
        if not any(sleeps):
            yield (
                f"{policy}: the dirty limit never acted in {len(runs)} runs: no vCPU had to sleep; "
                "it begins when the guest has dirtied too much at two syncs a second apart"
            )


def _twins(result: SettingResult, baseline: str) -> Iterator[str]:
    """Warn where a policy did just what the baseline did: another name of it, perhaps."""
    first = {run.seed: run for run in result.runs[baseline]}
    for policy, runs in result.runs.items():
        pairs = [(run, first[run.seed]) for run in runs if run.seed in first]
        met = any(e.logs and e.logged_ns for run in runs for e in run.exposures.values())
        if policy != baseline and met and pairs and all(a.values == b.values for a, b in pairs):
            yield (
                f"{policy} did what {baseline} did in each of {len(pairs)} seeds, to the "
                "nanosecond: they may be two names of one policy under this kernel"
            )


def _endless_tlb(result: SettingResult) -> Iterator[str]:
    """Warn where no vCPU could fault during protection, because TLBs are unlimited."""
    if result.setting.experiment.host.tlb != UNLIMITED:
        return
    met = [run.exposures[""] for runs in result.runs.values() for run in runs if run.exposures]
    longest = max((e.longest_ns for e in met if e.logs and e.accesses), default=0)
    if longest > LONG_NS:
        yield (
            f"a log operation beside the guest took {show_ns(longest)}, and host.tlb is unlimited: "
            "no access meets what it takes back before its flush; for latencies write e.g. "
            "host.tlb = 1536"
        )


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the mean exposure over seeds, one row per setting, window and policy."""
    return [row for result in outcome.settings for row in _rows(result)]


def apart(outcome: Outcome) -> list[dict[str, Any]]:
    """Return in what exposures differ by more than a tenth from those of the baseline.

    One row per setting, window, policy and quantity.
    """
    baseline, driver = outcome.experiment.policies.baseline, outcome.experiment.driver
    return [
        {
            "setting": result.setting.name, "window": window or driver.measure, "policy": policy,
            "differs_in": one.what, "value": one.mine, "baseline": one.other,
            "shown": one.shown(),
        }
        for result in outcome.settings
        for window in windows(result)
        for policy in result.runs
        for one in differences(result.runs, policy, baseline, window)
    ]  # fmt: skip


def windows(result: SettingResult) -> list[str]:
    """Return the names of the windows of a setting; one without a name is the measured phase."""
    return [w.name for w in result.setting.experiment.driver.windows] or [""]


def _rows(result: SettingResult) -> Iterator[dict[str, Any]]:
    driver = result.setting.experiment.driver
    for window in windows(result):
        for policy, runs in result.runs.items():
            met: list[Exposure] = [r.exposures[window] for r in runs if window in r.exposures]
            if not met:
                continue
            counts = {name.replace(" ", "_"): mean(met, count) for name, count in COUNTED.items()}
            yield {
                "setting": result.setting.name,
                "window": window or driver.measure,
                "policy": policy,
                **counts,
                "unfinished": mean(met, lambda e: e.unfinished),
                "lock_share": max(e.lock_share for e in met),
                "leftover_faults": mean(met, lambda e: e.leftover_faults),
                "latest_ns": max(e.latest_ns for e in met),
                "objections": "; ".join(
                    o.text for o in objections(result.runs, policy, window) if o.policy == policy
                ),
            }
