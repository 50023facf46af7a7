"""``mmusim workload list``: the access patterns."""

from __future__ import annotations

import json
from typing import Any, get_args

from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.config.workloads import PATTERNS


def list_(as_json: AsJson = False) -> None:
    """List the access patterns and their parameters."""
    rows = [
        {
            "pattern": name,
            "parameters": ", ".join(_parameters(cls)),
            "what_it_is": (cls.__doc__ or "").partition("\n\n")[0].replace("\n    ", " "),
        }
        for name, cls in PATTERNS.items()
    ]
    table("Access patterns", rows, as_json)


def _parameters(cls: Any) -> list[str]:
    """Return parameters as a file has them, `name = default`."""
    fields = [name for name in cls.model_fields if name != "pattern"]
    required = {n: "" for n in fields if cls.model_fields[n].is_required()}
    made = cls(pattern=get_args(cls.model_fields["pattern"].annotation)[0], **required)
    data = made.model_dump(mode="json", include=set(fields))
    return [n if n in required else f"{n} = {json.dumps(data[n])}" for n in fields]
