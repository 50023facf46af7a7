"""Recording page traces: valgrind runs the program, its output is converted as it comes."""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import typer

from mmusim.base.errors import ConfigError
from mmusim.workload.lackey import parse
from mmusim.workload.trace_file import PageTrace, write_trace

BLOCK: Final = 1 << 22


def import_trace(source: Path, to: Path, quantum: int, note: str) -> None:
    """Convert a file of lackey's output; ``-`` is standard input."""
    try:
        with open(0 if str(source) == "-" else source, "rb", buffering=0) as file:  # noqa: PTH123
            trace = parse(_blocks(file.fileno()), quantum, {"note": note})
    except OSError as error:
        raise ConfigError.of(
            "lackey output", str(source), None, f"cannot be read ({error.strerror})",
            "check path and permissions",
        ) from None  # fmt: skip
    _write(trace, to)


def record(command: Sequence[str], to: Path, quantum: int, limit: int, note: str) -> int:
    """Run a command under valgrind and write its trace; return the command's exit status."""
    if not to.parent.is_dir():  # known before hours of recording
        raise ConfigError.of("trace", str(to), None, "the folder does not exist", "make it first")
    if shutil.which(command[0]) is None:
        raise ConfigError.of(
            "workload record", "COMMAND", command[0], "is not a program", "check name and PATH"
        )
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise ConfigError.of(
            "workload record", "valgrind", None, "is not installed", "apt-get install valgrind"
        )
    version = subprocess.run([valgrind, "--version"], capture_output=True, text=True, check=False)
    facts = {
        "command": shlex.join(command),
        "tool": f"{version.stdout.strip()} --tool=lackey --trace-mem=yes",
        "recorded": datetime.date.today().isoformat(),
        "note": note,
    }
    out, into = os.pipe()
    tool = [valgrind, "--tool=lackey", "--trace-mem=yes", f"--log-fd={into}", *command]
    with subprocess.Popen(tool, pass_fds=(into,)) as process:
        os.close(into)
        try:
            trace = parse(_blocks(out), quantum, facts, limit)
            stopped = 0 < limit <= trace.instructions and process.poll() is None
            if stopped:
                process.terminate()
        except BaseException:
            process.kill()
            raise
        finally:
            os.close(out)
    _write(trace, to)
    return 0 if stopped else process.returncode


def _blocks(descriptor: int) -> Iterator[bytes]:
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


def _write(trace: PageTrace, to: Path) -> None:
    write_trace(trace, to)
    typer.echo(
        f"{to}: {len(trace.page):,} records of {trace.footprint:,} pages in "
        f"{trace.instructions:,} instructions, {to.stat().st_size:,} bytes"
    )
