"""``mmusim workload record``: a trace of a program that runs under valgrind."""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import subprocess
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.cli.shared.options import DEFAULT_QUANTUM, Note, Quantum, ToTrace
from mmusim.cli.shared.recording import blocks, keep
from mmusim.workload.lackey import parse


def record(
    command: Annotated[
        list[str], typer.Argument(help="The program to run and its arguments, after --.")
    ],
    to: ToTrace,
    quantum: Quantum = None,
    instructions: Annotated[
        int,
        typer.Option(
            min=0, max=1 << 53, help="Stop soon after this many instructions; 0: run to the end."
        ),
    ] = 0,
    note: Note = "",
) -> None:
    """Run a program under valgrind and record the pages that it touches."""
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
            trace = parse(blocks(out), quantum or DEFAULT_QUANTUM, facts, instructions)
            stopped = 0 < instructions <= trace.instructions and process.poll() is None
            if stopped:
                process.terminate()
        except BaseException:
            process.kill()
            raise
        finally:
            os.close(out)
    keep(trace, to)
    raise typer.Exit(0 if stopped else process.returncode)
