"""The settings of an experiment: a grid, keys that change together, points of a design."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from mmusim.base.errors import Complaint
from mmusim.base.quantities import Count, Strict, shown
from mmusim.config.ranges import Range, kind_of

Values = Annotated[list[Any], Field(min_length=1)]
MOST_SETTINGS: Final = 4_096
"""Of a sweep, all variants together."""
Point = dict[str, Any]
"""Dotted keys and the values they take."""


class Sample(Strict):
    """Points spread over ranges: a grid of as many dimensions needs far more."""

    design: Annotated[Literal["sobol", "latin-hypercube", "random"], shown("sobol")]
    """`sobol`: scrambled, even in all dimensions together. `latin-hypercube`: even in each
    dimension. `random`: independent points.
    """
    points: Annotated[Count, shown(64, "points")]
    """Number of points; a power of two for Sobol."""
    seed: Annotated[int, Field(ge=0), shown(1, "a seed")] = 1
    """Seed of the design. Seeds of runs are in `replications`."""
    ranges: Annotated[
        dict[str, Range], Field(min_length=1), shown({"vm.vcpus": {"from": 1, "to": 64}})
    ]
    """Ranges by dotted key."""

    def draw(self) -> list[Point]:
        """Return the points; the same for the same design, number, seed and ranges."""
        from scipy.stats import qmc

        size, dimensions = self.points, len(self.ranges)
        if self.design == "sobol":
            shares = qmc.Sobol(dimensions, rng=self.seed).random(size)
        elif self.design == "latin-hypercube":
            shares = qmc.LatinHypercube(dimensions, rng=self.seed).random(size)
        else:
            import numpy as np

            shares = np.random.default_rng(self.seed).random((size, dimensions))
        return [
            {key: r.at(float(u)) for (key, r), u in zip(self.ranges.items(), row, strict=True)}
            for row in shares
        ]

    def ends(self) -> Iterator[Point]:
        """Yield each end of each range alone, so that each error is reported once."""
        for key, limits in self.ranges.items():
            yield {key: limits.from_}
            yield {key: limits.to}


def comparable(value: object) -> object:
    """Return the identity of a value: `1GiB` and `1024MiB` are the same."""
    kind = None if isinstance(value, bool) else kind_of(value)
    return repr(value) if kind is None else (kind.name, kind.read(value))


def _overlap(key: str, other: str) -> bool:
    """Tell whether two dotted keys are one, or one lies within the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


class Sweep(Strict):
    """Every combination of: a value of each key, a row of `zip`, a point of `sample`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    __pydantic_extra__: dict[str, Values]

    zip: Annotated[
        dict[str, Values], shown({"vm.memory": ["1GiB", "4GiB"], "vm.vcpus": [1, 4]})
    ] = Field(default_factory=dict)
    """Dotted keys that change together: lists of equal length."""
    sample: Annotated[
        Sample | None,
        shown({"design": "sobol", "points": 64, "ranges": {"vm.vcpus": {"from": 1, "to": 64}}}),
    ] = None
    """Points that are spread over ranges. Without it, only lists are swept."""

    @property
    def grid(self) -> dict[str, list[Any]]:
        """Dotted keys and lists of values, every combination of which is run."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Every key that takes values from a list, and the list."""
        return self.grid | self.zip

    def points(self) -> list[Point]:
        """Return the settings of the sweep; one that changes nothing if there is none.

        Grid keys vary slowest, in their order; then rows of `zip`, then points of `sample`.
        """
        grid, zipped = self.grid, self.zip
        rows = [dict(zip(zipped, row, strict=True)) for row in zip(*zipped.values(), strict=True)]
        drawn = self.sample.draw() if self.sample else [{}]
        return [
            dict(zip(grid, values, strict=True)) | row | point
            for values in itertools.product(*grid.values())
            for row in rows or [{}]
            for point in drawn
        ]

    def size(self) -> int:
        """Return the number of points, without making them."""
        grid = math.prod(len(values) for values in self.grid.values())
        rows = max((len(values) for values in self.zip.values()), default=1)
        return grid * rows * (self.sample.points if self.sample else 1)

    def contradictions(
        self, source: str, variants: Mapping[str, Mapping[str, Any]]
    ) -> list[Complaint]:
        """Return the errors of the axes among each other and with the keys of `variants`.

        It also checks the ranges themselves, and the number of settings.
        """
        return [
            Complaint(source, *found)
            for found in (
                *self._twice(), *self._within(), *self._unequal(), *self._ranges(),
                *self._equal_values(), *self._against(variants), *self._too_many(len(variants)),
            )
        ]  # fmt: skip

    def _equal_values(self) -> Iterator[tuple[str, object, str, str]]:
        for key, place in self._places():
            values = self.grid.get(key, ()) if place == "sweep" else ()
            seen: dict[object, object] = {}
            for value in values:
                same = comparable(value)
                if same in seen:
                    first = seen[same]
                    yield f"sweep.{key}", value, f"is the same as {first!r}", "leave one out"
                seen.setdefault(same, value)
        rows = list(zip(*self.zip.values(), strict=False))
        if len({tuple(map(comparable, row)) for row in rows}) < len(rows):
            yield "sweep.zip", None, "has two rows of the same values", "leave one out"

    def _against(
        self, variants: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[str, object, str, str]]:
        for key, place in self._places():
            for name, changes in variants.items():
                for other, value in changes.items():
                    if _overlap(key, other):
                        rule = f"is set here and swept in [{place}]: two values for one key"
                        yield f"variants.{name}.{other}", value, rule, "leave it out of one"

    def _too_many(self, variants: int) -> Iterator[tuple[str, object, str, str]]:
        count = self.size() * max(1, variants)
        if count > MOST_SETTINGS:
            yield (
                "sweep", None, f"has {count:,} settings; at most {MOST_SETTINGS:,} are run",
                "give fewer values, or draw points from the ranges with [sweep.sample]",
            )  # fmt: skip

    def _places(self) -> list[tuple[str, str]]:
        """Swept keys and how the file names the place of each."""
        sampled = self.sample.ranges if self.sample else {}
        return [
            *((key, "sweep") for key in self.grid),
            *((key, "sweep.zip") for key in self.zip),
            *((key, "sweep.sample.ranges") for key in sampled),
        ]

    def _twice(self) -> Iterator[tuple[str, object, str, str]]:
        first: dict[str, str] = {}
        for key, place in self._places():
            if key in first:
                rule = f"is swept twice, in [{first[key]}] and in [{place}]"
                yield key, None, rule, "leave it out of one"
            first.setdefault(key, place)

    def _within(self) -> Iterator[tuple[str, object, str, str]]:
        keys = dict(self._places())
        for key in keys:
            parts = key.split(".")
            for length in range(1, len(parts)):
                whole = ".".join(parts[:length])
                if whole in keys:
                    yield key, None, f"is part of {whole}, which is swept as well", "sweep only one"

    def _unequal(self) -> Iterator[tuple[str, object, str, str]]:
        lengths = {key: len(values) for key, values in self.zip.items()}
        for key, length in lengths.items():
            leader = next(iter(lengths))
            if length != lengths[leader]:
                yield (
                    f"sweep.zip.{key}", self.zip[key],
                    f"has {length} values, and {leader} has {lengths[leader]}",
                    "zipped keys change together: give lists of equal length",
                )  # fmt: skip

    def _ranges(self) -> Iterator[tuple[str, object, str, str]]:
        if self.sample is None:
            return
        points = self.sample.points
        if self.sample.design == "sobol" and points & (points - 1):
            below = 1 << points.bit_length() - 1
            yield (
                "sweep.sample.points", points, "must be a power of two for a Sobol design",
                f"take {below} or {2 * below}",
            )  # fmt: skip
        for key, limits in self.sample.ranges.items():
            found = limits.wrong()
            if found is not None:
                part, value, rule, remedy = found
                yield f"sweep.sample.ranges.{key}{part}", value, rule, remedy
