"""Runs pytest again and again, each time in a fork of a process that has imported what is heavy.

Reads a JSON list of arguments a line and answers with a JSON object a line. Nothing of mmusim is
imported before the fork, so that each run tests the sources as they are then.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback

import hypothesis.stateful  # noqa: F401
import numpy as np  # noqa: F401
import pydantic  # noqa: F401
import pytest
import scipy.special
import scipy.stats  # noqa: F401
import simpy  # noqa: F401
import typer.testing  # noqa: F401

KNOWN = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins that are imported already


def forked(arguments: list[str]) -> dict[str, object]:
    """Run pytest in a child; return its exit status and what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 99
            try:
                status = int(pytest.main([*KNOWN, *arguments]))
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        return {"returncode": status, "stdout": output.read()}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
