"""How a cost distribution is written in TOML."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mmusim.base.quantities import Strict, Time
from mmusim.costs.distributions import (
    LONGEST_NS,
    Constant,
    Distribution,
    Empirical,
    Gamma,
    Lognormal,
    Shifted,
    mixture,
)

CostTime = Annotated[Time, Field(le=LONGEST_NS)]
"""A time that something costs: at most 4.9 hours."""
Positive = Annotated[CostTime, Field(gt=0)]


class LognormalSpec(Strict):
    """``{median = "1us", p99 = "3us"}``, or ``mean`` in place of ``median``."""

    median: Positive | None = None
    mean: Positive | None = None
    p90: Positive | None = None
    p95: Positive | None = None
    p99: Positive | None = None
    p999: Positive | None = None

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if (self.median is None) == (self.mean is None):
            raise ValueError('must give either median or mean; write e.g. median = "1us"')
        if len(self._quantiles()) != 1:
            raise ValueError('must give one of p90, p95, p99, p999; write e.g. p99 = "3us"')
        self.distribution()
        return self

    def _quantiles(self) -> list[tuple[float, float]]:
        given = ((0.9, self.p90), (0.95, self.p95), (0.99, self.p99), (0.999, self.p999))
        return [(p, value) for p, value in given if value is not None]

    def distribution(self) -> Distribution:
        """Return the lognormal."""
        ((p, value),) = self._quantiles()
        if self.mean is not None:
            return Lognormal.from_mean(self.mean, p, value)
        assert self.median is not None
        if value <= self.median:
            raise ValueError("the quantile must lie above the median; give a larger value")
        return Lognormal.from_quantile(self.median, p, value)


class GammaSpec(Strict):
    """``{mean = "1us", cv = 0.5}``; cv 1 is the exponential distribution."""

    mean: Positive
    cv: Annotated[float, Field(gt=0, le=3)]

    def distribution(self) -> Distribution:
        """Return the gamma distribution."""
        return Gamma(self.mean, self.cv)


class QuantileSpec(Strict):
    """``{p = [0, 0.5, 1], value = ["1us", "2us", "9us"]}``: linear between measured quantiles."""

    p: list[float]
    value: list[CostTime]

    @model_validator(mode="after")
    def _table(self) -> Self:
        if len(self.p) != len(self.value) or len(self.p) < 2:
            raise ValueError("must have as many p as values, at least two; complete the table")
        if self.p[0] != 0 or self.p[-1] != 1 or sorted(set(self.p)) != self.p:
            raise ValueError("p must ascend from 0 to 1; write e.g. p = [0, 0.5, 0.99, 1]")
        if sorted(self.value) != self.value:
            raise ValueError("the values must not descend; sort them")
        return self

    def distribution(self) -> Distribution:
        """Return the interpolated table."""
        return Empirical(tuple(self.p), tuple(self.value))


class ShiftedSpec(Strict):
    """``{by = "1us", base = COST}``."""

    by: CostTime
    base: CostSpec

    def distribution(self) -> Distribution:
        """Return the shifted distribution."""
        return Shifted(self.by, distribution(self.base))


class PartSpec(Strict):
    """``{weight = 1, of = COST}``: one part of a mixture."""

    weight: Annotated[float, Field(gt=0)]
    of: CostSpec


class MixtureSpec(Strict):
    """``{parts = [{weight = 999, of = COST}, {weight = 1, of = COST}]}``."""

    parts: Annotated[list[PartSpec], Field(min_length=1)]

    def distribution(self) -> Distribution:
        """Return the mixture."""
        return mixture([(part.weight, distribution(part.of)) for part in self.parts])


class Shape(Strict):
    """A distribution by the name of its shape; exactly one key."""

    lognormal: LognormalSpec | None = None
    gamma: GammaSpec | None = None
    quantiles: QuantileSpec | None = None
    shifted: ShiftedSpec | None = None
    mixture: MixtureSpec | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self._given()) != 1:
            shapes = ", ".join(type(self).model_fields)
            raise ValueError(f"must have exactly one shape; choose one of {shapes}")
        return self

    def _given(self) -> list[Any]:
        shapes = (self.lognormal, self.gamma, self.quantiles, self.shifted, self.mixture)
        return [shape for shape in shapes if shape is not None]

    def distribution(self) -> Distribution:
        """Return the distribution of the one shape given."""
        (shape,) = self._given()
        made: Distribution = shape.distribution()
        return made


def _kind(value: object) -> str:
    return "shape" if isinstance(value, (dict, Shape)) else "constant"


CostSpec = Annotated[
    Annotated[CostTime, Tag("constant")] | Annotated[Shape, Tag("shape")], Discriminator(_kind)
]
"""A constant such as ``"450ns"``, or a table with one shape."""


for _recursive in (ShiftedSpec, PartSpec):
    _recursive.model_rebuild(force=True)  # their fields name CostSpec, which is known only now


def distribution(spec: float | Shape) -> Distribution:
    """Return the distribution that a cost in a file means."""
    return spec.distribution() if isinstance(spec, Shape) else Constant(spec)


def rescaled(spec: float | Shape, factor: float) -> Any:
    """Return the cost with every time multiplied by `factor`, as a file has it.

    The shape stays: quantiles, mean and median grow alike.
    """
    return _text(_times(spec, factor))


def _times(spec: Any, factor: float) -> Any:
    if isinstance(spec, float | int):
        return spec * factor
    if isinstance(spec, GammaSpec):
        return spec.model_copy(update={"mean": spec.mean * factor})
    if isinstance(spec, QuantileSpec):
        return spec.model_copy(update={"value": [value * factor for value in spec.value]})
    if isinstance(spec, PartSpec):
        return spec.model_copy(update={"of": _times(spec.of, factor)})
    if isinstance(spec, list):
        return [_times(part, factor) for part in spec]
    given = {name: value for name, value in spec if value is not None}
    return spec.model_copy(update={name: _times(value, factor) for name, value in given.items()})


def _text(spec: Any) -> Any:
    if isinstance(spec, Strict):
        return spec.model_dump(mode="json", exclude_none=True)
    return f"{spec:.17g}ns"
