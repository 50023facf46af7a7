"""Values of metrics as people read them."""

from __future__ import annotations

from mmusim.base.units import show_bytes, show_ns, show_number
from mmusim.vocabulary.metrics import METRICS


def amount(metric: str, value: float) -> str:
    """Return a value of a metric as text, with its unit.

    Raises
    ------
    KeyError
        If there is no such metric.
    """
    return in_unit(value, METRICS[metric].unit)


def in_unit(value: float, unit: str) -> str:
    """Return a value in a unit as text: times in the unit that suits them, four digits."""
    if unit == "ns":
        return show_ns(value)
    if unit == "bytes":
        return show_bytes(round(value))
    return f"{show_number(float(f'{value:.4g}'))} {unit}".strip()
