"""The order of tests when several workers share them."""

from __future__ import annotations

import pytest


def slow_first(items: list[pytest.Item]) -> None:
    """Sort tests that are marked slow to the front, and keep the order of all others.

    The worker that begins at the front has the slow tests, and the other takes over what is left
    of its share. If a slow test came last, the other worker would wait for minutes.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
