"""The distance between predictions and published times, and the misses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from mmusim.validation.fit import is_for_fitting
from mmusim.validation.predict import Times
from mmusim.validation.published import PublishedValue, Run

CLOSE: Final = 1.5
"""A prediction within this factor counts as close."""
KNEE: Final = 1.5
"""A series leaves its plateau where it exceeds its first time by this factor."""


class Row(NamedTuple):
    """A published value beside its prediction."""

    published: PublishedValue
    predicted: float  # seconds

    @property
    def ratio(self) -> float:
        """Predicted by published."""
        return self.predicted / self.published.seconds

    @property
    def miss(self) -> bool:
        """Whether the prediction is further off than CLOSE."""
        return abs(math.log(max(self.ratio, 1e-9))) > math.log(CLOSE)


class Score(NamedTuple):
    """Figures of merit over the predicted rows."""

    rows: Sequence[Row]
    median: float  # exp of the median |log ratio|
    close: float  # share of the rows within CLOSE
    repeatability: float  # of the published values: 90 % of repetitions differ by less
    pairs: int  # pairs of policies that differ by more than the repeatability
    disordered: Sequence[tuple[Row, Row]]  # of these, those in the wrong order
    knees: Sequence[Knee]
    points: Mapping[str, Sequence[Point]]  # by series, what the diagram shows

    @property
    def ordered(self) -> int:
        """Pairs that come in the published order."""
        return self.pairs - len(self.disordered)


class Point(NamedTuple):
    """One number of vCPUs of a series."""

    vcpus: int
    published: float  # seconds
    predicted: float
    fitted: bool


class Knee(NamedTuple):
    """Where a policy's time begins to grow with the number of vCPUs; None: nowhere."""

    series: str
    published: int | None
    predicted: int | None
    where_they_part: PublishedValue  # of the first of the two; else the last of the series


def score(
    values: Iterable[PublishedValue],
    predicted: Mapping[Run, Mapping[str, Times]],
    fitted: Callable[[PublishedValue], bool] = is_for_fitting,
) -> Score:
    """Compare every value that was not fitted with its prediction; `fitted` tells which were."""
    everything = [
        Row(value, predicted[value.run][value.phase].ns / 1e9)
        for value in values
        if value.run is not None
    ]
    rows = [row for row in everything if not fitted(row.published)]
    off = [abs(math.log(max(row.ratio, 1e-9))) for row in rows]
    limit = repeatability(everything)
    pairs = list(_pairs(everything, limit))
    return Score(
        rows=rows,
        median=math.exp(statistics.median(off)),
        close=sum(not row.miss for row in rows) / len(rows),
        repeatability=limit,
        pairs=len(pairs),
        disordered=[
            (one, two)
            for one, two in pairs
            if (one.predicted < two.predicted) != (one.published.seconds < two.published.seconds)
        ],
        knees=list(_knees(everything)),
        points={
            name: [
                Point(vcpus, row.published.seconds, row.predicted, fitted(row.published))
                for vcpus, row in points
            ]
            for name, points in series(everything).items()
        },
    )


def repeatability(rows: Sequence[Row]) -> float:
    """Return the factor by which 90 % of repetitions of one configuration differ less.

    From configurations that were published twice, of first passes: those of other phases were
    posted for different versions of a series.
    """
    repeated: dict[tuple[str, Run | None, str], list[float]] = {}
    for row in rows:
        value = row.published
        if value.phase == "iteration 1 dirty memory" and value.id.startswith("B"):
            key = value.variant, value.run, value.phase
            repeated.setdefault(key, []).append(value.seconds)
    logs = sorted(abs(math.log(pair[0] / pair[1])) for pair in repeated.values() if len(pair) == 2)
    return math.exp(logs[math.ceil(0.9 * len(logs)) - 1]) if logs else 1.0


def _pairs(rows: Sequence[Row], limit: float) -> Iterable[tuple[Row, Row]]:
    """Pairs of policies in one setting of one source that differ by more than the limit."""
    settings: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        value = row.published
        settings.setdefault((value.id, value.metric, value.setup), []).append(row)
    for group in settings.values():
        for number, one in enumerate(group):
            for two in group[number + 1 :]:
                ratio = one.published.seconds / two.published.seconds
                apart = abs(math.log(ratio)) > math.log(limit)
                if apart and one.published.run != two.published.run:
                    yield one, two


def _knees(rows: Sequence[Row]) -> Iterable[Knee]:
    for name, points in series(rows).items():
        if len(points) >= 4:
            published = knee([(vcpus, row.published.seconds) for vcpus, row in points])
            predicted = knee([(vcpus, row.predicted) for vcpus, row in points])
            found = [vcpus for vcpus in (published, predicted) if vcpus is not None]
            first = min(found) if published != predicted else points[-1][0]
            value = next(row.published for vcpus, row in points if vcpus == first)
            yield Knee(name, published, predicted, value)


def series(rows: Iterable[Row]) -> dict[str, list[tuple[int, Row]]]:
    """Group first passes that write everything by source and policy, each with its vCPUs."""
    found: dict[str, list[tuple[int, Row]]] = {}
    for row in rows:
        one = row.published
        first_pass = one.phase == "iteration 1 dirty memory"
        if one.run is not None and first_pass and one.run.writes == 100:
            name = f"{one.id} {one.run.policy.partition('+')[2]}, {one.variant}"
            found.setdefault(name, []).append((one.run.vcpus, row))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def knee(points: Sequence[tuple[int, float]]) -> int | None:
    """Return the first number of vCPUs whose time exceeds that of the first by KNEE."""
    first = points[0][1]
    return next((vcpus for vcpus, seconds in points if seconds > KNEE * first), None)
