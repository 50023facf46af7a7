"""One run of an experiment, chosen on the command line and simulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmusim.base.errors import ConfigError
from mmusim.base.units import parse_ns, show_ns
from mmusim.cli.shared.progress import show_one_run
from mmusim.config.setting import Setting, setting_named
from mmusim.config.settings import load_settings
from mmusim.plan.make import Plan, make_plan
from mmusim.timeline.record import Timeline, record


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The choice of a run and of a part of it. Empty: the first run, the whole run."""

    policy: str = ""
    seed: int | None = None
    setting: str = ""
    start: str = ""  # a time of the run, as people write it
    end: str = ""


def recorded(experiment: Path, chosen: Selection, most: int) -> Timeline:
    """Simulate the chosen run and record the chosen part.

    Raises
    ------
    ConfigError
        If there is no such setting, policy or part.
    """
    setting, plan = planned(experiment, chosen)
    start, end = time_of("--from", chosen.start), time_of("--until", chosen.end)
    if end is not None and end <= (start or 0):
        raise ConfigError.of(
            "command line", "--until", chosen.end, "is not after --from", "give a later time"
        )
    with show_one_run(setting, plan) as tell:
        timeline = record(plan, start_ns=start or 0, end_ns=end, most=most, tell=tell)
    if timeline.end_ns <= timeline.start_ns:
        ended = show_ns(timeline.end_ns)
        raise ConfigError.of(
            "command line", "--from", chosen.start, f"is not before the end of the run at {ended}",
            "give an earlier time",
        )  # fmt: skip
    return timeline


def planned(experiment: Path, chosen: Selection) -> tuple[Setting, Plan]:
    """Return the setting of the chosen run, and its plan.

    Raises
    ------
    ConfigError
        If there is no such setting or policy.
    """
    config, settings = load_settings(experiment)
    policy = chosen.policy or config.policies.baseline
    seed = config.replications.first_seed if chosen.seed is None else chosen.seed
    setting = setting_named(settings, chosen.setting, str(experiment))
    return setting, make_plan(setting, policy, seed)


def time_of(option: str, text: str) -> int | None:
    if not text:
        return None
    try:
        return round(parse_ns(text))
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of("command line", option, text, rule, remedy) from None


def summary(timeline: Timeline) -> str:
    slices = sum(map(len, timeline.vcpus))
    facts: dict[str, Any] = {"slices": slices, "holds of mmu_lock": len(timeline.holds)}
    counted = ", ".join(f"{count:,} {what}" for what, count in facts.items())
    part = f"{show_ns(timeline.start_ns)} to {show_ns(timeline.end_ns)}"
    left_out = (
        f"; {timeline.left_out}, narrow it by --from and --until" if timeline.left_out else ""
    )
    return f"{timeline.policy}, seed {timeline.seed}, {part}: {counted}{left_out}"
