"""What rules of a VMM have in common: parameters as fields, a name to find them by, and how they
are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from mmusim.base.errors import ConfigError
from mmusim.base.packages import register, source_of, summary_of
from mmusim.base.patience import asked
from mmusim.base.quantities import Strict
from mmusim.base.units import NS

LARGEST_ANSWER: Final = 1 << 62
"""Largest number of bytes or nanoseconds that a rule may answer."""
LEAST_SLEEP_NS: Final = 50 * NS["us"]
"""Slack of a Linux timer (PR_SET_TIMERSLACK): nothing that a rule asks for comes more often."""


NUMBERS: Final = (int, float, np.integer, np.floating)


def is_whole(x: object, least: int) -> bool:
    """Tell whether it is a whole number of at least so many, up to :data:`LARGEST_ANSWER`."""
    return isinstance(x, int | np.integer) and bool(least <= x <= LARGEST_ANSWER)


class Answer(NamedTuple):
    """What a rule may answer to a question."""

    said: str  # in a message, after "is not"
    fits: Callable[[Any], bool]


def number(least: float, most: float, said: str) -> Answer:
    """Any number within bounds."""
    return Answer(said, lambda x: isinstance(x, NUMBERS) and bool(least <= x <= most))


def whole(least: int, said: str) -> Answer:
    """A whole number of at least so many, below :data:`LARGEST_ANSWER`."""
    return Answer(said, partial(is_whole, least=least))


TEXT: Final = Answer("text", lambda x: isinstance(x, str))
YES_OR_NO: Final = Answer("True or False", lambda x: isinstance(x, bool | np.bool_))


class Rule(Strict):
    """A kind of rule, or with a name a rule of that kind. Each kind has a registry of its own."""

    name: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    """What messages call it."""
    key: ClassVar[str] = ""
    """The key that names a rule of this kind."""
    table: ClassVar[str] = "driver.migration"
    """The table that the key is in."""
    answers: ClassVar[Mapping[str, Answer]] = {}
    """Question, which is the name of a method, and what may be answered."""
    _registry: ClassVar[dict[str, type[Any]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        """Register the class under `name`.

        Raises
        ------
        TypeError
            If another class has the name, or there is no field `rule`.
        """
        super().__pydantic_init_subclass__(**kwargs)
        if not name:
            return
        if "rule" not in cls.model_fields:
            raise TypeError(f'{cls.kind} {name!r} needs a field `rule: Literal["{name}"]`')
        cls.name = name
        register(cls.kind, cls._registry, name, cls)

    def __init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        """Take the name; pydantic registers the class once its fields are known."""
        super().__init_subclass__(**kwargs)

    def ask(self, question: str, *about: Any) -> Any:
        """Return what the rule answers. Who uses a rule asks it through this.

        Raises
        ------
        ConfigError
            If it does not return, raises, or answers what cannot be; names the rule's package, file
            and line.
        """
        function = getattr(type(self), question)
        remedy = f"correct the rule, or choose another {self.kind}"
        answer = asked(
            f"{self.table}.{self.key}", f"{question} of {self.name}", function,
            lambda: function(self, *about), remedy,
        )  # fmt: skip
        may_be = self.answers[question]
        if not may_be.fits(answer):
            raise ConfigError.of(
                f"{self.table}.{self.key}", f"{question} of {self.name}", answer,
                f"is not {may_be.said}, and the rule is of {source_of(function)}", remedy,
            )  # fmt: skip
        return answer

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of the class docstring."""
        return summary_of(cls)
