"""Sources that are left out of a fit, so that all of their values are predicted."""

from __future__ import annotations

from collections.abc import Sequence

from mmusim.base.errors import ConfigError, require_known
from mmusim.validation.fit import in_least_squares
from mmusim.validation.published import PublishedValue


def leave_out(
    values: Sequence[PublishedValue], sources: Sequence[str]
) -> tuple[list[PublishedValue], list[PublishedValue]]:
    """Return the values of all other sources, and those of these sources that can be predicted.

    Raises
    ------
    ConfigError
        If there is no such source, it has nothing to predict, or the others have nothing to fit.
    """
    known = list(dict.fromkeys(value.id for value in values if value.run is not None))
    for source in sources:
        rule = "is no source with values to predict"
        require_known(source, known, "validate", "--leave-out", rule)
    others = [value for value in values if value.id not in sources]
    if not sources or not any(map(in_least_squares, others)):
        raise ConfigError.of(
            "validate", "--leave-out", ",".join(sources), "leaves no values to fit costs to",
            "leave out fewer sources, e.g. A3",
        )  # fmt: skip
    return others, [value for value in values if value.id in sources and value.run is not None]
