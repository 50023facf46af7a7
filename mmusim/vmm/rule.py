"""What rules of a VMM have in common: parameters as fields, and a name to find them by."""

from __future__ import annotations

from typing import Any, ClassVar

from mmusim.base.packages import register, summary_of
from mmusim.base.quantities import Strict


class Rule(Strict):
    """A kind of rule, or with a name a rule of that kind. Each kind has a registry of its own."""

    name: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    """What messages call it."""
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

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of the class docstring."""
        return summary_of(cls)
