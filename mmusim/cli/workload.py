"""``mmusim workload``: access patterns and recorded traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List, show, import and record workloads.", no_args_is_help=True, rich_markup_mode=None
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
TraceOut = Annotated[Path, typer.Option("--out", help="Trace file to write.")]
Quantum = Annotated[
    int, typer.Option(min=1, max=10**9, help="Keep a page once as read and as written in so many "
                      "instructions.")
]  # fmt: skip
Note = Annotated[str, typer.Option(help="Kept in the file, e.g. package and version.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the access patterns and their parameters."""
    from mmusim.cli.workload_views import list_patterns

    list_patterns(as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A pattern, a workload file or a trace file.")],
    memory: Annotated[str, typer.Option(help="Memory of one vCPU.")] = "64MiB",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    as_json: AsJson = False,
) -> None:
    """Show parameters, footprint, write share, and the writable working set by window length."""
    from mmusim.cli.workload_views import show as verb

    verb(name, memory, seed, as_json)


@app.command()
def plot(
    names: Annotated[list[str], typer.Argument(help="Patterns, workload files or trace files.")],
    to: Annotated[Path, typer.Option("--to", help="A .svg, .png or .pdf file to write.")],
) -> None:
    """Draw the writable working set against window length, of programs recorded or made up."""
    from mmusim.cli.workload_views import plot as verb

    verb(names, to)


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="Output of lackey; - is standard input.", metavar="LACKEY_OUTPUT")
    ],
    out: TraceOut,
    quantum: Quantum = 1000,
    note: Note = "",
) -> None:
    """Convert what valgrind --tool=lackey --trace-mem=yes wrote into a trace file."""
    from mmusim.cli.recording import import_trace

    import_trace(source, out, quantum, note)


@app.command()
def record(
    command: Annotated[list[str], typer.Argument(help="Behind --: what to run.")],
    out: TraceOut,
    quantum: Quantum = 1000,
    instructions: Annotated[
        int, typer.Option(min=0, help="Stop soon after so many; 0 runs to the end.")
    ] = 0,
    note: Note = "",
) -> None:
    """Run a program under valgrind and write which pages it touches, as it goes."""
    from mmusim.cli.recording import record as verb

    raise typer.Exit(verb(command, out, quantum, instructions, note))
