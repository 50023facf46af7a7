"""Code of other packages that never returns is named, and everything else goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.patience import (
    SIGNAL,
    VARIABLE,
    NeverReturnedError,
    interrupted_after,
    within,
)
from mmusim.policies import Policy
from mmusim.policies.tables import tabulate

ROOT = Path(__file__).parents[3]
OUTSIDE = """
import time
from mmusim import Policy
from mmusim.mmu.spte import Edit

class Outside(Policy):
    def protect(self, spte):
        return Edit.WRITE_PROTECT
    def blocked(self, spte):
        BODY
        return Edit.ZAP
"""


def outside(tmp_path: Path, body: str) -> Policy:
    """Return a policy of another package; the body of `blocked` begins in line 10 of its file."""
    file = tmp_path / "outside.py"
    file.write_text(OUTSIDE.replace("BODY", body))
    names = {"__name__": "another_package"}
    exec(compile(file.read_text(), str(file), "exec"), names)
    made: Policy = names["Outside"]()  # type: ignore[operator]
    return made


SPINS = "end = time.monotonic() + 3\n        while time.monotonic() < end: pass"


WHERE = r"blocked: does not return within 0.3 s, it is at \S*outside.py:1[01], of \S*outside.py:9"


@pytest.mark.parametrize("body", [SPINS, "time.sleep(3)"])
def test_a_decision_that_never_returns_is_named(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "0.3")
    policy = outside(tmp_path, body)
    began = time.monotonic()
    for _ in range(2):  # the second time nobody waits
        with pytest.raises(ConfigError, match=WHERE):
            tabulate(policy)
    assert time.monotonic() - began < 3


def test_a_decision_that_returns_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control; without a limit nothing is in another thread."""
    tables = tabulate(outside(tmp_path, "pass"))
    monkeypatch.setenv(VARIABLE, "0")
    assert tabulate(outside(tmp_path, "time.sleep(0.001)")) == tables


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e99"])
def test_a_limit_that_is_no_number_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match="is not a number of seconds"):
        tabulate(outside(tmp_path, "pass"))


def test_what_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
    with pytest.raises(NeverReturnedError):
        within(0.01, lambda: time.sleep(0.5))
    assert within(5, lambda: 7) == 7


def test_an_error_without_a_frame_of_the_policy_names_no_file_of_python(tmp_path: Path) -> None:
    policy = outside(tmp_path, "pass")
    type(policy).protect = lambda: None  # type: ignore[method-assign, assignment, misc]
    type(policy).protect.__module__ = "another_package"
    with pytest.raises(ConfigError, match=r"raises TypeError: .* were given, it is of"):
        tabulate(policy)


def test_the_place_of_an_error_is_not_in_the_library_of_python(tmp_path: Path) -> None:
    """An enum raises in a file of Python's own; the name was written in the policy."""
    with pytest.raises(ConfigError, match=r"raises AttributeError: ZAPP \(\S*outside.py:11\)"):
        tabulate(outside(tmp_path, "pass\n        return Edit.ZAPP"))


HANGS = {
    "sleeps": "time.sleep(1e6)",
    "spins": "while True: pass",
    "catches": "while True:\n    try: time.sleep(1e6)\n    except Exception: pass",
    "waits": "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
}
STUBBORN = "while True:\n    try: time.sleep(1e6)\n    except BaseException: pass"


def installed(folder: Path, name: str, body: str) -> None:
    """Put a package with an entry point into a folder; its body begins in line 3 of its file."""
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[mmusim.policies]\nmine = {name}\n")
    (folder / f"{name}.py").write_text(
        f"import threading, time\nfrom mmusim import Policy\n{body}\n"
    )


def policies(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", VARIABLE: "0.5"}
    command = [sys.executable, "-m", "mmusim", "policies"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_an_import_that_never_returns_is_named_and_left_out(tmp_path: Path) -> None:
    for name, body in HANGS.items():
        installed(tmp_path, name, body)
    installed(tmp_path, "sound", 'class A(Policy, name="sound"):\n    """It was loaded."""')
    done = policies(tmp_path)
    assert done.returncode == 0
    assert "It was loaded." in done.stdout
    for name in HANGS:
        (line,) = (line for line in done.stderr.splitlines() if f"package '{name}'" in line)
        assert f"entry point 'mine' ({name}): its import does not return within 0.5 s" in line
        assert re.search(rf"it is at \S*/{name}\.py:[3-5] ", line)
        assert line.endswith("its policies are left out")
    assert "'sound'" not in done.stderr


@pytest.mark.parametrize("end", ["while True: pass", "raise ValueError"])
def test_what_a_package_defined_before_its_import_failed_is_left_out(
    tmp_path: Path, end: str
) -> None:
    """Negative control: the package with another name for it, and an import that ends."""
    policy = 'class A(Policy, name="early"):\n    """It came before the end."""'
    installed(tmp_path, "half", f"{policy}\n{end}")
    installed(tmp_path, "whole", policy.replace("early", "late").replace("before", "after"))
    done = policies(tmp_path)
    assert done.returncode == 0
    assert "It came after the end." in done.stdout
    assert "It came before the end." not in done.stdout
    (line,) = done.stderr.splitlines()
    assert "package 'half'" in line
    assert line.endswith("its policies are left out")


def test_an_import_that_cannot_be_interrupted_ends_the_command(tmp_path: Path) -> None:
    installed(tmp_path, "stubborn", STUBBORN)
    done = policies(tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "package 'stubborn', entry point 'mine' (stubborn): its import does not end" in line
    assert f"it is at {tmp_path}/stubborn.py:4" in line


@pytest.mark.parametrize("in_main_thread", [True, False])
def test_what_takes_too_long_is_interrupted_and_what_does_not_goes_on(
    in_main_thread: bool,
) -> None:
    """Negative control with the same time: work that ends is not interrupted."""
    found: list[object] = []

    def works() -> None:
        before = signal.getsignal(SIGNAL)
        with interrupted_after(5, found.append):
            found.append("ended")
        try:
            with interrupted_after(0.2, found.append):
                while True:
                    time.sleep(0.01)
        except NeverReturnedError as error:
            found.append(error)
        found.append(signal.getsignal(SIGNAL) == before)

    if in_main_thread:
        works()
    else:
        thread = threading.Thread(target=works)
        thread.start()
        thread.join(20)
    ended, error, restored = found
    assert (ended, restored) == ("ended", True)
    assert isinstance(error, NeverReturnedError)
