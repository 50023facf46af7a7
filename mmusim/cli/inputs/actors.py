"""``mmusim actors``: threads of the host, shipped and of installed packages."""

from __future__ import annotations

from mmusim.actors import Actor
from mmusim.actors import actors as registered
from mmusim.base.packages import source_of
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.config.schema import schema_of


def actors(as_json: AsJson = False) -> None:
    """List the actors, shipped and of installed packages, with their parameters."""
    rows = [
        {
            "actor": name,
            "what_it_does": cls.summary(),
            "parameters": _parameters(cls),
            "source": source_of(cls.process),
        }
        for name, cls in registered().items()
    ]
    table("Actors", rows, as_json)


def _parameters(cls: type[Actor]) -> str:
    """Return keys, defaults and meanings of an actor's parameters."""
    texts = []
    for key, found in schema_of(cls).get("properties", {}).items():
        default = f" = {found['default']}" if "default" in found else ""
        about = " ".join(str(found.get("description", "")).replace("``", "").split()).rstrip(".")
        texts.append(f"{key}{default}: {about}" if about else f"{key}{default}")
    return "; ".join(texts)
