"""What a rule of switch-over is, and what it may look at."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, NamedTuple

from mmusim.base.packages import register, summary_of
from mmusim.base.quantities import Strict


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


class SwitchOver(Strict):
    """A rule of when to stop the guest and send the rest.

    A rule is a pure function of what the VMM has seen: it never waits, draws nothing and keeps
    nothing. Its fields are its parameters, as a file has them. Subclass with ``name="kebab-case"``
    and a field ``rule: Literal["kebab-case"]`` to register a rule.
    """

    name: ClassVar[str] = ""
    _registry: ClassVar[dict[str, type[SwitchOver]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        """Register the class under `name`.

        Raises
        ------
        TypeError
            If another class has the name, or the field `rule` has another.
        """
        super().__pydantic_init_subclass__(**kwargs)
        if not name:
            return
        if "rule" not in cls.model_fields:
            raise TypeError(f'rule {name!r} needs a field `rule: Literal["{name}"]`')
        cls.name = name
        register("switch-over rule", SwitchOver._registry, name, cls)

    def __init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        """Take the name; pydantic registers the class once its fields are known."""
        super().__init_subclass__(**kwargs)

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of the class docstring."""
        return summary_of(cls)

    def may_be_left(self, seen: Seen) -> float:
        """Return how many bytes may be left when the guest is stopped.

        When less is left, the log is read; if it is still less then, the guest is stopped.
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
