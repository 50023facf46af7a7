"""Code of other packages that never returns is named, and everything else goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.patience import VARIABLE, NeverReturnedError, within
from mmusim.policies import Policy
from mmusim.policies.tables import tabulate

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
