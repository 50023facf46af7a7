"""``mmusim workload import``: a trace from the output of lackey, or from the faults of a guest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import MOST_TEXT, read_text
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import DEFAULT_QUANTUM, Note, Quantum, ToTrace
from mmusim.cli.shared.recording import blocks, keep
from mmusim.workload.fault_trace import is_faults, parse_faults
from mmusim.workload.lackey import parse


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="Output of lackey (-: standard input), or faults: a table gfn,time_us with a "
            "header, or ftrace's kvm_page_fault.",
            metavar="FILE",
        ),
    ],
    to: ToTrace,
    quantum: Quantum = None,
    vcpu: Annotated[
        str,
        typer.Option(
            help="With faults: the vCPU, or all for all vCPUs in one order.", show_default=False
        ),
    ] = "",
    unit: Annotated[
        str, typer.Option(help="Unit of the times in a table: ns, us, ms or s.", show_default=False)
    ] = "",
    note: Note = "",
) -> None:
    """Convert the output of valgrind's lackey or of a page fault tracer into a trace file."""
    if str(source) != "-" and is_faults(source):
        refuse_ignored("workload import", "for faults", {"--quantum": quantum})
        text = read_text(source, MOST_TEXT)
        trace, said = parse_faults(text, str(source), {"note": note}, vcpu, unit)
        for one in said:
            typer.echo(one, err=True)
        keep(trace, to)
        return
    refuse_ignored("workload import", "for lackey's output", {"--vcpu": vcpu, "--unit": unit})
    try:
        with open(0 if str(source) == "-" else source, "rb", buffering=0) as file:  # noqa: PTH123
            trace = parse(blocks(file.fileno()), quantum or DEFAULT_QUANTUM, {"note": note})
    except OSError as error:
        raise ConfigError.of(
            "lackey output", str(source), None, f"cannot be read ({error.strerror})",
            "check path and permissions",
        ) from None  # fmt: skip
    keep(trace, to)
