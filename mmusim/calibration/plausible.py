"""Measured times are compared with what is plausible: a wrong unit is off by a thousand."""

from __future__ import annotations

from mmusim.base.errors import ConfigError
from mmusim.calibration.foreign_series import Foreign
from mmusim.config.plausible import plausible


def check_plausible(cost: str, data: Foreign) -> None:
    """Compare measured times with what the cost can plausibly be.

    Raises
    ------
    ConfigError
        If they lie outside.
    """
    excess = plausible(cost).excess(data.median(), data.mean())
    if excess:
        raise ConfigError.of(
            "fit", cost, None, f"would have {excess}",
            "check which column or map was read and its unit; if it is right, allow it with "
            "--implausible",
        )  # fmt: skip
