"""``mmusim tlb-reach``: when a guest meets entries that lost W, on this machine and simulated."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any, TypeVar

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.units import parse_bytes, parse_fraction
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import say, table
from mmusim.validation.tlb_reach import PARTS, Reach, measure_reach

Read = TypeVar("Read")


def tlb_reach(
    memory: Annotated[str, typer.Option(help="Memory of the guest.")] = "512MiB",
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="Share of the memory that the guest uses, once for each [20%, 5%, 3%, 1%, 0.05%].",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs that count for each part.")
    ] = 8,
    as_json: AsJson = False,
) -> None:
    """Measure when a guest meets entries that lost W, beside a simulation with each TLB."""
    from mmusim.kvm.device import open_kvm
    from mmusim.kvm.machine import load_since, read_times, this_machine

    size = _read(parse_bytes, "--memory", memory, "512MiB")
    parts = PARTS if not part else [_read(parse_fraction, "--part", one, "20%") for one in part]
    os.close(open_kvm(needs=("binary statistics",)))
    machine, before = this_machine(), read_times()
    found = measure_reach(
        machine, size, parts, repeats=repeats, tell=lambda text: typer.echo(text, err=True)
    )
    load = load_since(before)
    facts = {
        "processor": machine.processor, "kernel": machine.kernel, "mmu": machine.mmu.value,
        "load": load.facts(), "warning": load.warning(),
    }  # fmt: skip
    title = "Longest access as a share of the enabling of the log, and faults meanwhile"
    table(title, [_row(one) for one in found], as_json, facts=facts)
    if not as_json:
        say(
            f"{machine.processor}, Linux {machine.kernel}, {machine.mmu.value} MMU, {memory}. "
            "Measured: median, smallest and largest share, and the same of faults. "
            "Simulated: share and faults."
        )
        if load.warning():
            typer.echo(f"Warning: {load.warning()}", err=True)


def _read(read: Callable[[str], Read], option: str, text: str, example: str) -> Read:
    try:
        return read(text)
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of(
            "tlb-reach", option, text, rule, remedy or f"write e.g. {example}"
        ) from None


def _row(one: Reach) -> dict[str, Any]:
    shares = sorted(run.share for run in one.measured)
    faults = sorted(run.faults for run in one.measured)
    middle = f"{median(shares):.3f}, {shares[0]:.3f} to {shares[-1]:.3f}"
    walk = min(run.enabling_ns for run in one.measured)
    return {
        "part": f"{100 * one.part:.4g} %",
        "pages": one.pages,
        "runs": f"{len(shares)} of {one.tries}",
        "enabling_ms": f"{walk / 1e6:.2f}",
        "measured": f"{middle}\n{median(faults):,g}, {faults[0]:,} to {faults[-1]:,}",
    } | {
        (f"tlb {p.tlb}" if isinstance(p.tlb, int) else p.tlb): f"{p.share:.3f}\n{p.faults:,}"
        for p in one.predicted
    }
