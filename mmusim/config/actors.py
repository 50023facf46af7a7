"""Tables of experiment files that put actors beside the guest."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, model_validator

from mmusim.actors import Actor, actor_named
from mmusim.base.packages import code_of
from mmusim.base.quantities import Strict, shown
from mmusim.config.load import check

MOST_ACTORS: Final = 100


class ActorTable(Strict):
    """A thread of the host, shipped or of an installed package; parameters stand beside `name`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    __pydantic_extra__: dict[str, Any]

    name: Annotated[str, Field(max_length=100), shown("page-aging")]
    """The name of the actor. `mmusim actors` lists all."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        self.actor()
        return self

    def actor(self) -> Actor:
        """Return the actor with its parameters.

        Raises
        ------
        ConfigError
            With every complaint about the name and the parameters.
        """
        given = self.__pydantic_extra__ or {}
        return check(given, actor_named(self.name), f"host.actors.{self.name}")

    def facts(self) -> dict[str, Any]:
        """Return what decides the actor: name, parameters, a hash of its package."""
        actor = self.actor()
        code = code_of(type(actor))
        return {"name": self.name, "code": code, **actor.model_dump(mode="json")}
