"""The command line as a test calls it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from mmusim.__main__ import main
from mmusim.tests.support.places import ROOT


def mmusim(*args: object, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmusim", *map(str, args)]
    env = os.environ | more
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


def mmusim_here(*args: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The same in this process: quick, and an exception that nobody expects fails the test."""
    command = ["mmusim", *map(str, args)]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.chdir(cwd)
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
