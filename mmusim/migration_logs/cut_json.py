"""JSON that was cut short: what stands before the cut."""

from __future__ import annotations

import json
from typing import Any, Final

MOST_CHARACTERS: Final = 1 << 20
"""Characters of one object that are looked at."""
_CLOSING: Final = {"{": "}", "[": "]"}


def mended_json(text: str) -> tuple[Any, int]:
    """Return the object that a text begins with, without the pair at which it was cut.

    Also returns where the cut is: behind the text, in a line that ends within a string, or before
    a bracket that cannot stand where it does. The object is None if it has no whole pair.
    """
    open_: list[str] = []
    safe, closers, before = 0, "", ""
    in_string = escaped = False
    cut = min(len(text), MOST_CHARACTERS)
    for i, character in enumerate(text[:MOST_CHARACTERS]):
        if in_string and character != "\n":
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
            continue
        misplaced = character in _CLOSING and before not in ("", ":", ",", "[")
        if character in "}]" and (not open_ or open_[-1] != character):
            misplaced = True
        if in_string or misplaced:
            cut = max(i, 1)
            break
        if character == '"':
            in_string = True
        elif character in _CLOSING:
            open_.append(_CLOSING[character])
            safe, closers = i + 1, "".join(reversed(open_))
        elif character in "}]":
            open_.pop()
            safe, closers = i + 1, "".join(reversed(open_))
        elif character == ",":
            safe, closers = i, "".join(reversed(open_))
        before = before if character.isspace() else character
    try:
        return json.loads(text[:safe] + closers), cut
    except (ValueError, RecursionError):
        return None, cut
