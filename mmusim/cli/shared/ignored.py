"""Refuses options that would make no difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmusim.base.errors import Complaint, ConfigError


def refuse_ignored(verb: str, why: str, options: Mapping[str, Any]) -> None:
    """Refuse given options that the command would ignore.

    Parameters
    ----------
    verb : str
    why : str
        When they are ignored, such as ``"with --recorded"``.
    options : mapping
        Values by the names of the options; None, False and what is empty were not given.

    Raises
    ------
    ConfigError
        For all of them at once.
    """
    given = {name: value for name, value in options.items() if value not in (None, False, "", [])}
    if given:
        raise ConfigError(
            [
                Complaint(
                    verb, name, None if value is True else str(value), f"makes no difference {why}",
                    "leave it out",
                )
                for name, value in given.items()
            ]
        )  # fmt: skip
