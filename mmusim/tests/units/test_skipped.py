"""The end of a test run lists what was skipped."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

SOME = """
import pytest
@pytest.mark.parametrize("n", range(3))
@pytest.mark.skipif(True, reason="there is no moon; wait a night")
def test_a(n): pass
def test_b(): pytest.skip("there is no sun; wait a day")
def test_c(): pass
"""


def end_of(pytester: pytest.Pytester, tests: str) -> list[str]:
    pytester.makeconftest("from mmusim.tests.support.skipped import pytest_terminal_summary")
    pytester.makepyfile(tests)
    return pytester.runpytest("-p", "no:cacheprovider").outlines


def test_a_line_for_each_kind_with_its_remedy(pytester: pytest.Pytester) -> None:
    lines = end_of(pytester, SOME)
    assert "3 skipped: there is no moon. To enable: wait a night." in lines
    assert "1 skipped: there is no sun. To enable: wait a day." in lines
    assert "no test was skipped" not in lines


def test_nothing_skipped_is_said(pytester: pytest.Pytester) -> None:
    assert "no test was skipped" in end_of(pytester, "def test_a(): pass")
