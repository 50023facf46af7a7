"""``mmusim conform``: counters of real kernels beside those of the model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson, Record
from mmusim.cli.shared.output import say, table
from mmusim.config.vm_and_host import MOST_SEED
from mmusim.conformance.kernel_cases import Case, as_line, read_cases
from mmusim.conformance.replay import Result, by_kernel, replay
from mmusim.conformance.replay import conform as replay_all


def conform(
    cases: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recorded cases; with --live, the cases whose scripts to run [the shipped ones].",
            show_default=False,
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Run the scripts on this machine's KVM.")
    ] = False,
    record: Record = None,
    random: Annotated[
        int, typer.Option(min=0, max=100_000, help="With --live: number of random scripts.")
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=MOST_SEED, help="Seed of the random scripts [1].", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay scripts that ran on a real kernel; exit status 1 if a counter differs."""
    if live:
        raise typer.Exit(_conform_live(cases, record, random, 1 if seed is None else seed, as_json))
    refuse_ignored(
        "conform",
        "without --live",
        {"--record": record, "--random": random or None, "--seed": seed},
    )
    if not cases:
        raise ConfigError.of(
            "conform", "CASES.jsonl", None, "is required", "give a file of cases, or --live"
        )
    raise typer.Exit(_show(replay_all(_read(cases)), as_json))


def _read(paths: Sequence[Path]) -> list[Case]:
    return [case for path in paths for case in read_cases(path)]


def _conform_live(
    paths: list[Path] | None, record: Path | None, random: int, seed: int, as_json: bool
) -> int:
    """Run scripts on this machine's KVM, replay and compare them; return the exit status."""
    from mmusim.kvm.device import open_kvm
    from mmusim.kvm.machine import this_machine
    from mmusim.kvm.script import random_scripts, run_script, scripts_of, shipped_scripts

    os.close(open_kvm(needs=("binary statistics",)))
    scripts = scripts_of(_read(paths)) if paths else shipped_scripts()
    scripts += random_scripts(random, seed)
    machine = this_machine()
    typer.echo(
        f"{len(scripts)} scripts on Linux {machine.kernel}, {machine.mmu.value} MMU", err=True
    )
    cases: list[Case] = []
    results: list[Result] = []
    for number, script in enumerate(scripts, 1):
        cases.append(run_script(script, machine))
        results.append(replay(cases[-1], number, live=True))
    if record is not None:
        with whole(record) as unfinished:
            unfinished.write_text("".join(map(as_line, cases)), encoding="utf-8")
    return _show(results, as_json)


def _show(results: Sequence[Result], as_json: bool) -> int:
    """Print the results of the cases; return the exit status."""
    totals = Counter(result.status for result in results)
    integers = sum(result.integers for result in results)
    differing = sum(len(result.differences) for result in results)
    stale = sum(result.stale for result in results)
    if as_json:
        rows = [
            asdict(r) | {"status": r.status, "differences": [d._asdict() for d in r.differences]}
            for r in results
        ]
        told: dict[str, Any] = {"totals": totals, "kernels": by_kernel(results)}
        told["integers"] = integers
        table("", rows, True, **told, differing=differing, stale=stale)
        return int(bool(differing))
    table(
        "Cases",
        [
            {
                "case": r.number, "status": r.status, "setting": r.setting, "script": r.script,
                "remark": r.unsupported or (f"{r.stale} stale TLB entries" if r.stale else ""),
            }
            for r in results
        ],
        False,
    )  # fmt: skip
    table(
        "Integers that differ",
        [{"case": r.number, **d._asdict()} for r in results for d in r.differences],
        False,
    )
    table("Kernels", by_kernel(results), False)
    say(
        f"{totals['match']} cases match, {totals['differs']} differ, "
        f"{totals['unsupported']} unsupported; "
        f"{integers - differing:,} of {integers:,} integers equal"
    )
    if stale:
        say(
            f"{stale} spurious faults apart: a processor that held a read-only 2 MiB translation "
            "when it became writable"
        )
    return int(bool(differing))
