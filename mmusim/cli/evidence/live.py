"""``mmusim live``: the arms of an experiment on this machine, and predicted from its profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mmusim.base.errors import ConfigError
from mmusim.cli.shared.arms import rows, sentences, write
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.live_validation import measured_profile
from mmusim.cli.shared.options import AsJson, Record, Recorded, Scheduler, ToFolder, Workers
from mmusim.cli.shared.output import say, table
from mmusim.validation.live_arms import arms_of, measure_arms, predict_arms, read_arms
from mmusim.validation.live_runs import RunOf, load_runs, save_runs

REPEATS = 10


def live(
    arms: Annotated[Path, typer.Argument(help="A file of arms.", metavar="ARMS.toml")],
    host: Annotated[str, typer.Option(help="A measured profile.")],
    recorded: Recorded = None,
    record: Record = None,
    to: ToFolder = None,
    repeats: Annotated[
        int | None, typer.Option(min=2, max=1000, help="Runs of each arm [10].", show_default=False)
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Run the arms of an experiment on this machine's KVM beside their prediction."""
    if recorded is not None:
        refuse_ignored("live", "with --recorded", {"--repeats": repeats})
    file = read_arms(arms)
    profile = measured_profile("live", host)
    if recorded is not None:
        everything, facts = load_runs(recorded)
        measured = [run for run in everything if run.kind == "measured"]
    else:
        measured, facts = _measure(arms, repeats or REPEATS)
    seeds = sorted({run.seed for run in measured})
    predicted = predict_arms(
        file, facts["policy"], facts["mmu"], host, seeds, workers=workers, scheduler=scheduler
    )
    if record is not None:
        save_runs(record, measured, facts)
    found = arms_of(file, [*measured, *predicted])
    missing = [arm.name for arm in found if not arm.measured]
    if missing:
        raise ConfigError.of(
            "live", "recorded", str(recorded), f"lacks the arm {missing[0]!r}",
            "record again with mmusim live",
        )  # fmt: skip
    table(file.question, rows(found), as_json, facts=facts, profile=profile.name)
    if not as_json:
        say("Medians of total times, from the smallest to the largest run.")
        say("Quantiles of latencies: measured / predicted.")
        say("\n".join(sentences(found, facts)))
    if to is not None:
        write(to, file.question, found, facts, profile.name)


def _measure(arms: Path, repeats: int) -> tuple[list[RunOf], dict[str, Any]]:
    from mmusim.kvm.device import open_kvm
    from mmusim.kvm.machine import load_since, read_times, this_machine

    os.close(open_kvm(needs=("binary statistics",)))
    machine = this_machine()
    policy = machine.policy("get-clears")
    file = read_arms(arms)
    before = read_times()
    runs = measure_arms(
        file, policy, machine.mmu.value, repeats, tell=lambda t: typer.echo(t, err=True)
    )
    load = load_since(before)
    facts = {
        "policy": policy, "mmu": machine.mmu.value, "kernel": machine.kernel,
        "processor": machine.processor, "load": load.facts(), "warning": load.warning(),
    }  # fmt: skip
    return runs, facts
