"""The source of the model, as a hash: what decides the result of a run."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
MODEL: Final = (
    "base/units.py", "base/histogram.py", "vocabulary", "mmu", "policies", "workload", "costs",
    "config", "plan", "trace", "engine", "metrics",
)  # fmt: skip
"""The rooms that decide what a run gives; what is above them only reads it."""


@cache
def code_hash() -> str:
    """Return a hash of the model's code, eight hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=4)
    for room in MODEL:
        place = _PACKAGE / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = path.relative_to(_PACKAGE).as_posix()
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()
