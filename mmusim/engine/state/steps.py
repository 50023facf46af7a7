"""Types of processes and their parts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeAlias

import simpy

Steps: TypeAlias = Generator[simpy.Event, Any, None]
"""A SimPy process, or a part of one."""
Outcome: TypeAlias = Generator[simpy.Event, Any, int]
"""A part of a process that returns a number."""
WorkItem: TypeAlias = Callable[[Any, Any], Steps]
"""Work of a vCPU's thread in user space, with the big lock held: VM, vCPU -> steps."""


class UnderWay(Protocol):
    """A vCPU's progress through its program."""

    def stop(self, now: int) -> None:
        """End the program with what is under way, and the requests that have arrived by `now`
        (ns).
        """

    def settle(self) -> None:
        """Mark what the run of hits under way has touched by now."""
