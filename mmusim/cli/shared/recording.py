"""Recording of page traces: valgrind runs the program, and mmusim converts its output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from mmusim.workload.trace_file import PageTrace, write_trace

BLOCK: Final = 1 << 22


def blocks(descriptor: int) -> Iterator[bytes]:
    """Read whole blocks: a pipe gives 64 KiB at a time."""
    parts: list[bytes] = []
    size = 0
    while part := os.read(descriptor, BLOCK):
        parts.append(part)
        size += len(part)
        if size >= BLOCK:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def keep(trace: PageTrace, to: Path) -> None:
    write_trace(trace, to)
    typer.echo(
        f"{to}: {len(trace.page):,} records of {trace.footprint:,} pages in "
        f"{trace.instructions:,} instructions, {to.stat().st_size:,} bytes"
    )
