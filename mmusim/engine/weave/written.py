"""The woven text as a file, so that a later start reads it and does not weave."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from typing import Any

from mmusim.engine.weave.graph import Asked
from mmusim.engine.weave.weaver import Woven


def written(woven: Woven) -> str:
    """Return a woven process as JSON; functions and exceptions stand by module and name."""
    facts = asdict(woven)
    facts["places"] = list(woven.places.items())
    facts["asked"] = [
        [_name(one.function), one.returns, one.where, one.takes] for one in woven.asked
    ]
    facts["escapes"] = [[_name(error), place] for error, place in woven.escapes.items()]
    return json.dumps(facts)


def read(text: str) -> Woven:
    """Return the woven process that :func:`written` has written."""
    facts = json.loads(text)
    asked = [Asked(_named(function), *rest) for function, *rest in facts["asked"]]
    return Woven(
        source=facts["source"],
        constants=facts["constants"],
        begins=facts["begins"],
        places=dict(facts["places"]),
        fields=tuple(facts["fields"]),
        lists=tuple(facts["lists"]),
        asked=tuple(asked),
        escapes={_named(error): place for error, place in facts["escapes"]},
        texts=tuple(facts["texts"]),
    )


def _name(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def _named(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)
