"""Rounding and division of numbers with the results that Python gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.jit import jit


@jit
def whole(number: Any) -> Any:
    """Return a whole number or a truth value as an actor's row keeps it: int64."""
    return np.int64(number)


@jit
def truncated(number: float) -> Any:
    """Return a number rounded as ``int`` does: towards 0, as int64."""
    return np.int64(number)


@jit
def rounded(number: float) -> Any:
    """Return a number rounded as ``round`` does: to the nearest whole number, halves to even, as
    int64.
    """
    return np.int64(np.rint(number))
