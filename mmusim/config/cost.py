"""How a cost distribution is written in TOML."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mmusim.base.quantities import Strict, Time, shown
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
"""The time of an operation: at most 4.9 hours."""
Positive = Annotated[CostTime, Field(gt=0)]


class LognormalSpec(Strict):
    """``{median = "1us", p99 = "3us"}``, or ``mean`` in place of ``median``."""

    median: Annotated[Positive | None, shown("1us")] = None
    """Median. Without it, the distribution needs `mean`."""
    mean: Annotated[Positive | None, shown("1us")] = None
    """Mean. Without it, the distribution needs `median`."""
    p90: Annotated[Positive | None, shown("2us")] = None
    """90th percentile. Without it, another percentile is given."""
    p95: Annotated[Positive | None, shown("2us")] = None
    """95th percentile. Without it, another percentile is given."""
    p99: Annotated[Positive | None, shown("3us")] = None
    """99th percentile. Without it, another percentile is given."""
    p999: Annotated[Positive | None, shown("5us")] = None
    """99.9th percentile. Without it, another percentile is given."""

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
        """Return the lognormal, in ns.

        Raises
        ------
        ValueError
            If no lognormal has that mean or median and that quantile.
        """
        ((p, value),) = self._quantiles()
        if self.mean is not None:
            return Lognormal.from_mean(self.mean, p, value)
        assert self.median is not None
        if value <= self.median:
            raise ValueError("the quantile must lie above the median; give a larger value")
        return Lognormal.from_quantile(self.median, p, value)


class GammaSpec(Strict):
    """``{mean = "1us", cv = 0.5}``; cv 1 is the exponential distribution."""

    mean: Annotated[Positive, shown("1us")]
    """Mean."""
    cv: Annotated[float, Field(gt=0, le=3), shown(0.5, "ratio")]
    """Coefficient of variation. 1 is the exponential distribution."""

    def distribution(self) -> Distribution:
        """Return the gamma distribution."""
        return Gamma(self.mean, self.cv)


class QuantileSpec(Strict):
    """``{p = [0, 0.5, 1], value = ["1us", "2us", "9us"]}``: linear between measured quantiles."""

    p: Annotated[list[float], shown([0, 0.5, 1], "probability")]
    """Probabilities in ascending order, from 0 to 1."""
    value: Annotated[list[CostTime], shown(["1us", "2us", "9us"])]
    """The quantile of each probability."""

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

    by: Annotated[CostTime, shown("1us")]
    """The constant that is added."""
    base: Annotated[CostSpec, shown({"gamma": {"mean": "1us", "cv": 1.0}})]
    """The distribution that is shifted."""

    def distribution(self) -> Distribution:
        """Return the shifted distribution."""
        return Shifted(self.by, distribution(self.base))


class PartSpec(Strict):
    """``{weight = 1, of = COST}``: one part of a mixture."""

    weight: Annotated[float, Field(gt=0), shown(1, "relative weight")]
    """Weight of the part among the weights of all parts."""
    of: Annotated[CostSpec, shown("1us")]
    """Distribution of the part."""


class MixtureSpec(Strict):
    """``{parts = [{weight = 999, of = COST}, {weight = 1, of = COST}]}``."""

    parts: Annotated[
        list[PartSpec],
        Field(min_length=1, max_length=1000),
        shown([{"weight": 999, "of": "1us"}, {"weight": 1, "of": "50us"}]),
    ]
    """The parts of the mixture."""

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if not math.isfinite(sum(part.weight for part in self.parts)):
            raise ValueError("has weights whose sum is infinite; write smaller ones")
        return self

    def distribution(self) -> Distribution:
        """Return the mixture."""
        return mixture([(part.weight, distribution(part.of)) for part in self.parts])


class Shape(Strict):
    """A distribution by the name of its shape; exactly one key."""

    lognormal: Annotated[LognormalSpec | None, shown({"median": "1us", "p99": "3us"})] = None
    """A lognormal distribution. Without it, another shape is given."""
    gamma: Annotated[GammaSpec | None, shown({"mean": "1us", "cv": 0.5})] = None
    """A gamma distribution. Without it, another shape is given."""
    quantiles: Annotated[
        QuantileSpec | None, shown({"p": [0, 0.5, 1], "value": ["1us", "2us", "9us"]})
    ] = None
    """A table of quantiles, linear in between. Without it, another shape is given."""
    shifted: Annotated[ShiftedSpec | None, shown({"by": "1us", "base": "2us"})] = None
    """A distribution plus a constant. Without it, another shape is given."""
    mixture: Annotated[MixtureSpec | None, shown({"parts": [{"weight": 1, "of": "1us"}]})] = None
    """One of several distributions, by weight. Without it, another shape is given."""

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
        """Return the distribution of the given shape."""
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
    """Return the distribution of a cost in a file."""
    return spec.distribution() if isinstance(spec, Shape) else Constant(spec)


def rescaled(spec: float | Shape, factor: float) -> Any:
    """Return the cost with every time multiplied by `factor`, in the spelling of files.

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
