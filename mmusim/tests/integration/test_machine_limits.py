"""A full device and few file descriptors are told in one line, and soon."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from mmusim.__main__ import main
from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.machine_errors import explain
from mmusim.config.vm_and_host import MOST_SEEDS
from mmusim.experiment.run import run_experiment
from mmusim.tests.support.experiment_files import MINIMAL

SOON_S = 120
"""Processor seconds are few here; this bounds the wait on a busy machine."""
TINY = (
    MINIMAL.replace('{ do = "write" }', '{ do = "write", pages = "2%" }')
    + '[vm]\nmemory = "2MiB"\nkernel = "linux-6.8"\n[replications]\nseeds = 2\n'
)


class Done(NamedTuple):
    """How a command ended."""

    status: int
    stderr: str


def forked(
    *args: object, folder: Path, stdout: str = os.devnull, descriptors: int | None = None
) -> Done:
    """Call the command line in a fork of this process, which has imported what is slow.

    `descriptors` is how many files it can open beside its standard streams.
    """
    errors = folder / "stderr.txt"
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            signal.alarm(SOON_S)
            for number, path in ((1, stdout), (2, str(errors))):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.closerange(3, 4096)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["mmusim", *map(str, args)]
            if descriptors is not None:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (3 + descriptors, hard))
            try:
                main()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Done(status, errors.read_text())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("verb", ["show", "policies"])
def test_a_full_device_is_told_in_one_line(verb: str, tiny: Path, tmp_path: Path) -> None:
    args = [verb, tiny] if verb == "show" else [verb]
    done = forked(*args, folder=tmp_path, stdout="/dev/full")
    assert done == (2, "mmusim: No space left on device; free space, or write to another place\n")
    assert forked(*args, folder=tmp_path) == (0, ""), "negative control"


@pytest.mark.parametrize("descriptors", [0, 2, 5])
def test_few_descriptors_give_a_result_or_a_message(
    descriptors: int, tiny: Path, tmp_path: Path
) -> None:
    args = ("run", tiny, "--out", tmp_path / "out", "--workers", "1", "--engine", "simpy")
    done = forked(*args, folder=tmp_path, descriptors=descriptors)
    assert done.status in (0, 1, 2), done
    assert "Traceback" not in done.stderr
    if descriptors == 0:
        (line,) = done.stderr.splitlines()
        assert "Too many open files" in line
        return
    after = forked(*args, folder=tmp_path)
    assert after.status == 0, f"nothing that was stored stands in the way: {after.stderr}"


def test_what_the_machine_refuses_names_a_remedy() -> None:
    assert "ulimit -n" in explain(OSError(24, "Too many open files", "x.toml"))
    assert "ulimit -n" in explain(ImportError("x.so: cannot open: Too many open files"))
    assert "memory" in explain(MemoryError())
    try:
        raise ImportError("no module\nnamed x")
    except ImportError as error:
        said = explain(error)
    assert said.startswith("ImportError: no module named x (line ")
    assert "\n" not in said


@pytest.mark.parametrize("target", ["/dev/full", "/dev/null", "folder", "pipe"])
def test_a_device_is_not_replaced_by_a_file(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / target  # an absolute target stands for itself
    before = path.stat().st_mode
    with pytest.raises(ConfigError, match="is not a regular file"), whole(path) as unfinished:
        unfinished.write_text("x")
    assert path.stat().st_mode == before


def test_seeds_have_the_bound_of_the_file(tiny: Path, tmp_path: Path) -> None:
    done = forked("run", tiny, "--seeds", 10**9, folder=tmp_path)
    assert done.status == 2
    assert f"less than or equal to {MOST_SEEDS}" in done.stderr
    with pytest.raises(ConfigError, match=r"--seeds = 1000000000: is not from 1 to 100,000"):
        run_experiment(tiny, tmp_path / "out", seeds=10**9)


@pytest.mark.parametrize(
    ("path", "told"),
    [("x" * 300, "choose a shorter name"), ("no\nsuch", "check the path")],
)
def test_a_path_that_cannot_be_is_the_path_to_change(path: str, told: str, tmp_path: Path) -> None:
    """And not this machine with its Python packages."""
    with pytest.raises(OSError) as caught:
        (tmp_path / path).stat()
    said = explain(caught.value)
    assert said.endswith(told)
    assert "\n" not in said


def limited(folder: Path, limit: int) -> Done:
    """Show an experiment in a fresh interpreter whose address space has a bound."""
    file = folder / "tiny.toml"
    done = subprocess.run(
        [sys.executable, "-m", "mmusim", "show", str(file)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, timeout=SOON_S,
    )  # fmt: skip
    return Done(done.returncode, done.stderr)


def test_too_little_address_space_is_told_and_does_not_hang(tiny: Path, tmp_path: Path) -> None:
    """OpenBLAS tries for ever to get memory for its threads."""
    said = limited(tmp_path, 200_000 << 10)
    assert said.status == 2
    (line,) = said.stderr.splitlines()
    assert "the limit of memory is 200,000 kB" in line
    assert "ulimit -v 2000000" in line
    assert limited(tmp_path, 2_000_000 << 10) == (0, ""), "negative control: the remedy"
