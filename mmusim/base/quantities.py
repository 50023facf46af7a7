"""Field types of files: text with a unit outside, a plain number inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from mmusim.base.errors import nearest
from mmusim.base.units import (
    BYTES,
    NS,
    RATES,
    parse_bytes,
    parse_fraction,
    parse_ns,
    parse_rate,
    show_bytes,
)


class Strict(BaseModel):
    """A frozen value that refuses unknown keys, wrong types, infinity and NaN.

    The docstring below a field is its description in the JSON schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def shown(example: Any, unit: str = "") -> Any:
    """Give a field an example in the spelling of files, and a unit where its type has none."""
    return Field(examples=[example], json_schema_extra={"unit": unit} if unit else None)


def _text_only(parse: Callable[[str], float], example: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, str):
            return parse(value)
        raise ValueError(f"must be text with a unit; write e.g. {example}")

    return read


def exact_ns(ns: float) -> str:
    """Write a time so that reading gives the same number."""
    for unit in ("s", "ms", "us"):
        if ns and ns % NS[unit] == 0:
            return f"{int(ns // NS[unit])}{unit}"
    if 0 < ns < 1e-98:  # an exponent of three digits is not read
        return f"{Decimal(repr(ns)):f}ns"
    return f"{ns:.17g}ns"


def _schema(what: str, units: Iterable[str], example: str) -> WithJsonSchema:
    unit = f"{what}: {', '.join(units)}"
    return WithJsonSchema(
        {"type": "string", "pattern": _pattern(units), "examples": [example], "unit": unit}
    )


def _pattern(units: Iterable[str]) -> str:
    number = r"[0-9][0-9_]*(\.[0-9]+)?(e[+-]?[0-9]{1,2})?"
    return rf"^\s*{number}\s*({'|'.join(units)})\s*$"


Time = Annotated[
    float,
    BeforeValidator(_text_only(parse_ns, '"300ms"')),
    PlainSerializer(exact_ns, return_type=str),
    _schema("time", NS, "300ms"),
]
"""A time, ``"300ms"``. Inside: float nanoseconds."""

Size = Annotated[
    int,
    BeforeValidator(_text_only(parse_bytes, '"4GiB"')),
    PlainSerializer(show_bytes, return_type=str),
    _schema("size", BYTES, "4GiB"),
]
"""A size, ``"4GiB"``: int bytes inside."""

Rate = Annotated[
    int,
    BeforeValidator(_text_only(parse_rate, '"128MiB/s"')),
    PlainSerializer(lambda rate: f"{show_bytes(rate)}/s", return_type=str),
    _schema("rate", RATES, "128MiB/s"),
]
"""Data per time, ``"128MiB/s"``. Inside: int bytes per second."""

Share = Annotated[
    float,
    BeforeValidator(_text_only(parse_fraction, '"20%"')),
    PlainSerializer(lambda share: f"{share * 100:.15g}%", return_type=str),
    _schema("share", ["%"], "20%"),
]
"""A share, ``"20%"``. Inside: float from 0 to 1."""

Count = Annotated[int, Field(ge=1, le=10**9)]
"""A whole number from 1 to a billion."""


def known_name(what: str, name: str, names: Iterable[str]) -> str:
    """Return `name` if it is one of `names`. For use in validators.

    Raises
    ------
    ValueError
        If it is not one of them. The message names the nearest known name.
    """
    names = list(names)
    if name not in names:
        raise ValueError(f"is not a {what}; {nearest(str(name), map(str, names))}")
    return name
