"""``mmusim workload import``: a trace from the output of lackey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.cli.shared.options import Note, Quantum, ToTrace
from mmusim.cli.shared.recording import blocks, keep
from mmusim.workload.lackey import parse

RENAMED = {
    "--out": "--to",
}


def import_(
    source: Annotated[
        Path, typer.Argument(help="Output of lackey; - is standard input.", metavar="LACKEY_OUTPUT")
    ],
    to: ToTrace,
    quantum: Quantum = 1000,
    note: Note = "",
) -> None:
    """Convert what valgrind --tool=lackey --trace-mem=yes wrote into a trace file."""
    try:
        with open(0 if str(source) == "-" else source, "rb", buffering=0) as file:  # noqa: PTH123
            trace = parse(blocks(file.fileno()), quantum, {"note": note})
    except OSError as error:
        raise ConfigError.of(
            "lackey output", str(source), None, f"cannot be read ({error.strerror})",
            "check path and permissions",
        ) from None  # fmt: skip
    keep(trace, to)
