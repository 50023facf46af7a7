"""What a throttle of a VMM is, and what it may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from mmusim.base.units import NS
from mmusim.vmm.qemu import Qemu
from mmusim.vmm.rule import LEAST_SLEEP_NS, TEXT, Answer, Rule, is_whole, number, whole

TIMESLICE_NS: Final = 10 * NS["ms"]
"""CPU_THROTTLE_TIMESLICE_NS of QEMU: how long a vCPU runs between two sleeps."""
MOST_SHARE: Final = 0.99
"""Largest share of the time that a rule may take (CPU_THROTTLE_PCT_MAX)."""


def _is_cycle(answer: Any) -> bool:
    if not (isinstance(answer, tuple) and len(answer) == 2):
        return False
    sleep, cycle = answer
    return (
        is_whole(sleep, 0)
        and is_whole(cycle, LEAST_SLEEP_NS)
        and bool(sleep <= cycle <= 3600 * NS["s"])
    )


OFTEN: Final = Answer(
    "0 or a whole number of ns from 50 us on",
    lambda x: is_whole(x, LEAST_SLEEP_NS) or (is_whole(x, 0) and x == 0),
)


class Period(NamedTuple):
    """What happened from one judgement of a throttle to the next."""

    end_ns: int  # since the migration began
    dirty: int  # bytes that became dirty
    sent: int  # bytes


class Watched(NamedTuple):
    """What a throttle knows: every period so far, and how much it takes now."""

    periods: Sequence[Period]
    share: float  # of the time of each vCPU, as this throttle asked for last
    qemu: Qemu


class Throttle(Rule):
    """A rule of how a VMM slows down a guest that dirties more than is sent.

    A rule is a pure function of what the VMM has watched: it never waits, draws nothing and keeps
    nothing. Its fields are its parameters, as a file has them. Subclass with ``name="kebab-case"``
    and a field ``rule: Literal["kebab-case"]`` to register a rule.
    """

    kind: ClassVar[str] = "throttle"
    key: ClassVar[str] = "throttle"
    answers: ClassVar[Mapping[str, Answer]] = {
        "share": number(0, MOST_SHARE, f"a share from 0 to {MOST_SHARE}"),
        "quota": whole(0, "a whole number of bytes per second, 0 or more"),
        "cycle": Answer(
            "(sleep, cycle) in whole ns, of which the sleep is part of the cycle and the cycle "
            "50 us to 1 h", _is_cycle
        ),
        "sync_every": OFTEN,
        "overdue_after": OFTEN,
        "beyond": TEXT,
    }  # fmt: skip
    least_period_ns: ClassVar[int] = NS["s"]
    """A sync ends a period, and the rule is asked, if the period is longer than that."""
    needs_rings: ClassVar[bool] = False
    """Whether it measures vCPUs by their dirty rings."""
    _registry: ClassVar[dict[str, type[Throttle]]] = {}

    def share(self, watched: Watched) -> float:
        """Return the share of its time that each vCPU sleeps from now on, from 0 to 0.99.

        It is asked at the end of each period.
        """
        return watched.share

    def quota(self, watched: Watched) -> int:
        """Return how many bytes per second each vCPU may dirty from now on; 0 for no limit."""
        del watched
        return 0

    def cycle(self, share: float) -> tuple[int, int]:
        """Return how long a vCPU sleeps, and from the begin of one sleep to the next, in ns.

        QEMU lets it run for CPU_THROTTLE_TIMESLICE_NS, 10 ms, between two sleeps.
        """
        return int(share / (1 - share) * TIMESLICE_NS), int(TIMESLICE_NS / (1 - share))

    def sync_every(self, qemu: Qemu) -> int:
        """Return the time after which a timer reads the log if nobody else did, in ns; 0: none."""
        del qemu
        return 0

    def overdue_after(self, share: float) -> int:
        """Return how long after a sync a thread of the throttle reads the log, in ns; 0: it ends.

        The thread looks every second, with the share that is taken then, from the second pass over
        memory on. What it reads is judged at once, and sent after the pass in progress.
        """
        del share
        return 0

    def beyond(self, qemu: Qemu) -> str:
        """Return why a release of QEMU does not have this rule; or nothing."""
        del qemu
        return ""


def throttles() -> dict[str, type[Throttle]]:
    """Return every registered throttle by name."""
    return dict(sorted(Throttle._registry.items()))
