"""What a rule of switch-over is, and what it may look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, NamedTuple

from mmusim.vmm.rule import YES_OR_NO, Answer, Rule, number


class Then(Enum):
    """What a rule wants after a sync at which more is left than may be."""

    GO_ON = "go-on"
    SWITCH_OVER = "switch-over"
    POSTCOPY = "post-copy"
    GIVE_UP = "give-up"


class Seen(NamedTuple):
    """What the migration thread of a VMM knows. It does not know the guest's dirty rate."""

    now_ns: int  # since the migration began
    left: int  # bytes of guest memory still to send
    bandwidth: float  # bytes per second, as measured last; 0 before that
    downtime_limit: float  # ns, as the user asked
    syncs: tuple[tuple[int, int], ...]  # (time, bytes left) of the end of each round, in ns
    sent: int  # bytes
    memory: int  # bytes of the guest

    @property
    def rounds(self) -> int:
        """Return how many rounds have ended."""
        return len(self.syncs)


class SwitchOver(Rule):
    """A rule of when to stop the guest and send the rest.

    A rule is a pure function of what the VMM has seen: it never waits, draws nothing and keeps
    nothing. Its fields are its parameters, as a file has them. Subclass with ``name="kebab-case"``
    and a field ``rule: Literal["kebab-case"]`` to register a rule.
    """

    kind: ClassVar[str] = "switch-over rule"
    key: ClassVar[str] = "switch_over"
    answers: ClassVar[Mapping[str, Answer]] = {
        "may_be_left": number(0, math.inf, "a number of bytes, 0 or more"),
        "is_due": YES_OR_NO,
        "after_sync": Answer("Then.GO_ON or another Then", lambda x: isinstance(x, Then)),
    }
    _registry: ClassVar[dict[str, type[SwitchOver]]] = {}

    def may_be_left(self, seen: Seen) -> float:
        """Return how many bytes may be left when the guest is stopped. Every rule must say so.

        When less is left, the log is read; if it is still less then, the guest is stopped.

        Raises
        ------
        NotImplementedError
            If the rule does not.
        """
        raise NotImplementedError(f"rule {self.name!r} does not say how much may be left")

    def is_due(self, seen: Seen) -> bool:
        """Tell whether to end the round now, whatever is left, and ask :meth:`after_sync`."""
        del seen
        return False

    def after_sync(self, seen: Seen) -> Then:
        """Say what to do after a sync that ended a round and left more than may be left."""
        del seen
        return Then.GO_ON


def switch_overs() -> dict[str, type[SwitchOver]]:
    """Return every registered rule by name."""
    return dict(sorted(SwitchOver._registry.items()))
