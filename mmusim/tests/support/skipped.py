"""What was skipped, kind by kind, and what would enable it: the last lines of a test run.

The reason of a skip is worded as messages to users are: what is missing; what would provide it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End a test run with what was skipped: a hook for conftest.py."""
    for line in kinds(terminalreporter.stats.get("skipped", [])) or ["no test was skipped"]:
        terminalreporter.write_line(line)


def kinds(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return a line for each kind of skipped test, the most frequent first."""
    counted = Counter(_reason(report) for report in reports)
    return [_line(reason, count) for reason, count in counted.most_common()]


def _reason(report: pytest.TestReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def _line(reason: str, count: int) -> str:
    missing, _, remedy = reason.partition("; ")
    return f"{count} skipped: {missing}. To enable: {remedy or 'unknown'}."


def without_remedy(source: str) -> list[int]:
    """Return the lines of skips in a test module whose reason does not say what would help."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in ("skip", "skipif", "importorskip"):
            continue
        given = {k.arg: k.value for k in node.keywords}.get("reason")
        if node.func.attr == "skip" and given is None and node.args:
            given = node.args[0]
        literal = str(given.value) if isinstance(given, ast.Constant) else "; "
        if given is None or "; " not in literal:
            found.append(node.lineno)
    return found
